"""Wherever the connection is cut, a session that reconnects ends with what it would have ended with."""

from __future__ import annotations

import gc

import pytest

from bokehwire import Reconnect

from ..leaks import no_leaks
from ..live import DEADLINE, LiveServer
from ..proxy import FaultProxy
from ..session.faces import Face
from ..tally import TRIED
from .conftest import EVERYTHING
from .exchange import Exchange, Limits, surviving_tasks
from .points import Point, points_of
from .test_fault_points import sample

PHASES = ("pull", "patch", "stream", "buffers", "server patch", "round trip", "push", "close")
POLICY = Reconnect(first_delay=0.001, max_delay=0.02, deadline=DEADLINE)


@pytest.mark.timeout(3600 if EVERYTHING else 300)
@pytest.mark.parametrize("phase", PHASES)
def test_wherever_the_connection_is_cut_nothing_is_lost_or_done_twice(
    phase: str, face: Face, exchange_server: LiveServer, proxy: FaultProxy
) -> None:
    proxy.arm(None)
    play(face, exchange_server, proxy, phase)
    frames = [frame for frame in proxy.frames if frame.phase == phase]
    points = [point for point in points_of(frames) if point.kind.cuts]
    failures = []
    for point in points if EVERYTHING else sample(points, face):
        try:
            try_cut(face, exchange_server, proxy, phase, point)
        except AssertionError as error:
            failures.append(f"{point}: {error}")
            proxy.drop()
    assert not failures, f"{len(failures)} of {len(points)} failed:\n" + "\n".join(failures[:20])


def try_cut(face: Face, server: LiveServer, proxy: FaultProxy, phase: str, point: Point) -> None:
    """Plays all phases up to one, with a cut in that one, and fails unless all of them go well."""
    gc.freeze()
    proxy.arm(point.fault)
    with no_leaks():
        play(face, server, proxy, phase)
        proxy.drop()
    if phase == "stream" and not proxy.happened.is_set():
        return  # how many messages rows travel in is a matter of time
    assert proxy.happened.is_set(), "the exchange never came to the fault"
    TRIED[f"reconnecting {face.kind}-{face.transport}"] += 1


def play(face: Face, server: LiveServer, proxy: FaultProxy, phase: str) -> None:
    """Plays a session's life up to a phase, and its end; every phase has to go well and to leave both sides equal."""
    face = Face(face.kind, face.transport)
    phases = {"pull": ("pull",), "push": ("push",), "close": ("pull",)}.get(phase, ("pull", phase))

    async def scenario(face: Face) -> None:
        exchange = Exchange(face, server, proxy, Limits(DEADLINE, DEADLINE, DEADLINE), POLICY)
        for step in ("handshake", *phases):
            assert await exchange.play(step), exchange.errors
            assert step == "handshake" or not exchange.differs(), f"the documents differ after {step!r}"
        assert await exchange.play("close"), exchange.errors
        assert not exchange.session.connected
        missing = exchange.lost_silently()
        assert not missing, f"lost silently: {missing}"
        left = await surviving_tasks(face)
        assert not left, f"left behind: {left}"

    face.play(scenario)
