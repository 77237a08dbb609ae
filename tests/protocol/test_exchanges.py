"""Whole exchanges between a client and a server in memory, in both generations."""

from __future__ import annotations

import gc
import inspect
import re
import subprocess
import sys
import traceback
import weakref
from collections.abc import Sequence
from types import GeneratorType
from typing import Any

import msgspec
import pytest

from bokehwire.protocol import (
    Ack,
    Buffer,
    Closed,
    Connection,
    Error,
    Generation,
    InvalidClose,
    InvalidContent,
    InvalidFrame,
    InvalidId,
    Limits,
    LocalLimitExceeded,
    MalformedFrame,
    MessageType,
    NotInGeneration,
    Ok,
    PatchDoc,
    PatchReceived,
    PullDocReply,
    PullDocReq,
    PushDoc,
    ReadingFailed,
    Ready,
    ReplyReceived,
    Request,
    RequestReceived,
    Role,
    ServerInfoReply,
    ServerInfoReq,
    State,
    Sync,
    UnexpectedMessage,
    UnknownReply,
    UnknownRequest,
    WrongState,
)
from tests.protocol.wiring import (
    both_generations,
    deliver,
    feed,
    frames_of,
    ids,
    make_client,
    make_server,
    pair,
    rejected,
    state_of,
)

EVENTS: dict[str, Any] = {"events": [{"kind": "ModelChanged", "model": {"id": "p1001"}, "attr": "value", "new": None}]}
DOC: dict[str, Any] = {"doc": {"version": "3.9.2", "title": "Ünïcode", "roots": [], "callbacks": {}}}
BUFFERS = (Buffer("p2001", b"\x00\x01"), Buffer("p2002", b""))


@both_generations
def test_pull(generation: Generation) -> None:
    client, server = pair(generation)
    asked = client.pull_doc()
    assert client.pending == {"c1": Request.PULL_DOC}
    assert deliver(server, asked) == RequestReceived(Request.PULL_DOC, PullDocReq("c1"))
    assert server.pending == {"c1": Request.PULL_DOC}
    replied = server.pull_doc_reply("c1", DOC, BUFFERS)
    assert server.pending == {}
    reply = PullDocReply("s2", "c1", DOC, BUFFERS)
    assert deliver(client, replied) == ReplyReceived(Request.PULL_DOC, "c1", reply)
    assert client.pending == {}


@both_generations
def test_push_is_answered_after_the_echo(generation: Generation) -> None:
    client, server = pair(generation)
    pushed = client.push_doc(DOC, BUFFERS)
    assert deliver(server, pushed) == RequestReceived(Request.PUSH_DOC, PushDoc("c1", DOC, BUFFERS))
    assert deliver(client, server.patch_doc(EVENTS)) == PatchReceived(PatchDoc("s2", EVENTS))
    assert deliver(client, server.ok("c1")) == ReplyReceived(Request.PUSH_DOC, "c1", Ok("s3", "c1"))


@both_generations
def test_patch_each_way_and_a_reaction_before_the_answer(generation: Generation) -> None:
    client, server = pair(generation)
    patched = client.patch_doc(EVENTS, BUFFERS)
    assert deliver(server, patched) == RequestReceived(Request.PATCH_DOC, PatchDoc("c1", EVENTS, BUFFERS))
    assert deliver(client, server.patch_doc(EVENTS, BUFFERS)) == PatchReceived(PatchDoc("s2", EVENTS, BUFFERS))
    assert client.pending == {"c1": Request.PATCH_DOC}
    assert server.pending == {"c1": Request.PATCH_DOC}
    assert deliver(client, server.ok("c1")) == ReplyReceived(Request.PATCH_DOC, "c1", Ok("s3", "c1"))


