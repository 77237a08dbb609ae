"""The pytest plugin: fixtures for Bokeh apps, on whatever transport the run, the test or its author chooses.

It is found by its entry point, so there is nothing to import. Bokeh is imported with the first fixture.
"""

from __future__ import annotations

import functools
import gc
import importlib
import inspect
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from types import MethodType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .aio import AsyncAppSession
    from .applications import App
    from .blocking import AppSession
    from .hosting import Host
    from .recording import MessageLog
    from .server import AppServer

_AUTO = "auto"
_MARKER = "bokeh_transport"
_LOGGERS = ("bokeh", "tornado", "bokehwire")
_LOG_LINES = 200
_LOOPS = "bokehwire.testing.loops"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of transports, and how long tests wait."""
    group = parser.getgroup("bokeh", "Bokeh apps")
    group.addoption(
        "--bokeh-transport",
        action="store",
        metavar="NAMES",
        help="how tests reach their Bokeh apps: in-process, tornado, aiohttp, or several of them, with commas between, "
        "to run each test over each",
    )
    group.addoption(
        "--bokeh-patience", action="store", type=float, metavar="SECONDS", help="how long tests of Bokeh apps wait"
    )
    parser.addini(_MARKER, "the default of --bokeh-transport", default=_AUTO)
    parser.addini("bokeh_patience", "the default of --bokeh-patience", default="10")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and what pytest-asyncio needs, where it is active and is 1.0 or newer."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(*names): how the test reaches its Bokeh apps: in-process, tornado or aiohttp; with several names "
        "the test is run over each",
    )
    version = str(getattr(sys.modules.get("pytest_asyncio"), "__version__", "0"))
    if config.pluginmanager.has_plugin("asyncio") and not version.startswith("0"):
        config.pluginmanager.register(importlib.import_module(".loops", __package__), _LOOPS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over each of several transports, unless it says itself which it takes."""
    if _MARKER not in metafunc.fixturenames or any(
        _MARKER in _names_of(mark) for mark in metafunc.definition.iter_markers("parametrize")
    ):
        return
    names = _names_for(metafunc.definition)
    if len(names) > 1:
        metafunc.parametrize(_MARKER, names, indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what went over the wire, and what the server logged, with a test that has failed."""
    report = yield
    if report.failed and (evidence := item.stash.get(_EVIDENCE, None)) is not None:
        report.sections.extend(evidence.sections())
    return report


class _Evidence(logging.Handler):
    """What a test leaves to be shown if it fails: the messages of its sessions, and the server's log."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        self._lines: list[str] = []
        self._messages: dict[str, MessageLog] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))
        del self._lines[:-_LOG_LINES]

    def add(self, session: AppSession | AsyncAppSession) -> None:
        self._messages[session.id] = session.messages

    def sections(self) -> Iterator[tuple[str, str]]:
        for session_id, messages in self._messages.items():
            yield f"Bokeh messages of session {session_id}", str(messages) or "none"
        if self._messages or self._lines:
            yield "Bokeh server log", "\n".join(self._lines) or "nothing was logged"


_EVIDENCE: pytest.StashKey[_Evidence] = pytest.StashKey()


@pytest.fixture
def bokeh_transport(request: pytest.FixtureRequest) -> str:
    """How the test reaches its Bokeh apps: "auto", "in-process", "tornado" or "aiohttp".

    Of these the first that is given counts: a parametrisation of this name, the marker `bokeh_transport`, the option
    `--bokeh-transport`, the setting `bokeh_transport`, and "auto": in process where Bokeh can, from 3.10 on, and to a
    real server elsewhere.
    """
    from .hosting import check_transport

    return check_transport(getattr(request, "param", None) or _names_for(request.node)[0])


@pytest.fixture
def bokeh_app(_bokeh: _Tools) -> Callable[..., AppSession]:
    """Open an app for the length of the test.

    `session = bokeh_app(app)` serves the app, pulls a session of it, and closes both when the test ends. An app is a
    function that modifies a Document, a function without arguments that returns a Panel object, an Application, the
    path of a script, a notebook or a directory, or a Panel object. Further arguments are those of
    `bokehwire.testing.AppSession`, by keyword. Called again with the same app, it opens a further session, or with the
    `session_id` of the first, a further viewer of it.
    """
    return _bokeh.open_app


