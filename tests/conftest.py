"""Fixtures and settings for all tests; tests/servers.py says what the servers can do."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from .leaks import no_leaks
from .live import THREAD_PREFIX
from .processes import ServerProcess
from .servers import LiveServer, make_server
from .tally import TRIED

# No deadlines: a busy machine is not a failure. What is slow shows in `make bench`. `make conformance` takes "deep":
# a million examples in all, or BOKEHWIRE_EXAMPLES, split over the protocol's properties by tests/protocol/deep.py.
settings.register_profile("quick", max_examples=100, deadline=None, print_blob=True)
settings.register_profile(
    "deep",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# The runs of server and viewers in tests/sync, each of which is many changes.
settings.register_profile("sync", settings.get_profile("deep"), max_examples=10_000)
settings.load_profile("quick")

# Blocking sessions are served by asyncio's own loop here, as for most users; test_uvloop.py has the other one.
sys.modules["uvloop"] = None  # type: ignore[assignment]

# The servers log each connection that a test cuts, each patch that it makes them refuse.
_NOISY = ("bokeh", "tornado", "uvicorn")


@pytest.fixture(autouse=True, scope="session")
def _quiet_servers() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def _small_heap() -> None:
    """Bokeh's servers run a full collection for each session that ends; this leaves out what was imported before."""
    gc.collect()
    gc.freeze()


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName and record.threadName.startswith(THREAD_PREFIX):
            return  # a server or a proxy under test, whose connections are cut
        self.messages.append(self.format(record))


@pytest.fixture(autouse=True)
def _no_complaints_of_asyncio() -> Iterator[None]:
    """Fails a test during which asyncio complained, as it does of errors that nobody retrieved."""
    collector = _Collector()
    logger = logging.getLogger("asyncio")
    logger.addHandler(collector)
    yield
    logger.removeHandler(collector)
    assert not collector.messages, "\n".join(collector.messages)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A Bokeh server with the standard apps; Tornado's, unless parametrised indirectly with one of SERVER_KINDS."""
    with make_server(getattr(request, "param", "tornado")) as running:
        yield running


@pytest.fixture(scope="module")
def server_process() -> Iterator[ServerProcess]:
    """The standard apps in a process of their own, which shares nothing with the test."""
    with ServerProcess() as running:
        yield running


@pytest.fixture
def leak_free() -> Iterator[None]:
    """Fails a test that leaves threads or descriptors behind; ask for it after the fixtures that may."""
    with no_leaks():
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Pass the tally on to the process that writes the report, where the tests are spread over several."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(TRIED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add up what such a process has passed on; one that has crashed has nothing to tell."""
    TRIED.update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many faults were tried, which a sweep that has shrunk would not tell by itself."""
    if TRIED:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(TRIED.items()))
        terminalreporter.write_line(f"faults tried: {TRIED.total()} ({counts})")