@both_generations
@pytest.mark.parametrize("traceback", [None, "Traceback ..."])
def test_refused(generation: Generation, traceback: str | None) -> None:
    client, server = pair(generation)
    deliver(server, client.patch_doc(EVENTS))
    event = deliver(client, server.refuse("c1", "ValueError('no')", traceback))
    assert event == ReplyReceived(Request.PATCH_DOC, "c1", Error("s2", "c1", "ValueError('no')", traceback))


def test_roundtrip_is_server_info_in_generation_3() -> None:
    client, server = pair(Generation.V3)
    assert deliver(server, client.roundtrip()) == RequestReceived(Request.SERVER_INFO, ServerInfoReq("c1"))
    info = {"version_info": {"bokeh": "3.9.2", "server": "3.9.2"}}
    event = deliver(client, server.server_info_reply("c1", info))
    assert event == ReplyReceived(Request.SERVER_INFO, "c1", ServerInfoReply("s2", "c1", info))
    assert deliver(server, client.server_info()) == RequestReceived(Request.SERVER_INFO, ServerInfoReq("c2"))


def test_roundtrip_is_sync_in_generation_4() -> None:
    client, server = pair(Generation.V4)
    assert deliver(server, client.roundtrip()) == RequestReceived(Request.SYNC, Sync("c1"))
    assert deliver(client, server.ok("c1")) == ReplyReceived(Request.SYNC, "c1", Ok("s2", "c1"))
    with pytest.raises(NotInGeneration, match="roundtrip"):
        client.server_info()
    assert client.pending == {}


@both_generations
def test_any_number_in_flight_and_replies_in_any_order(generation: Generation) -> None:
    client, server = pair(generation)
    asked = [client.pull_doc(), client.patch_doc(EVENTS), client.roundtrip(), client.push_doc(DOC)]
    for outgoing in asked:
        deliver(server, outgoing)
    assert list(client.pending) == list(server.pending) == ["c1", "c2", "c3", "c4"]
    info = server.ok("c3") if generation is Generation.V4 else server.server_info_reply("c3", {})
    replies = [server.ok("c4"), info, server.pull_doc_reply("c1", DOC), server.ok("c2")]
    order = []
    for outgoing in replies:
        event = deliver(client, outgoing)
        assert isinstance(event, ReplyReceived)
        order.append(event.reqid)
    assert order == ["c4", "c3", "c1", "c2"]
    assert client.pending == server.pending == {}


@both_generations
@pytest.mark.parametrize("reqid", ["nobody", "", None])
def test_a_reply_to_nothing_is_an_event_of_its_own(generation: Generation, reqid: str | None) -> None:
    client, _server = pair(generation)
    client.pull_doc()
    header = {"msgid": "x", "msgtype": "OK"} | ({} if reqid is None else {"reqid": reqid})
    assert feed(client, frames_of(generation, header, {})) == UnknownReply(Ok("x", reqid))
    assert client.pending == {"c1": Request.PULL_DOC}


@both_generations
def test_a_reply_of_a_kind_that_does_not_fit_breaks_the_protocol(generation: Generation) -> None:
    client, _server = pair(generation)
    client.pull_doc()
    error = rejected(client, frames_of(generation, {"msgid": "x", "msgtype": "OK", "reqid": "c1"}, {}))
    assert isinstance(error, UnexpectedMessage)
    assert "OK" in str(error)
    assert error.close_code == 1002


@both_generations
def test_a_server_answers_each_request_once_and_with_what_fits(generation: Generation) -> None:
    client, server = pair(generation)
    deliver(server, client.pull_doc())
    with pytest.raises(UnknownRequest, match=r"ERROR or PULL-DOC-REPLY, not by OK"):
        server.ok("c1")
    with pytest.raises(UnknownRequest, match="'c2'"):
        server.refuse("c2", "no")
    server.refuse("c1", "no")
    with pytest.raises(UnknownRequest):
        server.refuse("c1", "no")


@both_generations
def test_a_request_id_may_come_again_only_after_its_answer(generation: Generation) -> None:
    client, server = pair(generation)
    again = client.patch_doc(EVENTS)
    deliver(server, again)
    server.ok("c1")
    deliver(server, again)
    error = rejected(server, list(again.frames))
    assert isinstance(error, UnexpectedMessage)
    assert "duplicate" in str(error)


