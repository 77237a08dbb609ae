"""Random work of random sessions through a proxy that does random harm, for as long as is wanted.

    python -m tests.soak --minutes 10

Each round opens a session on one face and transport, one that reconnects or one that does not, does some things with
it while a fault happens somewhere, and closes it. Afterwards every change has to be on the server or named by an error,
documents have to be equal if nothing failed, and nothing may be left behind. A failed round is reported with what
reproduces it: `--seed` and `--first`.
"""

from __future__ import annotations

import argparse
import gc
import logging
import random
import sys
import time
from collections import Counter

from bokehwire import ConnectError, ConnectionLost, Reconnect, SessionClosed
from bokehwire.session.portal import Portal

from .leaks import no_leaks
from .live import LiveServer
from .proxy import Action, Direction, Fault, FaultProxy, Position
from .resilience.exchange import APP, Exchange, Limits, app, surviving_tasks
from .servers import TornadoServer
from .session.faces import Face

_FACES = [(kind, transport) for kind in ("blocking", "async", "io_loop") for transport in ("tornado", "aiohttp")]
_WORK = ("patch", "stream", "buffers", "server patch", "round trip", "pull", "push")
_BLOCKS = 50  # of Python's allocator, by which a round may make the heap grow; a session that is kept is 600 and more
_ROUNDS = 50  # with each server
_POLICIES = (False, Reconnect(first_delay=0.001, max_delay=0.05, deadline=10))
_LIMITS = Limits(connect=3.0, reply=1.0, close=1.0)


def fault(rng: random.Random, phases: list[str]) -> Fault | None:
    """Something that happens somewhere, or nothing."""
    if rng.random() < 0.2:
        return None
    return Fault(
        rng.choice(phases),
        rng.choice(list(Direction)),
        rng.choice([0, 0, 1, 2, 3, 5, 8]),
        rng.choice(list(Position)),
        rng.choice(list(Action)),
    )


def _makes_sense(phase: str, exchange: Exchange) -> bool:
    if phase == "close":
        return True
    return not exchange.is_lost and (phase in ("handshake", "pull", "push") or exchange.session.document is not None)


def play(rng: random.Random, server: LiveServer, proxy: FaultProxy) -> tuple[Fault | None, list[str]]:
    """One round; returns the fault, if it happened, and the kinds of errors that came of it."""
    face = Face(*rng.choice(_FACES))
    work = [rng.choice(_WORK) for _ in range(rng.randint(1, 8))]
    phases = ["handshake", rng.choice(["pull", "push"]), *work, "close"]
    planned, policy = fault(rng, phases), rng.choice(_POLICIES)
    played: list[Exchange] = []

    async def scenario(face: Face) -> None:
        exchange = Exchange(face, server, proxy, _LIMITS, policy)
        played.append(exchange)
        for phase in phases:
            if not _makes_sense(phase, exchange):
                continue
            if phase == "close" and not exchange.errors and await exchange.play("round trip"):
                assert not exchange.differs(), "the documents differ"
            went_well = await exchange.play(phase)
            if not went_well and phase == "handshake":
                await exchange.play(phase)
        assert not exchange.session.connected
        left = await surviving_tasks(face)
        assert not left, f"left behind: {left}"

    proxy.arm(planned)
    with no_leaks():
        face.play(scenario)
        proxy.release()
        proxy.drop()
    (exchange,) = played
    lost = exchange.lost_silently()
    assert not lost, f"lost silently: {lost}; errors were {exchange.errors}"
    happened = planned if proxy.happened.is_set() else None
    for _, error in exchange.errors:
        assert isinstance(error, ConnectError | ConnectionLost | SessionClosed | TimeoutError), repr(error)
        assert not policy or not isinstance(error, ConnectionLost), f"although it reconnects: {error!r}"
        # A busy machine may be too slow for the limits.
        assert happened or isinstance(error, SessionClosed | TimeoutError), f"without a fault: {error!r}"
    return happened, [type(error).__name__ for _, error in exchange.errors]


class Soak:
    """Many rounds.

    Args:
        seed: What they are made from.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._faults: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self.failed = 0

    def round(self, number: int, server: LiveServer, proxy: FaultProxy) -> None:
        """Plays one round, and tells when it fails."""
        try:
            happened, names = play(random.Random(f"{self._seed}/{number}"), server, proxy)
        except AssertionError as error:
            self.failed += 1
            proxy.drop()
            print(f"round {number} of seed {self._seed}: {error}", flush=True)
        else:
            self._faults[happened.action.name if happened else "none"] += 1
            self._errors.update(names)

    def run(self, first: int, seconds: float) -> None:
        """Plays rounds until time is up."""
        deadline = time.monotonic() + seconds
        number, heap = first, 0
        while time.monotonic() < deadline:
            # A server for some rounds: what it keeps of its sessions is not what is looked for.
            with TornadoServer({APP: app}) as server, FaultProxy(server.port) as proxy:
                end = number + _ROUNDS
                while number < end and time.monotonic() < deadline:
                    self.round(number, server, proxy)
                    number += 1
            gc.collect()
            heap = heap or sys.getallocatedblocks()  # what is made once has been made
            grown = sys.getallocatedblocks() - heap
            print(f"{number - first} rounds, {self.failed} failed, {grown:+} blocks of memory", flush=True)
            if grown > _BLOCKS * (number - first) + 10_000:
                self.failed += 1
                print("memory has grown")
                return

    def report(self) -> str:
        """What happened, and what came of it."""
        return f"seed {self._seed}; faults: {dict(self._faults)}; errors: {dict(self._errors)}"


def main() -> int:
    """Plays rounds until time is up; returns how many failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="what the rounds are made from")
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    arguments = parser.parse_args()
    for name in ("bokeh", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    Portal.current()  # its thread stays
    soak = Soak(arguments.seed)
    soak.run(arguments.first, 60 * arguments.minutes)
    print(soak.report())
    return soak.failed


if __name__ == "__main__":
    sys.exit(bool(main()))
