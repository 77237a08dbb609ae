"""What a lost connection says of itself, and when, apart from where in the exchange it was cut."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bokehwire import ConnectionLost, Reconnect
from bokehwire.session.endings import describe_forgotten, describe_full, describe_given_up, describe_loss
from bokehwire.session.requests import Ask, Change, Request
from bokehwire.transports import ConnectionClosed

from ..apps import model
from ..live import DEADLINE, LiveServer
from ..proxy import Action, Direction, Fault, FaultProxy, Position
from ..session.faces import Face, do
from .exchange import APP


def test_a_close_that_meets_the_loss_tells_of_it(face: Face, exchange_server: LiveServer, proxy: FaultProxy) -> None:
    """Rather than that time was up, which would hide the cause."""

    async def scenario(face: Face) -> None:
        proxy.arm(Fault("close", Direction.TO_CLIENT, 0, Position.BEFORE, Action.RESET))
        proxy.enter("open")
        session = await face.pull(url=proxy.url(APP), close_timeout=20)
        proxy.enter("close")
        model(session.document, "note").text = "changed"
        with pytest.raises(ConnectionLost) as caught:
            await do(session.close())
        assert caught.value.code == 1006
        assert caught.value.__cause__ is not None
        assert ".text changed" in str(caught.value.unconfirmed)

    face.play(scenario)


def test_on_error_is_told_of_the_loss(face: Face, exchange_server: LiveServer, proxy: FaultProxy) -> None:
    """At once where nobody makes a call, and once in all."""

    async def scenario(face: Face) -> None:
        told: list[Exception] = []
        lost = asyncio.Event()

        def tell(error: Exception) -> None:
            told.append(error)
            lost.set()

        session = await face.pull(url=proxy.url(APP), on_error=tell)
        model(session.document, "note").text = "changed"
        await do(session.force_roundtrip())
        proxy.drop()
        if face.kind == "async":
            async with asyncio.timeout(DEADLINE):
                await lost.wait()
        with pytest.raises(ConnectionLost):
            await do(session.wait_for(lambda: False, DEADLINE))
        await do(session.close())
        assert [type(error) for error in told] == [ConnectionLost]

    face.play(scenario)


def test_a_loss_that_only_the_close_meets_is_told_once(
    face: Face, exchange_server: LiveServer, proxy: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        told: list[Exception] = []
        proxy.arm(Fault("close", Direction.TO_CLIENT, 0, Position.BEFORE, Action.RESET))
        proxy.enter("open")
        session = await face.pull(url=proxy.url(APP), close_timeout=20, on_error=told.append)
        proxy.enter("close")
        model(session.document, "note").text = "changed"
        with pytest.raises(ConnectionLost):
            await do(session.close())
        assert [type(error) for error in told] == [ConnectionLost]

    face.play(scenario)


def test_changes_are_named_once_though_the_last_attempt_was_lost_as_well() -> None:
    def lost(reason: str) -> ConnectionLost:
        return describe_loss("ws://x", ConnectionClosed(code=1006, reason=reason), pending)

    request = Request(Ask.PATCH, change=Change(("{} changed", "Div"), None))
    pending = [request]
    for error in (
        describe_given_up(lost("first"), lost("second"), 3, 1.0, pending),
        describe_forgotten("ws://x", lost("second"), ("Div changed",)),
    ):
        assert str(error).count("Changes that were not confirmed: Div changed (1 in all).") == 1
        assert "close code 1006: second." in str(error)


@pytest.mark.parametrize("new_session", ["raise", "push"])
def test_what_is_not_kept_may_be_pushed_all_the_same(new_session: Any) -> None:
    request = Request(Ask.PATCH, change=Change(("{} changed", "Div"), None))
    error = describe_full("ws://x", request, 11, Reconnect(max_pending=10, new_session=new_session))
    assert ("then the whole document is pushed" in str(error)) is (new_session == "push")
    assert "The document is made equal to the server's later" in str(error)


def test_what_a_document_holds_back_is_named_with_the_loss(
    face: Face, exchange_server: LiveServer, proxy: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=proxy.url(APP))
        document = session.document
        assert document is not None
        document.hold()
        model(document, "note").text = "changed"
        proxy.drop()
        with pytest.raises(ConnectionLost, match=r"never sent: .*\.text changed"):
            await do(session.wait_for(lambda: False, DEADLINE))

    face.play(scenario)


def test_a_round_trip_that_waits_for_what_is_sent_again_meets_the_loss(
    face: Face, exchange_server: LiveServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has answered it already; the changes before it are lost all the same."""

    async def scenario(face: Face) -> None:
        session = await face.pull(url=proxy.url(APP))
        inner: Any = getattr(session, "_session", session)

        def lose(made: int) -> bool:  # the moment at which something is still to be sent again
            proxy.drop()
            return inner._attachment.loss is not None

        monkeypatch.setattr(inner._engine, "is_answered_up_to", lose)
        with pytest.raises(ConnectionLost):
            await do(session.force_roundtrip())

    face.play(scenario)