@both_generations
def test_ids_of_the_two_ends_have_nothing_to_do_with_each_other(generation: Generation) -> None:
    client, server = Connection(), Connection(Role.SERVER, generation=generation)
    assert feed(client, server.ack().frames) is not None
    deliver(server, client.patch_doc(EVENTS))
    assert client.pull_doc().msgid == server.patch_doc(EVENTS).msgid == "2"
    assert deliver(client, server.ok("1")) == ReplyReceived(Request.PATCH_DOC, "1", Ok("3", "1"))


@both_generations
@pytest.mark.parametrize("made", ["", None, 7, "c"])
def test_an_id_factory_that_fails_changes_nothing(generation: Generation, made: Any) -> None:
    client = Connection(id_factory=iter(["c", made, "d"]).__next__)
    feed(client, make_server(generation).ack().frames)
    client.pull_doc()
    with pytest.raises(InvalidId):
        client.pull_doc()
    assert client.pending == {"c": Request.PULL_DOC}
    assert client.pull_doc().msgid == "d"


@both_generations
def test_what_cannot_be_sent_takes_no_id(generation: Generation) -> None:
    limits = Limits(max_outgoing_size=200)
    client = Connection(id_factory=ids("c").__next__, limits=limits)
    feed(client, make_server(generation).ack().frames)
    for _ in range(3):
        with pytest.raises(InvalidContent):
            client.patch_doc({"events": [float("nan")]})
        with pytest.raises(LocalLimitExceeded):
            client.patch_doc({"events": ["x" * 300]})
    assert [client.pull_doc().msgid, client.pull_doc().msgid] == ["c1", "c2"]
    with pytest.raises(InvalidContent):
        client.patch_doc({"events": [object()]})
    assert client.pull_doc().msgid == "c3"


@both_generations
def test_what_no_caller_may_ask_for_is_our_callers_fault(generation: Generation) -> None:
    client, server = pair(generation)
    deliver(server, client.patch_doc(EVENTS))
    wrong: Any
    for wrong in (5, None, b"no"):
        with pytest.raises(InvalidContent, match=f"text .* not {type(wrong).__name__}"):
            server.refuse("c1", wrong)
    with pytest.raises(InvalidContent, match=r"traceback .* not int"):
        server.refuse("c1", "no", 5)  # type: ignore[arg-type]
    for wrong in ([], 5, None):
        with pytest.raises(UnknownRequest):
            server.ok(wrong)
    wrong = 5
    with pytest.raises(InvalidContent, match="iterable of Buffer, not int"):
        client.patch_doc(EVENTS, wrong)
    for wrong in ([], "1000", 1000.0, None):
        with pytest.raises(InvalidClose, match=re.escape(repr(wrong))):
            client.send_close(wrong)
    for wrong in (None, 5, b"done"):
        with pytest.raises(InvalidClose, match=f"str, not {type(wrong).__name__}"):
            client.send_close(1000, wrong)
    assert list(server.pending) == ["c1"]
    assert client.state is server.state is State.OPEN


def test_where_the_message_may_not_be_sent_at_all_the_state_is_named_first() -> None:
    client, server = pair(Generation.V4)
    with pytest.raises(WrongState):
        server.server_info()
    client.receive_close()
    with pytest.raises(WrongState):
        client.server_info()


