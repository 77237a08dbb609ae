"""A client and a server back to back: anything either may do, in any order, compared with a model of both."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bokehwire.protocol import (
    Ack,
    AnyEvent,
    Buffer,
    Connection,
    Error,
    Event,
    Frame,
    Generation,
    Input,
    Limits,
    LocalLimitExceeded,
    LocalProtocolError,
    MalformedFrame,
    Message,
    MessageType,
    Ok,
    Outgoing,
    PatchDoc,
    PullDocReply,
    PullDocReq,
    PushDoc,
    RemoteProtocolError,
    ReplyReceived,
    Request,
    Role,
    ServerInfoReply,
    ServerInfoReq,
    State,
    Sync,
    outcome,
)
from tests.protocol import strategies
from tests.protocol.model import MAX_PENDING, REQUESTS, End, alike
from tests.protocol.wiring import frames_of, ids

contents = st.sampled_from([{}, {"events": [1, None]}, {"doc": {"a": "ü"}}, {"events": ["\ud800"], "x": 1.5}])
buffers_of_a_message = st.lists(
    st.builds(Buffer, st.sampled_from("ab"), strategies.data), max_size=2, unique_by=lambda buffer: buffer.id
)
which = st.integers(0, MAX_PENDING)


class TwoConnections(RuleBasedStateMachine):
    """Both ends. What each has to be told is computed from what the other has sent and from the table."""

    seen: ClassVar[Counter[str]] = Counter()

    @initialize(generation=strategies.generations, shaken=st.sampled_from([True] * 9 + [False]), patience=which)
    def accept(self, generation: Generation, shaken: bool, patience: int) -> None:
        limits = Limits(max_pending=MAX_PENDING)
        self.generation = generation
        self.client = End(Connection(id_factory=ids("c").__next__, limits=limits))
        self.server = End(Connection(Role.SERVER, generation=generation, id_factory=ids("s").__next__, limits=limits))
        # What ends a connection is allowed late, or never, so that most runs are of open ones.
        self.steps, self.patience = 0, 8 * patience + 10
        ack = self.server.connection.ack()
        self.client.send(ack.frames, Ack(ack.msgid))
        if shaken:
            self.deliver_all(self.client)

    def late(self) -> bool:
        return self.steps > self.patience

    @rule(kind=st.sampled_from(Request), content=contents, buffers=buffers_of_a_message, at_once=st.booleans())
    def client_asks(self, kind: Request, content: Any, buffers: list[Buffer], at_once: bool) -> None:
        client = self.client.connection
        roundtrip = ServerInfoReq if self.generation is Generation.V3 else Sync
        asks: dict[Request, Callable[[], Outgoing]] = {
            Request.PULL_DOC: client.pull_doc,
            Request.PUSH_DOC: lambda: client.push_doc(content, buffers),
            Request.PATCH_DOC: lambda: client.patch_doc(content, buffers),
        }
        ask = asks.get(kind, client.roundtrip)
        if client.state is not State.OPEN or len(self.client.pending) == MAX_PENDING:
            with pytest.raises(LocalLimitExceeded if client.state is State.OPEN else LocalProtocolError):
                ask()
            return
        outgoing = ask()
        messages: dict[Request, Message] = {
            Request.PULL_DOC: PullDocReq(outgoing.msgid),
            Request.PUSH_DOC: PushDoc(outgoing.msgid, content, tuple(buffers)),
            Request.PATCH_DOC: PatchDoc(outgoing.msgid, content, tuple(buffers)),
        }
        message = messages.get(kind, roundtrip(outgoing.msgid))
        self.client.pending[outgoing.msgid] = REQUESTS[type(message)][0]
        self.server.send(outgoing.frames, message)
        if at_once:
            self.deliver_all(self.server)

    @rule(content=contents, buffers=buffers_of_a_message)
    def server_patches(self, content: Any, buffers: list[Buffer]) -> None:
        server = self.server.connection
        if server.state is State.OPEN:
            outgoing = server.patch_doc(content, buffers)
            self.client.send(outgoing.frames, PatchDoc(outgoing.msgid, content, tuple(buffers)))
        else:
            with pytest.raises(LocalProtocolError):
                server.patch_doc(content, buffers)

    @precondition(lambda self: self.server.pending)
    @rule(which=which, refuse=st.booleans(), content=contents, buffers=buffers_of_a_message, at_once=st.booleans())
    def server_answers(self, which: int, refuse: bool, content: Any, buffers: list[Buffer], at_once: bool) -> None:
        server = self.server.connection
        reqid = list(self.server.pending)[which % len(self.server.pending)]
        request = self.server.pending[reqid]

        def answer() -> tuple[Outgoing, Callable[[str], Message]]:
            if refuse:
                return server.refuse(reqid, "no", "where"), lambda msgid: Error(msgid, reqid, "no", "where")
            if request is Request.PULL_DOC:
                outgoing = server.pull_doc_reply(reqid, content, buffers)
                return outgoing, lambda msgid: PullDocReply(msgid, reqid, content, tuple(buffers))
            if request is Request.SERVER_INFO:
                outgoing = server.server_info_reply(reqid, content)
                return outgoing, lambda msgid: ServerInfoReply(msgid, reqid, content)
            return server.ok(reqid), lambda msgid: Ok(msgid, reqid)

        if server.state is State.OPEN:
            outgoing, message = answer()
            del self.server.pending[reqid]
            self.client.send(outgoing.frames, message(outgoing.msgid))
            if at_once:
                self.deliver_all(self.client)
        else:
            with pytest.raises(LocalProtocolError):
                answer()

    @precondition(lambda self: self.client.coming or self.server.coming)
    @rule(to_server=st.booleans(), whole=st.booleans())
    def something_arrives(self, to_server: bool, whole: bool) -> None:
        end = self.server if to_server and self.server.coming else self.client
        while not self.deliver(end) and whole:
            pass

    @precondition(lambda self: self.client.coming or self.server.coming)
    @rule()
    def all_arrives(self) -> None:
        self.deliver_all(self.server)
        self.deliver_all(self.client)

    @precondition(lambda self: self.server.pending)
    @rule(backwards=st.booleans())
    def all_is_answered(self, backwards: bool) -> None:
        for _ in range(len(self.server.pending)):
            self.server_answers(which=-1 if backwards else 0, refuse=False, content={}, buffers=[], at_once=True)

    def deliver_all(self, end: End) -> None:
        while end.coming and not end.connection.closed:
            self.deliver(end)

    def deliver(self, end: End) -> bool:
        """Feed one frame, compare what comes of it, and say whether it was the last of a message."""
        connection = end.connection
        if not end.coming or connection.closed:
            return True
        frame, last, message = end.coming.popleft()
        before = connection.state
        if before is State.FAILED:
            with pytest.raises(RemoteProtocolError) as again:
                connection.receive_frame(frame)
            assert again.value is connection.error
        elif not last:
            assert connection.receive_frame(frame) is None
            assert connection.mid_message
            assert connection.state is before
        elif message is None:
            self.fails(end, frame, Input.RECEIVE_FAULT, MalformedFrame)
        else:
            self.means(end, frame, message)
        return last

    def means(self, end: End, frame: Frame, message: Message) -> None:
        connection, before = end.connection, end.connection.state
        if isinstance(message, Ack) and connection.generation is None:  # in generation 4 the ACK is the first frame
            event: Event | None = connection.receive_frame(frame)
            given, expected = end.expect(message)
        else:
            others = len(end.pending)
            given, expected = end.expect(message)
            if isinstance(expected, type):
                self.fails(end, frame, given, expected)
                return
            event = connection.receive_frame(frame)
            if isinstance(event, ReplyReceived) and others > 1:
                self.seen["reply while others are pending"] += 1
        assert isinstance(expected, AnyEvent)
        assert alike(event, expected), (event, expected)
        assert connection.state is outcome(connection.role, before, given).state
        assert not connection.mid_message
        self.seen[type(event).__name__] += 1
        self.seen["buffers"] += len(getattr(message, "buffers", ()))

    def fails(self, end: End, frame: Frame, given: Input, error: type[RemoteProtocolError]) -> None:
        with pytest.raises(error) as caught:
            end.connection.receive_frame(frame)
        assert outcome(end.connection.role, State.OPEN, given).state is State.FAILED
        assert end.connection.error is caught.value
        assert end.connection.state is State.FAILED
        self.seen[given.value] += 1

    @precondition(lambda self: self.client.pending)
    @rule(again=st.booleans(), kind=st.sampled_from([MessageType.OK, MessageType.ERROR, MessageType.PULL_DOC_REPLY]))
    def a_stray_reply_is_sent(self, again: bool, kind: MessageType) -> None:
        reqid = self.client.answered[-1] if again and self.client.answered else "nobody's"
        self.reply_with(kind, reqid)

    def reply_with(self, kind: MessageType, reqid: str) -> None:
        content = {"text": "t"} if kind is MessageType.ERROR else {}
        messages: dict[MessageType, Message] = {
            MessageType.OK: Ok("x", reqid),
            MessageType.ERROR: Error("x", reqid, "t"),
            MessageType.PULL_DOC_REPLY: PullDocReply("x", reqid, {}),
        }
        header = {"msgid": "x", "msgtype": kind.value, "reqid": reqid}
        self.client.send(frames_of(self.generation, header, content), messages[kind])

    @precondition(lambda self: self.late() and self.client.pending)
    @rule(which=which)
    def a_wrong_reply_is_sent(self, which: int) -> None:
        reqid = list(self.client.pending)[which % len(self.client.pending)]
        wrong = MessageType.OK if self.client.pending[reqid] is Request.PULL_DOC else MessageType.PULL_DOC_REPLY
        self.reply_with(wrong, reqid)
        self.deliver_all(self.client)

    @precondition(lambda self: self.late() and self.server.pending)
    @rule(which=which)
    def a_duplicate_is_sent(self, which: int) -> None:
        msgid = list(self.server.pending)[which % len(self.server.pending)]
        header = {"msgid": msgid, "msgtype": "PULL-DOC-REQ"}
        self.server.send(frames_of(self.generation, header, {}), PullDocReq(msgid))
        self.deliver_all(self.server)

    @precondition(lambda self: self.late())
    @rule(to_server=st.booleans(), garbage=st.sampled_from(["", "{", json.dumps(["msgtype"]), b"{}"]))
    def garbage_is_sent(self, to_server: bool, garbage: Frame) -> None:
        (self.server if to_server else self.client).send([garbage], None)

    @precondition(lambda self: self.late())
    @rule(server=st.booleans())
    def asks_for_the_close(self, server: bool) -> None:
        connection = (self.server if server else self.client).connection
        before = connection.state
        if before is State.CLOSED:
            with pytest.raises(LocalProtocolError):
                connection.send_close()
            return
        assert connection.send_close() == (1000, "")
        assert connection.close_expected
        assert connection.state is outcome(connection.role, before, Input.SEND_CLOSE).state
        self.seen["send close"] += 1

    @precondition(lambda self: self.late())
    @rule(server=st.booleans(), code=st.sampled_from([1000, 1006, None]))
    def is_closed(self, server: bool, code: int | None) -> None:
        end = self.server if server else self.client
        if end.connection.closed:
            with pytest.raises(LocalProtocolError):
                end.connection.receive_close(code)
            return
        expected, mid_message = end.connection.close_expected, end.connection.mid_message
        closed = end.connection.receive_close(code)
        assert (closed.code, closed.expected, closed.unanswered) == (code, expected, tuple(end.pending))
        assert closed.mid_message == mid_message
        end.pending.clear()
        self.seen["Closed"] += 1

    @invariant()
    def each_end_knows_what_the_model_knows(self) -> None:
        self.steps += 1
        for end in (self.client, self.server):
            assert list(end.connection.pending.items()) == list(end.pending.items())
            assert (end.connection.error is not None) >= (end.connection.state is State.FAILED)
            if end.connection.error is not None:
                assert end.connection.state in (State.FAILED, State.CLOSED)

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.all_arrives()
            self.seen["runs"] += 1


TestTwoConnections = TwoConnections.TestCase


def test_the_runs_are_not_empty() -> None:
    class Counted(TwoConnections):
        seen: ClassVar[Counter[str]] = Counter()

    profile = settings(
        max_examples=100,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Counted, settings=profile)
    # Well below what is drawn, which differs from version to version of Hypothesis.
    floors = {
        "runs": 90,
        "Ready": 90,
        "RequestReceived": 150,
        "ReplyReceived": 100,
        "reply while others are pending": 50,
        "PatchReceived": 200,
        "UnknownReply": 50,
        "buffers": 200,
        "receive wrong reply": 2,
        "receive duplicate request": 2,
        "receive fault": 3,
        "send close": 60,
        "Closed": 10,
    }
    assert {name: Counted.seen[name] for name, floor in floors.items() if Counted.seen[name] < floor} == {}, (
        Counted.seen
    )
