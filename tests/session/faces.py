"""The faces of a session - blocking, blocking on a given loop, asynchronous - behind one way to write a scenario.

A scenario is a coroutine function that takes a `Face`. With the asynchronous face it runs on an asyncio loop. With a
blocking face it runs to its end without suspending, since everything it awaits has blocked already; the thread is then
not inside an event loop.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from bokeh.core.serialization import Serializable, Serializer
from bokeh.document import Document
from bokeh.model import Model

from bokehwire import (
    AsyncClientSession,
    ClientSession,
    async_pull_session,
    async_push_session,
    pull_session,
    push_session,
)
from bokehwire.transports import Transport

from ..servers import LiveServer

if TYPE_CHECKING:
    from .inprocess import InProcess

T = TypeVar("T")

Contents = tuple[str, list[str], dict[str, tuple[str, dict[str, Any]]]]
AnySession = AsyncClientSession | ClientSession
Scenario = Callable[["Face"], Coroutine[Any, Any, None]]


async def do(value: T | Awaitable[T]) -> T:
    """Await what an asynchronous session gave; pass on what a blocking one gave."""
    if inspect.isawaitable(value):
        result: T = await value
        return result
    return value


@dataclass
class Face:
    """One way to use sessions, over one transport.

    Attributes:
        kind: "blocking", "io_loop" or "async".
        transport: The transport, or its name.
        loop: The loop that an "io_loop" face drives.
        apps: The standard apps, where they are reached without a server.
    """

    kind: str
    transport: str | Transport
    loop: asyncio.AbstractEventLoop | None = None
    sessions: list[AnySession] = field(default_factory=list)
    apps: InProcess | None = None

    def session(self, **options: Any) -> AnySession:
        """Make a session that is not connected."""
        options.setdefault("transport", self.transport)
        is_async = self.kind == "async"
        session = AsyncClientSession(**options) if is_async else ClientSession(io_loop=self.loop, **options)
        self.sessions.append(session)
        return session

    async def pull(self, **options: Any) -> AnySession:
        """Pull a session."""
        options.setdefault("transport", self.transport)
        session: AnySession
        if self.kind == "async":
            session = await async_pull_session(**options)
        else:
            session = pull_session(io_loop=self.loop, **options)
        self.sessions.append(session)
        return session

    async def push(self, document: Document, **options: Any) -> AnySession:
        """Push a document."""
        options.setdefault("transport", self.transport)
        session: AnySession
        if self.kind == "async":
            session = await async_push_session(document, **options)
        else:
            session = push_session(document, io_loop=self.loop, **options)
        self.sessions.append(session)
        return session

    async def edit(
        self, server: LiveServer, session: AnySession, change: Callable[[Document], T], path: str = "/"
    ) -> T:
        """Change the session's document on the server, as a callback there would."""
        place = server if self.apps is None else self.apps
        if self.kind == "async":
            return await place.aedit(session.id, change, path)
        return place.edit(session.id, change, path)

    @asynccontextmanager
    async def inside(self, session: AnySession) -> AsyncIterator[None]:
        """Be in a `with` block of a session, or in an `async with` block."""
        if isinstance(session, ClientSession):
            with session:
                yield
        else:
            async with session:
                yield

    def session_ids(self, server: LiveServer, path: str) -> set[str]:
        """The ids of the sessions that an app has."""
        return (server if self.apps is None else self.apps).session_ids(path)

    def play(self, scenario: Scenario) -> None:
        """Run a scenario to its end, and close every session that it left open."""
        if self.kind == "async":
            asyncio.run(self._play(scenario))
            return
        if self.kind == "io_loop":
            self.loop = asyncio.new_event_loop()
        coroutine = self._play(scenario)
        try:
            coroutine.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("a blocking scenario has suspended")
        finally:
            coroutine.close()
            if self.loop is not None:
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
                self.loop.close()

    async def _play(self, scenario: Scenario) -> None:
        try:
            await scenario(self)
        finally:
            for session in self.sessions:
                await do(session.close())
            if self.apps is not None:
                if self.kind == "async":
                    await self.apps.stop()
                else:
                    self.apps.stop_from_outside()


def differences(theirs: Contents, ours: Contents) -> str:
    """Say where two documents differ."""
    found = [
        f"{what}: {a!r} there, {b!r} here"
        for what, a, b in zip(("title", "roots"), theirs, ours, strict=False)
        if a != b
    ]
    for key in sorted(theirs[2].keys() | ours[2].keys()):
        (kind, there), (_, here) = theirs[2].get(key, ("nothing", {})), ours[2].get(key, ("nothing", {}))
        names = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
        found += [f"{kind} {key}.{name}: {there.get(name)!r} there, {here.get(name)!r} here" for name in names]
    return "\n".join(found)


def contents(document: Document | None, *, defaults: bool = True) -> Contents:
    """What a document holds, in a form that can be compared: title, roots, and every property of every model.

    Without `defaults` it is quickly found, and documents may look different that are not, but not the other way round.
    """
    assert document is not None
    models = {
        str(model.id): (
            type(model).__name__,
            {name: _plain(value) for name, value in model.properties_with_values(include_defaults=defaults).items()},
        )
        for model in document.models
    }
    return document.title, [str(root.id) for root in document.roots], models


def _plain(value: Any) -> Any:
    """A value without what does not travel: which container type holds numbers, and the order of sets."""
    if isinstance(value, Model):
        return {"id": value.id}
    if isinstance(value, Mapping):
        return {repr(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, pd.Series | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, set | frozenset):
        return sorted(repr(_plain(item)) for item in value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value) or isinstance(value, Serializable):
        return repr(Serializer(deferred=False).encode(value))
    return repr(value) if isinstance(value, float) else value