@both_generations
def test_content_that_holds_its_own_message_is_collected(generation: Generation) -> None:
    client, server = pair(generation)
    asked = client.patch_doc({"events": []})
    events: list[Any] = [deliver(server, asked), deliver(client, server.patch_doc({}))]
    if generation is Generation.V3:
        deliver(server, client.server_info())
        events.append(deliver(client, server.server_info_reply("c2", {})))
    deliver(server, client.pull_doc())
    events += [
        deliver(client, server.pull_doc_reply(list(server.pending)[-1], {})),
        deliver(server, client.push_doc({})),
        feed(client, frames_of(generation, {"msgid": "x", "msgtype": "PULL-DOC-REPLY", "reqid": "y"}, {})),
    ]
    markers = [Marker() for _ in events]
    for event, marker in zip(events, markers, strict=True):
        event.message.content["back"] = [event, marker]
    alive = [weakref.ref(marker) for marker in markers]
    # A small message stays with the connection until the next one.
    del client, server, events, event, markers, marker
    gc.collect()
    assert [reference() for reference in alive] == [None] * len(alive)


class Marker:
    """Something that can be seen to be gone."""


@both_generations
def test_the_client_learns_the_generation_from_the_first_frame(generation: Generation) -> None:
    client = make_client()
    first, *rest = make_server(generation).ack().frames
    event = client.receive_frame(first)
    assert client.generation == generation
    for frame in rest:
        assert event is None
        event = client.receive_frame(frame)
    assert state_of(client) is State.OPEN


@both_generations
def test_a_client_may_be_told_the_generation(generation: Generation) -> None:
    client = Connection(generation=generation)
    deliver(client, make_server(generation).ack())
    other = Connection(generation=Generation(7 - generation))
    rejected(other, make_server(generation).ack().frames[:1])


def test_a_server_has_to_choose_the_generation() -> None:
    with pytest.raises(ValueError, match="generation"):
        Connection(Role.SERVER)


@both_generations
def test_role_and_generation_by_their_values_are_what_they_stand_for(generation: Generation) -> None:
    given: Any = generation.value
    server = Connection("server", generation=given)  # type: ignore[arg-type]
    assert server.role is Role.SERVER
    assert server.generation is generation
    assert deliver(make_client(), server.ack()) == Ready(generation, "1")


@pytest.mark.parametrize(("role", "generation"), [("proxy", None), (Role.SERVER, 5), (Role.CLIENT, "3")])
def test_a_role_or_a_generation_that_there_is_not(role: Any, generation: Any) -> None:
    with pytest.raises(ValueError, match=r"not a valid (Role|Generation)"):
        Connection(role, generation=generation)


@both_generations
def test_a_client_that_speaks_before_the_ack_is_refused(generation: Generation) -> None:
    error = rejected(make_server(generation), ["{}"])
    assert isinstance(error, UnexpectedMessage)
    assert "ACK" in str(error)


@both_generations
def test_a_long_id_is_cut_in_what_is_said_of_it(generation: Generation) -> None:
    client, _server = pair(generation)
    error = rejected(client, frames_of(generation, {"msgid": "x" * 10_000, "msgtype": "ACK"}, {}))
    assert 80 < len(str(error)) < 300


def test_our_own_mistakes_are_internal_errors_to_the_peer() -> None:
    for mistake in (InvalidClose, InvalidContent, InvalidFrame, InvalidId, NotInGeneration, UnknownRequest, WrongState):
        assert mistake("no").close_code == 1011
    for fault in (MalformedFrame, UnexpectedMessage):
        assert fault("no").close_code == 1002


@both_generations
def test_a_second_ack_breaks_the_protocol(generation: Generation) -> None:
    client, _server = pair(generation)
    rejected(client, frames_of(generation, {"msgid": "x", "msgtype": "ACK"}, {}))


@both_generations
def test_nothing_is_sent_before_the_ack_or_after_the_close(generation: Generation) -> None:
    client, server = make_client(), make_server(generation)
    with pytest.raises(WrongState, match="ACK"):
        client.roundtrip()
    with pytest.raises(WrongState, match="ACK"):
        server.patch_doc(EVENTS)
    deliver(client, server.ack())
    client.send_close()
    with pytest.raises(WrongState, match="close"):
        client.patch_doc(EVENTS)
    client.receive_close(1000)
    with pytest.raises(WrongState, match="new connection"):
        client.patch_doc(EVENTS)
    with pytest.raises(WrongState, match="new connection"):
        client.receive_frame("{}")
    with pytest.raises(WrongState):
        client.receive_close(1000)
    with pytest.raises(WrongState):
        client.send_close()
    assert client.closed


