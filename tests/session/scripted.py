"""The sync engine by itself: its requests are collected, and answered by the test."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock

from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Slider

from bokehwire import ConnectionLost
from bokehwire.protocol import Ok, PatchDoc, PullDocReply
from bokehwire.session.encoding import encode_document
from bokehwire.session.recovery import Recovery
from bokehwire.session.requests import Answered, Disconnected, Group, Lost, Patched, Reconnected, Request
from bokehwire.session.sync import SyncEngine


class Scripted:
    """An engine with a pushed document, and all it asks of its session."""

    def __init__(self, *, new_session: bool = False) -> None:
        self.posted: list[Request] = []
        self.interruption: BaseException | None = None
        self.resumed: list[tuple[Any, Group, int]] = []
        self.troubles: list[Exception] = []
        self.given_up: list[tuple[Exception | None, tuple[str, ...]]] = []
        self.recoveries: list[Any] = []
        self.doubted: Group = ()
        self.unsent: Group = ()
        self.received = 0
        recovery = Recovery(
            push_into_new_session=new_session,
            give_up=lambda failure, changes: self.given_up.append((failure, changes)),
            doubted=lambda: self.doubted,
            drop_changes=self.drop_changes,
            reached=lambda: None,
            recovered=self.recoveries.append,
        )
        self.schedule = Mock()
        self.engine = SyncEngine(
            self.post, lambda *told: self.resumed.append(told), self.schedule, self.troubles.append, recovery
        )
        self.slider = Slider(start=0, end=9, value=1)
        self.source = ColumnDataSource(data={"x": [0], "y": [0]})
        self.document = Document()
        self.document.add_root(self.source)
        self.document.add_root(self.slider)
        self.push = self.engine.push(self.document)

    def post(self, request: Request) -> None:
        if self.interruption is not None:
            raise self.interruption
        self.posted.append(request)

    def drop_changes(self) -> Group:
        return self.unsent

    def answer(self, reply: Any) -> None:
        """Answer what was asked last and is not kept waiting."""
        self.engine.handle(Answered((self.asked()[-1],), reply))

    def asked(self) -> list[Request]:
        return [request for request in self.posted if request.urgent or request is self.push]

    def receive(self, *events: dict[str, Any]) -> None:
        """Have the server send changes in one message."""
        self.received += 1
        self.engine.handle(Patched(PatchDoc(f"p{self.received}", {"events": list(events)}), self.received))

    def lose(self, number: int = 1) -> None:
        self.received += 1  # whatever the server changes meanwhile
        self.engine.handle(Disconnected(ConnectionLost("cut", code=None, reason=""), number, self.received))

    def end(self) -> None:
        self.engine.handle(Lost(ConnectionLost("over", code=None, reason="")))

    def reconnect(self, *, same_process: bool = True) -> None:
        self.engine.handle(Reconnected(1, 0.0, False, same_process))

    def contents(self) -> PullDocReply:
        encoded = encode_document(self.document)
        return PullDocReply("s", "r", json.loads(bytes(encoded.content)), encoded.buffers)

    def come_back(self, contents: PullDocReply | None = None, *, same_process: bool = True) -> None:
        """Lose the connection, and be compared over the next one, with what is here if nothing else is given."""
        self.lose()
        self.reconnect(same_process=same_process)
        self.answer(Ok("s", "r"))
        self.answer(self.contents() if contents is None else contents)

    def start_over(self) -> Request:
        """Lose the connection, and find a new session; give the push into it."""
        self.unsent = tuple(self.posted[1:])
        self.come_back(same_process=False)
        push: Request = self.resumed[-1][0][0][0]
        return push
