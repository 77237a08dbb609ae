"""An exchange of a session with a real server through the fault proxy, one phase after the other.

It does what programs do: it connects, pulls or pushes, changes and is told of changes, and closes with a change still
under way. It notes what it changed and what it was told, so that it can be said whether anything was lost silently.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Div, Slider

from bokehwire import BokehWireError, ClientSession, ConnectionLost, Reconnect
from bokehwire.session.portal import Portal

from ..apps import model
from ..live import DEADLINE, LiveServer
from ..proxy import FaultProxy
from ..session.faces import AnySession, Face, contents, do

__all__ = ["APP", "PLANS", "Change", "Exchange", "Limits", "app", "surviving_tasks"]

APP = "/exchange"

PLANS = {
    "handshake": ("handshake", "pull", "close"),
    "pull": ("handshake", "pull", "close"),
    "patch": ("handshake", "pull", "patch", "close"),
    "buffers": ("handshake", "pull", "buffers", "close"),
    "server patch": ("handshake", "pull", "server patch", "close"),
    "round trip": ("handshake", "pull", "round trip", "close"),
    "push": ("handshake", "push", "close"),
    "close": ("handshake", "pull", "close"),
}
"""For each phase in which faults happen, the phases that are played."""

_numbers = itertools.count(1)


def app(document: Document) -> None:
    """A slider that the server mirrors into a div, another div, and a source whose columns are binary."""
    for root in _roots():
        document.add_root(root)
    control, mirror = model(document, "slider"), model(document, "mirror")
    control.on_change("value", lambda attr, old, new: mirror.update(text=f"slider: {new}"))


def _roots() -> list[Any]:
    data = {"x": np.arange(4), "y": np.linspace(0, 1, 4)}
    return [
        Slider(name="slider", start=0, end=100, value=1),
        Div(name="mirror", text=""),
        Div(name="note", text=""),
        ColumnDataSource(name="source", data=data),
    ]


@dataclass(frozen=True)
class Limits:
    """The session's limits in time, in seconds."""

    connect: float
    reply: float
    close: float


@dataclass(frozen=True)
class Change:
    """A change of a property that the program has made."""

    model_id: str
    name: str
    attribute: str
    value: Any

    def is_in(self, document: Document) -> bool:
        """Whether a document has the change."""
        found: Any = document.select_one({"name": self.name})
        if found is None:
            return False
        value = getattr(found, self.attribute)
        if isinstance(self.value, dict):  # rows may have been added since
            return value.keys() == self.value.keys() and all(
                list(value[key])[: len(column)] == list(column) for key, column in self.value.items()
            )
        return bool(value == self.value)

    def is_named_in(self, texts: list[str]) -> bool:
        """Whether one of the texts that errors have for changes is about this one."""
        return any(repr(self.model_id) in text and f".{self.attribute}" in text for text in texts)


