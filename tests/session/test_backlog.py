"""What waits for a program that does not look: it is bounded, in memory as in errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from unittest.mock import AsyncMock, Mock

import msgspec
import pytest
from bokeh.document import Document
from bokeh.models.widgets import Slider

from bokehwire import ClientSession
from bokehwire.protocol import Error, Ok, PatchDoc
from bokehwire.session.requests import Answered, Ask, Change, Inbound, Patched, Request
from bokehwire.session.thread_runner import ThreadRunner
from bokehwire.session.trouble import Trouble

MANY = 5000


def confirmation(number: int) -> Answered:
    change = Change((str(number),), (str(number), "value"), True, False)
    return Answered((Request(Ask.PATCH, change, msgspec.Raw(b"{}")),), Ok("s", "r"))


def runner_with(*inbounds: Inbound) -> tuple[ThreadRunner, list[Inbound]]:
    runner = ThreadRunner()
    handled: list[Inbound] = []
    runner.connect_to(handled.append, lambda error: None)
    for inbound in inbounds:
        runner.deliver(inbound)
    return runner, handled


def test_confirmations_are_handled_while_the_program_only_makes_changes() -> None:
    arrived = [confirmation(number) for number in range(MANY)]
    runner, handled = runner_with(*arrived)
    assert runner.backlog == 2 * MANY
    runner.tidy()
    assert handled == arrived
    assert runner.backlog == 0


def test_few_confirmations_wait_until_the_program_looks() -> None:
    few, _ = runner_with(confirmation(1))
    many, _ = runner_with(*(confirmation(number) for number in range(MANY)))
    assert (few.is_crowded, many.is_crowded) == (False, True)


@pytest.mark.parametrize(
    "inbound",
    [
        Patched(PatchDoc("p", {"events": []}), 1, size=5),
        Answered((Request(Ask.PULL),), Ok("s", "r")),
        Answered(confirmation(1).requests, Error("s", "e", "r", "refused")),
    ],
    ids=["change", "other answer", "refusal"],
)
def test_what_changes_something_here_waits_until_the_program_looks_and_all_behind_it_counts(inbound: Inbound) -> None:
    behind = [confirmation(number) for number in range(MANY)]
    runner, handled = runner_with(behind[0], inbound, *behind[1:])
    runner.tidy()
    assert handled == behind[:1]
    assert runner.backlog >= 2 * (MANY - 1)
    runner.pump()
    assert handled == [behind[0], inbound, *behind[1:]]
    assert runner.backlog == 0


def test_a_handler_that_makes_changes_is_not_called_into() -> None:
    runner, _ = runner_with()
    order: list[Inbound] = []

    def handle(inbound: Inbound) -> None:
        order.append(inbound)
        runner.tidy()
        order.append(inbound)

    runner.connect_to(handle, lambda error: None)
    arrived = [confirmation(number) for number in range(MANY)]
    for inbound in arrived:
        runner.deliver(inbound)
    runner.pump()
    assert order == [inbound for inbound in arrived for _ in range(2)]


def test_errors_that_nobody_looks_at_are_bounded() -> None:
    told: list[Exception] = []
    trouble = Trouble("s", told.append)
    for number in range(MANY):
        trouble.note(ArithmeticError(number))
    assert len(told) == MANY
    with pytest.raises(ArithmeticError) as caught:
        trouble.raise_first()
    notes = caught.value.__notes__
    assert caught.value.args == (0,)
    assert len(notes) == 100
    assert notes[-1] == f"Also: {MANY - 100} more errors."
    trouble.raise_first()


@pytest.mark.parametrize("held", [True, False])
def test_a_session_tidies_up_when_it_is_crowded_but_not_between_changes_that_were_held_back(held: bool) -> None:
    session = ClientSession()
    runner = Mock(is_crowded=True)
    attachment = session._session._attachment
    attachment._runner, attachment.channel = runner, Mock(post=Mock(return_value=None))
    document = Document()
    slider = Slider(start=0, end=9, value=1)
    document.add_root(slider)
    session._session._engine.push(document)
    runner.tidy.reset_mock()
    if held:
        document.hold()
    slider.value = 2
    document.unhold()
    assert runner.tidy.called is not held
    session._session._engine.detach()


def test_an_interrupted_close_names_what_was_not_confirmed() -> None:
    async def perform(coroutine: Awaitable[object]) -> object:
        return await coroutine

    attachment = ClientSession()._session._attachment
    attachment._runner = Mock(wait=AsyncMock(side_effect=KeyboardInterrupt), perform=perform)
    attachment.channel = Mock(close=AsyncMock(return_value=("the change",)), is_open=False)
    with pytest.raises(KeyboardInterrupt) as caught:
        asyncio.run(attachment._hang_up("done"))
    assert caught.value.__notes__ == ["The server has not confirmed 1 changes: the change"]
