"""When document callbacks are due."""

from __future__ import annotations

from collections import deque

from bokeh.document import Document

from bokehwire.session.callbacks import CallbackSchedule, DueCallback


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def nothing() -> None:
    """A callback."""


def taken(schedule: CallbackSchedule) -> list[DueCallback]:
    """Take what is due."""
    due: deque[DueCallback] = deque()
    schedule.take_due(due)
    return list(due)


def run_due(schedule: CallbackSchedule) -> int:
    """Run what is due; give how many callbacks ran."""
    due = taken(schedule)
    for entry in due:
        entry.start()
        schedule.finished(entry)
    return len(due)


def test_each_kind_is_due_in_its_time() -> None:
    clock, document = Clock(), Document()
    schedule = CallbackSchedule(clock, nothing)
    assert schedule.next_due() is None
    schedule.add(document.add_timeout_callback(nothing, 500))
    schedule.add(document.add_periodic_callback(nothing, 200))
    schedule.add(document.add_next_tick_callback(nothing))
    assert schedule.next_due() == 0.0
    assert run_due(schedule) == 1
    assert schedule.next_due() == 0.2
    clock.now = 0.5
    assert run_due(schedule) == 2
    assert schedule.next_due() == 0.7


def test_a_periodic_callback_does_not_overlap_itself() -> None:
    clock, document = Clock(), Document()
    schedule = CallbackSchedule(clock, nothing)
    schedule.add(document.add_periodic_callback(nothing, 100))
    clock.now = 0.1
    (entry,) = taken(schedule)
    entry.start()
    clock.now = 0.5
    assert taken(schedule) == []
    assert schedule.next_due() is None
    schedule.finished(entry)
    assert schedule.next_due() == 0.2


def test_a_removed_callback_is_forgotten() -> None:
    clock, document = Clock(), Document()
    schedule = CallbackSchedule(clock, nothing)
    callback = document.add_periodic_callback(nothing, 100)
    schedule.add(callback)
    clock.now = 1.0
    (entry,) = taken(schedule)
    schedule.remove(callback)
    assert not schedule.is_current(entry)
    schedule.finished(entry)
    assert schedule.next_due() is None
    schedule.remove(callback)


def test_replacing_starts_anew() -> None:
    clock, document = Clock(), Document()
    schedule = CallbackSchedule(clock, nothing)
    schedule.add(document.add_timeout_callback(nothing, 100))
    other = document.add_timeout_callback(nothing, 300)
    schedule.replace([other])
    assert schedule.next_due() == 0.3


def test_what_was_given_out_and_not_run_stays_due() -> None:
    clock, document = Clock(), Document()
    schedule = CallbackSchedule(clock, nothing)
    schedule.add(document.add_periodic_callback(nothing, 100))
    schedule.add(document.add_timeout_callback(nothing, 50))
    clock.now = 0.1
    for entry in taken(schedule):
        schedule.finished(entry)
        schedule.finished(entry)
    assert schedule.next_due() == 0.05
    assert run_due(schedule) == 2
    assert schedule.next_due() == 0.2