@pytest.fixture
def bokeh_session(_bokeh: _Tools) -> Callable[..., AppSession]:
    """Open a session of an app that is served already.

    `session = bokeh_session(server)`, or `bokeh_session(url)`, is closed when the test ends. A server is one of
    `bokeh_server`, with the `path` of the app if it is not "/"; a URL is the http or https URL of an app that runs
    anywhere. Further arguments are those of `bokehwire.testing.AppSession`, by keyword.
    """
    return _bokeh.open_session


@pytest.fixture
def async_bokeh_app(_async_bokeh: _AsyncTools) -> Callable[..., Awaitable[AsyncAppSession]]:
    """Open an app in an asynchronous test, as `bokeh_app` does.

    `session = await async_bokeh_app(app)` is closed on the test's loop when the test has ended, and the fixtures that
    use the session. That takes pytest-asyncio (1.0 or newer) or anyio; with another plugin that runs asynchronous
    tests, sessions are closed before such fixtures end.
    """
    return _async_bokeh.open_app


@pytest.fixture
def async_bokeh_session(_async_bokeh: _AsyncTools) -> Callable[..., Awaitable[AsyncAppSession]]:
    """Open a session in an asynchronous test, as `bokeh_session` does.

    `session = await async_bokeh_session(server)` is closed as those of `async_bokeh_app` are.
    """
    return _async_bokeh.open_session


@pytest.fixture
def bokeh_server(_bokeh: _Tools, _bokeh_shared_servers: _Servers) -> Callable[..., AppServer]:
    """Start a real server on a free port.

    `server = bokeh_server(app)` serves one app, `bokeh_server({"/a": app, "/b": other})` several; `server.url()` is its
    address. It is stopped when the test ends. With `shared=True`, it goes on until all tests have ended, and each test
    that asks for the same app in this way gets the same server. The other arguments are those of
    `bokeh.server.server.Server`.
    """

    def serve(apps: App | Mapping[str, App], *, shared: bool = False, **options: Any) -> AppServer:
        if shared:
            return _bokeh_shared_servers.get(apps, options)
        from .server import AppServer

        return _bokeh.stack.enter_context(AppServer(apps, **options))

    return serve


@pytest.fixture(scope="session")
def _bokeh_shared_servers() -> Iterator[_Servers]:
    with ExitStack() as stack:
        yield _Servers(stack)


@pytest.fixture(scope="session")
def _bokeh_small_heap() -> Iterator[None]:
    """Leave what is there already out of collections: Bokeh collects all garbage whenever a session ends."""
    importlib.import_module(".opening", __package__)  # and with it Bokeh
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def _bokeh_evidence(request: pytest.FixtureRequest) -> Iterator[_Evidence]:
    evidence = request.node.stash[_EVIDENCE] = _Evidence()
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(evidence)
    yield evidence
    for name in _LOGGERS:
        logging.getLogger(name).removeHandler(evidence)


@pytest.fixture
def _bokeh(
    request: pytest.FixtureRequest, bokeh_transport: str, _bokeh_evidence: _Evidence, _bokeh_small_heap: None
) -> Iterator[_Tools]:
    with ExitStack() as stack:
        yield _Tools(stack, bokeh_transport, _patience_of(request.config), _bokeh_evidence)


@pytest.fixture
async def _bokeh_on_anyio() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def _async_bokeh(request: pytest.FixtureRequest, _bokeh: _Tools) -> Iterator[_AsyncTools]:
    item = request.node
    test = item.obj
    if not inspect.iscoroutinefunction(inspect.unwrap(test)):
        raise pytest.UsageError(
            f"{item.name} is no asynchronous test; use bokeh_app and bokeh_session there, without the async_."
        )
    # Sessions have to be closed on the loop of the test, after whatever fixtures use them. That takes a fixture that is
    # run by the plugin that runs the test.
    if (ending := _ending_fixture_of(item)) is not None:
        yield _AsyncTools(_bokeh, request.getfixturevalue(ending))
        return
    tools = _AsyncTools(_bokeh, AsyncExitStack())

    # Another plugin than those two: its loop is at hand only while the test runs.
    @functools.wraps(test)
    async def closing(*args: Any, **kwargs: Any) -> None:
        async with tools.stack:
            await test(*args, **kwargs)

    item.obj = closing
    yield tools
    item.obj = test


def _ending_fixture_of(item: pytest.Function) -> str | None:
    """Name the fixture that ends sessions on a test's loop; None if neither pytest-asyncio nor anyio runs the test."""
    mark = item.get_closest_marker("asyncio")
    if mark is not None and (loops := item.config.pluginmanager.get_plugin(_LOOPS)) is not None:
        name: str = loops.fixture_for(item, mark)
        return name
    return "_bokeh_on_anyio" if "anyio_backend" in item.fixturenames else None


