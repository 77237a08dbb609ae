"""The points at which faults happen, and what has to come of each.

A fault-free exchange is recorded first: its frames are the places, so that the list follows the protocol by itself.
"""

from __future__ import annotations

import enum
import gc
from collections.abc import Iterable
from dataclasses import dataclass

from bokehwire import ConnectError, ConnectionLost, ConnectTimeout, ReplyTimeout, SessionClosed, WaitTimeout

from ..leaks import no_leaks
from ..live import DEADLINE, LiveServer
from ..proxy import Action, Fault, FaultProxy, Frame, Position
from ..session.faces import Face
from ..tally import TRIED
from .exchange import PLANS, Exchange, Limits, surviving_tasks

__all__ = ["Kind", "Point", "points_of", "record", "try_point"]

_SOON = 0.1  # seconds, until a session gives up that is about to be stalled
_ATTEMPTS = 6
_PLENTY = Limits(DEADLINE, DEADLINE, DEADLINE)


class Kind(enum.Enum):
    """What is done to the exchange at a point."""

    RESET = "reset"
    FIN = "end in good order"
    STALL = "stall for ever"
    HEAL = "stall until the session gives up waiting, then go on"
    DELAY = "delay"
    SPLIT = "split into single bytes"

    @property
    def action(self) -> Action:
        return Action.STALL if self is Kind.HEAL else Action[self.name]

    @property
    def stalls(self) -> bool:
        return self.action is Action.STALL

    @property
    def cuts(self) -> bool:
        return self in (Kind.RESET, Kind.FIN)


@dataclass(frozen=True)
class Point:
    """A fault at a place of the exchange."""

    kind: Kind
    frame: Frame
    position: Position

    @property
    def fault(self) -> Fault:
        return Fault(self.frame.phase, self.frame.direction, self.frame.number, self.position, self.kind.action)

    def __str__(self) -> str:
        frame = self.frame
        return f"{self.kind.name} {self.position.value} {frame.direction.value} frame {frame.number} of {frame.phase}"


def record(face: Face, server: LiveServer, proxy: FaultProxy, phase: str) -> list[Frame]:
    """The frames of a phase of the exchange without a fault."""
    proxy.arm(None)
    exchange = _play(face, server, proxy, PLANS[phase], _PLENTY, None)
    assert not exchange.errors, exchange.errors
    return [frame for frame in proxy.frames if frame.phase == phase]


def points_of(frames: Iterable[Frame]) -> list[Point]:
    """Every point of some frames of one phase: each place inside each, and each boundary."""
    frames = list(frames)
    last = {frame.direction: frame.number for frame in frames}
    points = []
    for frame in frames:
        places = {frame.offset(position): position for position in reversed(Position)}
        if frame.number != last[frame.direction]:
            places.pop(frame.size)  # which is the beginning of the next one
        for position in sorted(places.values(), key=list(Position).index):
            points += [Point(kind, frame, position) for kind in Kind if _makes_sense(kind, frame, position)]
    return points


def _makes_sense(kind: Kind, frame: Frame, position: Position) -> bool:
    if kind is Kind.SPLIT:
        return position is Position.BEFORE
    # A session that was closed does not go on, one that has not connected tries again in any case, and nobody gives up
    # waiting where all has passed.
    return kind is not Kind.HEAL or (frame.phase not in ("handshake", "close") and position is not Position.AFTER)


def try_point(face: Face, server: LiveServer, proxy: FaultProxy, point: Point) -> None:
    """Plays the exchange with the fault of a point, and fails when what comes of it is not as promised."""
    # What the server keeps of the sessions before makes every search for leaks slower.
    gc.freeze()
    soon = _SOON
    for _ in range(_ATTEMPTS):
        proxy.arm(point.fault)
        exchange: Exchange | None = None
        with no_leaks():
            try:
                exchange = _play(face, server, proxy, PLANS[point.frame.phase], _limits(point, soon), point)
            except AssertionError:
                if proxy.happened.is_set() or not point.kind.stalls:
                    raise  # else it has given up before, as below, and lacks what comes next
            proxy.release()
            proxy.drop()
        if exchange is not None and proxy.happened.is_set():
            _check(exchange, point)
            TRIED[f"{face.kind}-{face.transport}"] += 1
            return
        # On a busy machine a session may give up before it comes to the point, which says nothing about the point.
        assert point.kind.stalls, "the exchange never came to the fault"
        soon *= 2
    raise AssertionError("the exchange never came to the fault")


def _limits(point: Point, soon: float) -> Limits:
    if not point.kind.stalls:
        return _PLENTY
    return Limits(
        connect=soon if point.frame.phase == "handshake" else DEADLINE,
        reply=soon if point.frame.phase != "handshake" or point.position is Position.AFTER else DEADLINE,
        close=DEADLINE if point.kind is Kind.HEAL else soon,
    )


def _play(
    face: Face, server: LiveServer, proxy: FaultProxy, phases: Iterable[str], limits: Limits, point: Point | None
) -> Exchange:
    face = Face(face.kind, face.transport)
    played: list[Exchange] = []

    async def scenario(face: Face) -> None:
        exchange = Exchange(face, server, proxy, limits)
        played.append(exchange)
        for phase in phases:
            if exchange.is_lost and phase != "close":
                continue
            went_well = await exchange.play(phase)
            if not went_well and phase == "handshake":
                exchange.be_patient()
                went_well = await exchange.play(phase)  # a later call tries again, unless it had connected
                assert went_well or exchange.is_lost, f"connecting again failed: {exchange.errors[-1][1]!r}"
            if not went_well and point is not None and point.kind is Kind.HEAL:
                proxy.release()
                assert isinstance(exchange.errors[-1][1], TimeoutError), exchange.errors[-1]
                exchange.be_patient()
                assert await exchange.play(phase), f"{phase} has not gone well again: {exchange.errors[-1]}"
            if phase == "close":
                assert not exchange.session.connected
            elif point is None or point.kind in (Kind.DELAY, Kind.SPLIT, Kind.HEAL):
                await _check_equal(exchange, phase)
        left = await surviving_tasks(face)
        assert not left, f"left behind: {left}"

    face.play(scenario)
    return played[0]


async def _check_equal(exchange: Exchange, phase: str) -> None:
    if phase != "handshake":
        assert not exchange.differs(), f"the documents differ after {phase!r}"


def _check(exchange: Exchange, point: Point) -> None:
    lost = exchange.lost_silently()
    assert not lost, f"lost silently: {lost}; errors were {exchange.errors}"
    if point.kind in (Kind.DELAY, Kind.SPLIT):
        assert not exchange.errors, exchange.errors
    elif point.frame.phase != "close" and point.position is not Position.AFTER:
        assert exchange.errors, "no call has failed"
    for phase, error in exchange.errors:
        expected = _expected(point, phase)
        assert isinstance(error, expected), f"{phase} raised {error!r}, not one of {expected}"


def _expected(point: Point, phase: str) -> tuple[type[Exception], ...]:
    """The errors that a phase may end with."""
    if phase == "handshake":
        if point.position is Position.AFTER and point.kind.cuts:
            return (ConnectError, ConnectionLost)  # it had connected
        return (ConnectTimeout,) if point.kind.stalls else (ConnectError,)
    if phase == "close":
        return (ConnectionLost,) if point.kind.cuts else (SessionClosed,)
    if point.kind.cuts:
        return (ConnectionLost,)
    return (WaitTimeout,) if phase == "server patch" else (ReplyTimeout,)