@both_generations
def test_close_by_us(generation: Generation) -> None:
    client, server = pair(generation)
    client.pull_doc()
    assert client.send_close(1000, "done") == (1000, "done")
    assert client.send_close(1001) == (1001, "")
    assert client.close_expected
    assert deliver(client, server.patch_doc(EVENTS)) == PatchReceived(PatchDoc("s2", EVENTS))
    assert client.receive_close(1000, "done") == Closed(1000, "done", True, ("c1",), False)
    assert server.receive_close(1000, "done") == Closed(1000, "done", False, (), False)
    assert client.pending == {}


@both_generations
def test_close_by_the_peer_in_the_middle_of_a_message(generation: Generation) -> None:
    client, server = pair(generation)
    client.pull_doc()
    client.patch_doc(EVENTS)
    frames = server.patch_doc(EVENTS, BUFFERS).frames
    for frame in frames[:-1]:
        client.receive_frame(frame)
    assert client.receive_close(None) == Closed(None, "", False, ("c1", "c2"), True)


@both_generations
def test_close_before_the_ack(generation: Generation) -> None:
    client, server = make_client(), make_server(generation)
    client.send_close()
    assert state_of(client) is State.ABANDONED
    deliver(client, server.ack())
    assert state_of(client) is State.CLOSING
    assert client.receive_close(1000).expected
    refusing = make_server(generation)
    refusing.send_close(1008, "no such session")
    assert state_of(refusing) is State.ABANDONED
    assert make_client().receive_close(1008, "no such session") == Closed(1008, "no such session", False, (), False)


@both_generations
def test_after_a_fault_the_close_is_left(generation: Generation) -> None:
    client, _server = pair(generation)
    client.pull_doc()
    error = rejected(client, ["garbage"])
    with pytest.raises(WrongState, match="broke the protocol"):
        client.patch_doc(EVENTS)
    assert client.send_close(error.close_code, "x" * 200) == (1002, "x" * 123)
    assert client.receive_close(1006) == Closed(1006, "", True, ("c1",), False)
    assert client.error is error
    assert state_of(client) is State.CLOSED


def test_a_close_reason_is_cut_between_characters() -> None:
    assert make_client().send_close(1000, "ü" * 100) == (1000, "ü" * 61)
    assert make_client().send_close(1000, "\ud800") == (1000, "?")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 10000, 10001, -1])
def test_a_close_code_that_nobody_may_send(code: int) -> None:
    client = make_client()
    with pytest.raises(InvalidClose, match=str(code)):
        client.send_close(code)
    assert state_of(client) is State.HANDSHAKE


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1011, 1014, 3000, 4999])
def test_a_close_code_that_may_be_sent(code: int) -> None:
    assert make_client().send_close(code) == (code, "")


@both_generations
@pytest.mark.parametrize("frame", [None, 7, ["{}"]])
def test_what_is_no_frame_is_our_callers_fault(generation: Generation, frame: Any) -> None:
    client, server = pair(generation)
    fresh = make_client()
    for connection in (client, fresh):
        with pytest.raises(InvalidFrame, match=type(frame).__name__):
            connection.receive_frame(frame)
    frames = server.patch_doc(EVENTS, BUFFERS).frames
    for part in frames[:-1]:
        client.receive_frame(part)
        with pytest.raises(InvalidFrame):
            client.receive_frame(frame)
    assert client.receive_frame(frames[-1]) == PatchReceived(PatchDoc("s2", EVENTS, BUFFERS))
    assert state_of(fresh) is State.HANDSHAKE


class Misbehaving(str):
    """Text during whose reading something else goes wrong."""

    error: type[BaseException]

    def __len__(self) -> int:
        raise self.error


