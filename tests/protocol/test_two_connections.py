"""A client and a server back to back: anything either may do, in any order, frame by frame, and what never changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bokehwire.protocol import (
    Buffer,
    Connection,
    Error,
    Frame,
    Generation,
    Limits,
    LocalLimitExceeded,
    LocalProtocolError,
    Outgoing,
    PatchReceived,
    Ready,
    RemoteProtocolError,
    ReplyReceived,
    Request,
    RequestReceived,
    Role,
    State,
    UnknownReply,
)
from tests.protocol import strategies
from tests.protocol.wiring import ids

MAX_PENDING = 6
small_contents = st.sampled_from([{}, {"events": [1, None]}, {"doc": {"a": "ü"}}, {"events": ["\ud800"]}])
small_buffers = st.lists(
    st.builds(Buffer, st.sampled_from("ab"), strategies.data), max_size=2, unique_by=lambda b: b.id
)


class TwoConnections(RuleBasedStateMachine):
    """Both ends, the frames on their way, and what each end has to be told."""

    def __init__(self) -> None:
        super().__init__()
        limits = Limits(max_pending=MAX_PENDING)
        self.generation = Generation.V3
        self.client = Connection(id_factory=ids("c").__next__, limits=limits)
        self.limits = limits
        self.server: Connection | None = None
        self.to_server: deque[Frame] = deque()
        self.to_client: deque[Frame] = deque()
        # What was sent and has not been reported at the other end.
        self.requests: deque[tuple[str, Request, Any]] = deque()
        self.replies: deque[tuple[str, type]] = deque()
        self.patches: deque[tuple[str, Any]] = deque()
        self.answered: set[str] = set()
        self.client_broken = self.server_broken = False

    def send(self, way: deque[Frame], outgoing: Outgoing) -> str:
        way.extend(outgoing.frames)
        return outgoing.msgid

    @precondition(lambda self: self.server is None)
    @rule(generation=strategies.generations)
    def accept(self, generation: Generation) -> None:
        self.generation = generation
        self.server = Connection(Role.SERVER, generation=generation, id_factory=ids("s").__next__, limits=self.limits)
        self.send(self.to_client, self.server.ack())

    def ask(self, kind: Request, content: Any, buffers: Iterable[Buffer]) -> Outgoing:
        match kind:
            case Request.PULL_DOC:
                return self.client.pull_doc()
            case Request.PUSH_DOC:
                return self.client.push_doc(content, buffers)
            case Request.PATCH_DOC:
                return self.client.patch_doc(content, buffers)
            case _:
                return self.client.roundtrip()

    @rule(kind=st.sampled_from(Request), content=small_contents, buffers=small_buffers)
    def client_asks(self, kind: Request, content: Any, buffers: list[Buffer]) -> None:
        if kind in (Request.SERVER_INFO, Request.SYNC):
            kind = Request.SYNC if self.client.generation is Generation.V4 else Request.SERVER_INFO
        before = list(self.client.pending)
        if self.client.state is not State.OPEN or len(before) == MAX_PENDING:
            expected = LocalLimitExceeded if self.client.state is State.OPEN else LocalProtocolError
            with pytest.raises(expected):
                self.ask(kind, content, buffers)
            assert list(self.client.pending) == before
            return
        msgid = self.send(self.to_server, self.ask(kind, content, buffers))
        assert list(self.client.pending) == [*before, msgid]
        self.requests.append((msgid, kind, content if kind in (Request.PATCH_DOC, Request.PUSH_DOC) else None))

    @precondition(lambda self: self.server is not None)
    @rule(content=small_contents, buffers=small_buffers)
    def server_patches(self, content: Any, buffers: list[Buffer]) -> None:
        assert self.server is not None
        if self.server.state is State.OPEN:
            msgid = self.send(self.to_client, self.server.patch_doc(content, buffers))
            self.patches.append((msgid, content))
        else:
            with pytest.raises(LocalProtocolError):
                self.server.patch_doc(content, buffers)

    @precondition(lambda self: self.server is not None and self.server.pending)
    @rule(which=st.integers(0, MAX_PENDING), refuse=st.booleans(), content=small_contents)
    def server_answers(self, which: int, refuse: bool, content: Any) -> None:
        server = self.server
        assert server is not None
        reqid = list(server.pending)[which % len(server.pending)]
        kind = server.pending[reqid]

        def answer() -> Outgoing:
            if refuse:
                return server.refuse(reqid, "no")
            match kind:
                case Request.PULL_DOC:
                    return server.pull_doc_reply(reqid, content)
                case Request.SERVER_INFO:
                    return server.server_info_reply(reqid, content)
                case _:
                    return server.ok(reqid)

        if server.state is State.OPEN:
            self.send(self.to_client, answer())
            assert reqid not in server.pending
            self.replies.append((reqid, Error if refuse else object))
        else:
            with pytest.raises(LocalProtocolError):
                answer()
            assert reqid in server.pending

    @precondition(lambda self: self.to_server and self.server is not None and not self.server.closed)
    @rule()
    def server_receives(self) -> None:
        assert self.server is not None
        frame = self.to_server.popleft()
        if self.server_broken:
            with pytest.raises(RemoteProtocolError):
                self.server.receive_frame(frame)
            return
        match self.server.receive_frame(frame):
            case RequestReceived(request=request, message=message):
                msgid, kind, content = self.requests.popleft()
                assert (message.msgid, request) == (msgid, kind)
                assert getattr(message, "content", None) == content
            case event:
                assert event is None

    @precondition(lambda self: self.to_client and not self.client.closed)
    @rule()
    def client_receives(self) -> None:
        frame = self.to_client.popleft()
        if self.client_broken:
            with pytest.raises(RemoteProtocolError):
                self.client.receive_frame(frame)
            return
        match self.client.receive_frame(frame):
            case Ready(generation=generation):
                assert generation is self.generation
            case PatchReceived(message=message):
                assert (message.msgid, message.content) == self.patches.popleft()
            case ReplyReceived(reqid=reqid, message=message):
                expected, kind = self.replies.popleft()
                assert reqid == expected
                assert isinstance(message, kind)
                assert reqid not in self.answered
                self.answered.add(reqid)
            case UnknownReply():
                raise AssertionError("every reply answers something")
            case event:
                assert event is None

    @rule(server=st.booleans())
    def asks_for_the_close(self, server: bool) -> None:
        end = self.server if server else self.client
        if end is not None and not end.closed:
            end.send_close()
            assert end.close_expected

    @rule(server=st.booleans())
    def breaks(self, server: bool) -> None:
        end = self.server if server else self.client
        if end is None or end.state in (State.CLOSED, State.FAILED):
            return
        # An empty text is wrong in every place.
        with pytest.raises(RemoteProtocolError) as caught:
            end.receive_frame("")
        assert end.error is caught.value
        if server:
            self.server_broken = True
        else:
            self.client_broken = True

    @rule(server=st.booleans(), code=st.sampled_from([1000, 1006, None]))
    def is_closed(self, server: bool, code: int | None) -> None:
        end = self.server if server else self.client
        if end is None:
            return
        if end.closed:
            with pytest.raises(LocalProtocolError):
                end.receive_close(code)
            return
        expected, unanswered, mid_message = end.close_expected, tuple(end.pending), end.mid_message
        closed = end.receive_close(code)
        assert (closed.code, closed.expected, closed.unanswered) == (code, expected, unanswered)
        assert closed.mid_message == mid_message
        assert not end.pending

    @invariant()
    def what_the_server_owes_the_client_waits_for(self) -> None:
        if self.server is not None and not self.client.closed:
            waiting = [msgid for msgid in self.client.pending if msgid in self.server.pending]
            assert waiting == list(self.server.pending)

    @invariant()
    def everything_asked_is_somewhere(self) -> None:
        if self.server is None or self.client.closed or self.server.closed:
            return
        on_the_way = [msgid for msgid, _kind, _content in self.requests]
        coming_back = [reqid for reqid, _kind in self.replies]
        assert set(self.client.pending) == {*on_the_way, *self.server.pending, *coming_back}

    @invariant()
    def an_error_is_a_failure(self) -> None:
        for end in (self.client, self.server):
            if end is not None and end.error is not None:
                assert end.state in (State.FAILED, State.CLOSED)

    @invariant()
    def nothing_is_left_when_all_has_arrived(self) -> None:
        whole = self.server is not None and not self.to_client and not self.to_server
        if whole and not (self.client_broken or self.server_broken):
            assert not self.requests
            assert not self.replies
            assert not self.patches
            assert not self.client.mid_message


TestTwoConnections = TwoConnections.TestCase