class _Servers:
    """The servers that tests share, by what they serve."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: list[tuple[Any, dict[str, Any], AppServer]] = []

    def get(self, apps: App | Mapping[str, App], options: dict[str, Any]) -> AppServer:
        from .server import AppServer

        for known, with_options, server in self._running:
            if known == apps and with_options == options:
                return server
        server = self._stack.enter_context(AppServer(apps, **options))
        self._running.append((apps, options, server))
        return server


class _Tools:
    """What the blocking fixtures are made of, for one test.

    Attributes:
        stack: What ends with the test.
        transport: How apps are reached.
        patience: How long sessions wait, in seconds.
        evidence: What is shown if the test fails.
    """

    def __init__(self, stack: ExitStack, transport: str, patience: float, evidence: _Evidence) -> None:
        self.stack = stack
        self.transport = transport
        self.patience = patience
        self.evidence = evidence
        self._hosts: list[tuple[App, str, Host]] = []

    def host_of(self, app: App, transport: str | None) -> Host:
        """Give the app a place to run; the same app gets the same, so that it may have several viewers."""
        from .hosting import host

        name = self.transport if transport is None else transport
        for known, reached_by, place in self._hosts:
            if _is_same(known, app) and reached_by == name:
                return place
        place = host(app, name)
        self.stack.callback(place.stop)
        self._hosts.append((app, name, place))
        return place

    def place_of(self, server: AppServer | str, path: str) -> Host | str:
        from .hosting import served
        from .server import AppServer

        if isinstance(server, AppServer):
            return served(server, path, self.transport)
        if not isinstance(server, str):
            raise TypeError(f"a session is opened of a server of bokeh_server or of a URL, not of {server!r}.")
        if path != "/":
            raise ValueError(f"the path {path!r} goes with a server of bokeh_server; append it to the URL {server!r}.")
        return server

    def open_app(self, app: App, *, transport: str | None = None, **options: Any) -> AppSession:
        return self._pull(self.host_of(app, transport), options)

    def open_session(self, server: AppServer | str, path: str = "/", **options: Any) -> AppSession:
        return self._pull(self.place_of(server, path), options)

    def _pull(self, place: Host | str, options: dict[str, Any]) -> AppSession:
        from .blocking import AppSession
        from .opening import pulled, session_for

        session = session_for(AppSession, place, {"patience": self.patience, **options})
        self.evidence.add(session)
        return self.stack.enter_context(pulled(session))


class _AsyncTools:
    """What the asynchronous fixtures are made of, for one test.

    Attributes:
        stack: What ends after the test and the fixtures that use it, on its loop.
    """

    def __init__(self, tools: _Tools, stack: AsyncExitStack) -> None:
        self.stack = stack
        self._tools = tools

    async def open_app(self, app: App, *, transport: str | None = None, **options: Any) -> AsyncAppSession:
        return await self._pull(self._tools.host_of(app, transport), options)

    async def open_session(self, server: AppServer | str, path: str = "/", **options: Any) -> AsyncAppSession:
        return await self._pull(self._tools.place_of(server, path), options)

    async def _pull(self, place: Host | str, options: dict[str, Any]) -> AsyncAppSession:
        from .aio import AsyncAppSession
        from .opening import async_pulled, session_for

        session = session_for(AsyncAppSession, place, {"patience": self._tools.patience, **options})
        self._tools.evidence.add(session)
        return await self.stack.enter_async_context(async_pulled(session))


def _is_same(app: App, other: App) -> bool:
    """Say whether two are the same app. Paths and bound methods are made anew each time that they are asked for."""
    return app is other or (isinstance(app, str | os.PathLike | MethodType) and bool(app == other))


def _names_of(mark: pytest.Mark) -> list[str]:
    names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def _names_for(node: pytest.Item | pytest.Collector) -> list[str]:
    """Give the transports of a test by its marker, the option, or the setting."""
    mark = node.get_closest_marker(_MARKER)
    if mark is not None:
        if not mark.args:
            raise pytest.UsageError(f"the marker {_MARKER} needs the name of a transport.")
        return list(mark.args)
    given = node.config.getoption("--bokeh-transport") or node.config.getini(_MARKER)
    return [name.strip() for name in str(given).split(",")]


def _patience_of(config: pytest.Config) -> float:
    given = config.getoption("--bokeh-patience")
    try:
        return float(config.getini("bokeh_patience") if given is None else given)
    except ValueError:
        raise pytest.UsageError("the setting bokeh_patience must be a number of seconds.") from None
