"""Whatever happens to the connection, at whatever byte: a documented error or recovery, and nothing lost or left."""

from __future__ import annotations

from itertools import accumulate

import pytest

from ..live import LiveServer
from ..proxy import Direction, FaultProxy
from ..session.faces import Face
from .conftest import EVERYTHING, FACES
from .exchange import PLANS
from .points import Kind, Point, points_of, record, try_point

_SAMPLE = 5  # points of each phase, with each face, in `make test`


@pytest.mark.timeout(3600 if EVERYTHING else 300)
@pytest.mark.parametrize("phase", PLANS)
def test_every_fault_ends_in_an_error_or_in_recovery(
    phase: str, face: Face, exchange_server: LiveServer, proxy: FaultProxy
) -> None:
    points = points_of(record(face, exchange_server, proxy, phase))
    failures = []
    for point in points if EVERYTHING else sample(points, face):
        try:
            try_point(face, exchange_server, proxy, point)
        except AssertionError as error:
            failures.append(f"{point}: {error}")
            proxy.drop()
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures[:20])


def sample(points: list[Point], face: Face) -> list[Point]:
    """Some of the points, spread over all of them; each face takes others, so that together they come to more."""
    step = len(points) / _SAMPLE
    offset = step * FACES.index((face.kind, str(face.transport))) / len(FACES)
    return [points[int(offset + step * i)] for i in range(_SAMPLE)]


@pytest.mark.parametrize("phase", PLANS)
def test_the_points_are_in_and_around_every_frame(phase: str, exchange_server: LiveServer, proxy: FaultProxy) -> None:
    frames = record(Face("blocking", "tornado"), exchange_server, proxy, phase)
    again = record(Face("blocking", "tornado"), exchange_server, proxy, phase)
    for direction in Direction:
        count = sum(frame.direction is direction for frame in frames)
        assert count == sum(frame.direction is direction for frame in again), "the exchange is not the same each time"
    points = points_of(frames)
    assert len(set(points)) == len(points)
    for direction in Direction:
        sizes = [frame.size for frame in frames if frame.direction is direction]
        begins = list(accumulate(sizes, initial=0))
        for kind in (Kind.RESET, Kind.FIN, Kind.STALL, Kind.DELAY):
            chosen = [point for point in points if point.kind is kind and point.frame.direction is direction]
            places = {begins[point.frame.number] + point.frame.offset(point.position) for point in chosen}
            assert set(begins) <= places if sizes else not places, "a boundary is missing"
            for frame in (frame for frame in frames if frame.direction is direction):
                inside = {1, frame.header - 1, frame.header + (frame.size - frame.header) // 2} - {0, frame.size}
                assert {begins[frame.number] + place for place in inside} <= places, "a place inside is missing"
        splits = [point for point in points if point.kind is Kind.SPLIT and point.frame.direction is direction]
        assert len(splits) == len(sizes)


def test_the_exchange_has_what_it_should(exchange_server: LiveServer, proxy: FaultProxy) -> None:
    """Frames each way: at least those of the messages that the phase is there for."""
    counts = {}
    for phase in PLANS:
        frames = record(Face("blocking", "tornado"), exchange_server, proxy, phase)
        there = sum(frame.direction is Direction.TO_SERVER for frame in frames)
        counts[phase] = there, len(frames) - there
    one = 3 if counts["handshake"][1] == 4 else 1  # frames of a message, by the wire generation
    assert counts["handshake"] == (1, 1 + one)
    assert counts["pull"][0] == one
    assert counts["pull"][1] > one, "the document has no buffers"
    assert counts["round trip"] == (one, one)
    assert counts["server patch"] == (0, one)
    assert counts["patch"] == (2 * one, 3 * one)
    assert counts["buffers"][0] > 2 * one
    assert counts["buffers"][1] == 2 * one
    assert counts["push"][0] > one
    assert counts["push"][1] > one, "there is no echo"
    assert counts["close"] == (one + 1, one + 1)