def misbehaving(error: type[BaseException]) -> Misbehaving:
    text = Misbehaving("{}")
    text.error = error
    return text


def released() -> memoryview:
    view = memoryview(b"1")
    view.release()
    return view


def failed(connection: Connection, name: str) -> None:
    """What holds after reading has failed."""
    error = connection.error
    assert isinstance(error, ReadingFailed)
    assert re.search(f"^{name} .*make a new connection", str(error))
    assert error.close_code == 1011
    assert connection.state is State.FAILED
    for frame in ("{}", b"", '{"msgid":"x","msgtype":"PATCH-DOC"}'):
        with pytest.raises(ReadingFailed) as again:
            connection.receive_frame(frame)
        assert again.value is error
    with pytest.raises(WrongState, match="reading failed"):
        connection.patch_doc(EVENTS)
    assert connection.send_close(error.close_code) == (1011, "")
    assert connection.receive_close(1011) == Closed(1011, "", True, ("c1",), False)


@both_generations
@pytest.mark.parametrize("error", [TypeError, ValueError, RecursionError, MemoryError, StopIteration])
def test_an_exception_that_nobody_foresees_ends_the_reading(generation: Generation, error: type[Exception]) -> None:
    client, _server = pair(generation)
    client.pull_doc()
    with pytest.raises(ReadingFailed) as caught:
        client.receive_frame(misbehaving(error))
    assert isinstance(caught.value.__cause__, error | RuntimeError)
    failed(client, type(caught.value.__cause__).__name__)


@both_generations
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_passes_and_ends_the_reading(generation: Generation, error: type[BaseException]) -> None:
    client, _server = pair(generation)
    client.pull_doc()
    with pytest.raises(error):
        client.receive_frame(misbehaving(error))
    failed(client, error.__name__)


@both_generations
def test_a_released_view_as_a_buffer_ends_the_reading(generation: Generation) -> None:
    client, server = pair(generation)
    client.pull_doc()
    *frames, _data = server.patch_doc(EVENTS, [Buffer("b", b"1")]).frames
    for frame in frames:
        client.receive_frame(frame)
    with pytest.raises(ReadingFailed) as caught:
        client.receive_frame(released())
    assert isinstance(caught.value.__cause__, ValueError)
    assert client.mid_message
    assert client.receive_close().mid_message


@both_generations
def test_where_the_stack_ends_reading_ends_in_a_documented_state(generation: Generation) -> None:
    outcomes: set[str] = set()

    def descend(levels: int) -> None:
        if levels:
            descend(levels - 1)
        else:
            outcomes.add(receive())

    def receive() -> str:
        try:
            for frame in frames:
                client.receive_frame(frame)
        except (
            ReadingFailed,
            MalformedFrame,
        ):  # the second where the frame is found to nest deeper than the stack goes
            return client.state.name
        except RecursionError:  # not even the error can be made here
            return "no stack"
        return client.state.name

    frames = make_server(generation).ack().frames
    depth = len(inspect.stack())
    for levels in range(sys.getrecursionlimit() - depth - 40, sys.getrecursionlimit() - depth):
        client = make_client()
        try:
            descend(levels)
        except RecursionError:
            break
        if client.state is State.HANDSHAKE:  # the stack ended before the reading or in it; now there is enough
            with pytest.raises((ReadingFailed, MalformedFrame)):
                feed(client, ["[]"] * 3)
            assert state_of(client) is State.FAILED
    assert "OPEN" in outcomes
    assert outcomes & {"FAILED", "no stack"}


