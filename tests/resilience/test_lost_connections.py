"""What a lost connection says of itself, and when, apart from where in the exchange it was cut."""

from __future__ import annotations

from typing import Any

import pytest

from bokehwire import ConnectionLost

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
            return inner._loss is not None

        monkeypatch.setattr(inner._engine, "is_answered_up_to", lose)
        with pytest.raises(ConnectionLost):
            await do(session.force_roundtrip())

    face.play(scenario)