class Exchange:
    """One session's life.

    Args:
        face: How the session is used.
        server: Where it ends, whose application APP is `app`.
        proxy: What is between them, armed already.
        limits: The session's limits in time.
        reconnect: Whether the session connects again after a loss.

    Attributes:
        errors: Each phase that failed, and how, in order.
        changes: What was changed by the program.
    """

    def __init__(
        self,
        face: Face,
        server: LiveServer,
        proxy: FaultProxy,
        limits: Limits,
        reconnect: bool | Reconnect = False,
    ) -> None:
        self._face = face
        self._server = server
        self._proxy = proxy
        self._limits = limits
        self._pushed = Document()
        self.errors: list[tuple[str, BokehWireError]] = []
        self.changes: list[Change] = []
        self.session: AnySession = face.session(
            session_id=f"exchange-{next(_numbers)}",
            websocket_url=proxy.websocket_url(APP),
            connect_timeout=limits.connect,
            reply_timeout=limits.reply,
            close_timeout=limits.close,
            reconnect=reconnect,
        )

    def be_patient(self) -> None:
        """Have the session wait for answers as long as a busy machine may need, now that nothing keeps them away."""
        self._limits = replace(self._limits, connect=DEADLINE, reply=DEADLINE)
        session = self.session._session if isinstance(self.session, ClientSession) else self.session
        attachment = session._attachment
        attachment._settings = replace(attachment._settings, connect_timeout=DEADLINE, reply_timeout=DEADLINE)

    async def play(self, phase: str) -> bool:
        """Plays one phase; returns whether it went well."""
        self._proxy.enter(phase)
        step: Callable[[], Coroutine[Any, Any, None]] = getattr(self, "_" + phase.replace(" ", "_"))
        try:
            await step()
        except BokehWireError as error:
            self.errors.append((phase, error))
            return False
        return True

    @property
    def is_lost(self) -> bool:
        """Whether the program has been told that the connection is lost."""
        return any(isinstance(error, ConnectionLost) for _, error in self.errors)

    def lost_silently(self) -> list[Change]:
        """The changes that the server does not have and that no error has named."""
        texts = [
            text
            for _, error in self.errors
            for attribute in ("unconfirmed", "changes")
            for text in getattr(error, attribute, ())
        ]
        missing = [change for change in self.changes if not change.is_named_in(texts)]
        if not missing:
            return []
        return self._server.call(lambda: [change for change in missing if not change.is_in(self._document_there())])

    def differs(self) -> bool:
        """Whether the documents here and on the server are different."""
        return self._server.call(lambda: contents(self._document_there())) != contents(self.session.document)

    def _document_there(self) -> Document:
        return self._server._session(self.session.id, APP).document

    def _change(self, name: str, attribute: str, value: Any) -> None:
        target = model(self.session.document, name)
        self.changes.append(Change(target.id, name, attribute, value))
        setattr(target, attribute, value)

    async def _handshake(self) -> None:
        await do(self.session.connect())
        self.session.check_connection_errors()

    async def _pull(self) -> None:
        await do(self.session.pull())

    async def _push(self) -> None:
        document = self.session.document
        if document is None:
            document = self._pushed
            if not document.roots:
                for root in _roots():
                    document.add_root(root)
        await do(self.session.push(document))

    async def _patch(self) -> None:
        if not any(change.name == "slider" for change in self.changes):
            self._change("slider", "value", 7)
        await do(self.session.force_roundtrip())

    async def _buffers(self) -> None:
        if not any(change.name == "source" for change in self.changes):
            self._change("source", "data", {"x": np.arange(8.0), "z": np.arange(8) * 2})
        await do(self.session.force_roundtrip())

    async def _stream(self) -> None:
        """Adds rows in several messages, some of them joined; twice the same rows would be seen in their number."""
        source = model(self.session.document, "source")
        columns = list(source.data)
        rows = len(source.data["x"]) + 4
        for number in range(4):
            source.stream({name: [number] for name in columns})
        await do(self.session.force_roundtrip())
        assert len(source.data["x"]) == rows

    async def _round_trip(self) -> None:
        await do(self.session.force_roundtrip())

    async def _server_patch(self) -> None:
        mirror = model(self.session.document, "mirror")

        def change(document: Document) -> None:
            model(document, "mirror").text = "from the server"

        await self._face.edit(self._server, self.session, change, APP)
        await do(self.session.wait_for(lambda: mirror.text == "from the server", self._limits.reply))

    async def _close(self) -> None:
        if self.session.document is not None and self.session.connected:
            self._change("note", "text", "bye")
        await do(self.session.close())


async def surviving_tasks(face: Face) -> set[str]:
    """The tasks on the face's loop, other than this one, that do not end by themselves at once."""

    async def look() -> set[str]:
        me, tasks = asyncio.current_task(), asyncio.all_tasks()
        for _ in range(200):
            tasks = asyncio.all_tasks() - {me}
            if not tasks:
                break
            await asyncio.sleep(0)
        return {repr(task) for task in tasks}

    if face.kind == "async":
        return await look()
    if face.loop is not None:
        return face.loop.run_until_complete(look())
    return Portal.current().run(look())