def test_a_frame_of_the_wrong_kind_is_not_compared_with_text() -> None:
    # Python can be told to refuse such comparisons, and the peer must not be able to cause one.
    program = """if True:
        from bokehwire.protocol import Connection, Generation, MalformedFrame
        client = Connection(generation=Generation.V3)
        client.receive_frame('{"msgid":"s","msgtype":"ACK"}')
        try:
            client.receive_frame(b"{}")
        except MalformedFrame:
            print("refused")
    """
    done = subprocess.run([sys.executable, "-bb", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_an_error_that_is_raised_again_does_not_grow() -> None:
    client, _server = pair(Generation.V3)
    lengths = set()
    for _ in range(3):
        error = rejected(client, ["garbage"]) if client.error is None else client.error
        with pytest.raises(MalformedFrame):
            client.receive_frame("{}")
        lengths.add(len(traceback.extract_tb(error.__traceback__)))
    assert len(lengths) == 1


@both_generations
@pytest.mark.parametrize("buffers", [(), BUFFERS], ids=["text", "buffers"])
def test_a_large_message_is_not_kept_until_the_next_one(generation: Generation, buffers: Sequence[Buffer]) -> None:
    client, server = pair(generation)
    event = deliver(client, server.patch_doc({"events": ["." * 5000]}, buffers))
    assert isinstance(event, PatchReceived)
    content = event.message.content
    del event
    assert not [holder for holder in gc.get_referrers(content) if isinstance(holder, GeneratorType)]


@both_generations
def test_raw_content_is_passed_on_undecoded(generation: Generation) -> None:
    client, server = pair(generation, raw_content=True)
    event = deliver(server, client.patch_doc(EVENTS, BUFFERS))
    assert isinstance(event, RequestReceived)
    assert isinstance(event.message, PatchDoc)
    assert isinstance(event.message.content, msgspec.Raw)
    assert msgspec.json.decode(event.message.content) == EVENTS
    passed_on = client.patch_doc(event.message.content, event.message.buffers)
    assert passed_on.frames[1:] == client.patch_doc(EVENTS, BUFFERS).frames[1:] or generation is Generation.V4
    error = deliver(client, server.refuse("c1", "no", "where"))
    assert error == ReplyReceived(Request.PATCH_DOC, "c1", Error("s2", "c1", "no", "where"))


@both_generations
def test_parts_of_content_may_be_encoded_already(generation: Generation) -> None:
    client, server = pair(generation)
    parts = [msgspec.Raw(b'{"a":null}'), {"b": None}]
    event = deliver(server, client.patch_doc({"events": parts}))
    assert event == RequestReceived(Request.PATCH_DOC, PatchDoc("c1", {"events": [{"a": None}, {"b": None}]}))


@both_generations
def test_buffers_are_kept_without_a_copy(generation: Generation) -> None:
    client, server = pair(generation)
    held = bytearray(b"12345678")
    outgoing = server.patch_doc(EVENTS, [Buffer("b", memoryview(held).cast("I"))])
    view = outgoing.frames[-1]
    assert isinstance(view, memoryview)
    assert (view.format, view.obj is held) == ("B", True)
    event = deliver(client, outgoing)
    assert isinstance(event, PatchReceived)
    assert event.message.buffers[0].data is view


def test_buffers_are_equal_by_their_bytes() -> None:
    assert Buffer("b", b"12") == Buffer("b", bytearray(b"12")) == Buffer("b", memoryview(b"12"))
    assert Buffer("b", b"12") != Buffer("b", b"21")
    assert Buffer("b", b"12") != Buffer("c", b"12")


def test_messages_know_their_type_and_are_frozen() -> None:
    assert Ack("x").type is MessageType.ACK
    with pytest.raises(AttributeError):
        Ack("x").msgid = "y"  # type: ignore[misc]


@both_generations
def test_a_connection_says_what_it_was_made_as(generation: Generation) -> None:
    client, server = pair(generation)
    assert (client.role, server.role) == (Role.CLIENT, Role.SERVER)
    assert client.generation is server.generation is generation
    assert client.error is None
    assert not client.closed


def test_pending_is_a_read_only_view() -> None:
    client, _server = pair(Generation.V3)
    with pytest.raises(TypeError):
        client.pending["x"] = Request.PULL_DOC  # type: ignore[index]
