"""examples/protocol/tracing_proxy.py between real clients and servers, and between ends that look at every frame."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from msgspec import Raw
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bokehwire import PatchRejected, pull_session, push_session
from bokehwire.protocol import MessageType
from examples.protocol.blocking_client import set_property
from examples.protocol.trace import SEND, Trace
from examples.protocol.tracing_proxy import proxy

from ..apps import model
from ..faults import Close, Script, ScriptedPeer, upgrade
from ..live import DEADLINE, THREAD_PREFIX
from ..servers import SERVER_KINDS, LiveServer
from ..sockets import unused_port
from .programs import running

every_server = pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)


class Proxied:
    """The proxy in a thread; `lines` is what it has written."""

    def __init__(self, server: str) -> None:
        self.lines: list[str] = []
        self._server = server
        self._written = threading.Condition()
        self._ready: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name=f"{THREAD_PREFIX}-proxy")

    @property
    def port(self) -> int:
        return self._ready.result(DEADLINE)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_for(self, pattern: str) -> str:
        """Wait for a line, and return it."""

        def found() -> str | None:
            return next((line for line in self.lines if re.search(pattern, line)), None)

        with self._written:
            line = self._written.wait_for(found, DEADLINE)
        assert line, f"no line matches {pattern!r}: {self.lines}"
        return line

    def _write(self, line: str) -> None:
        with self._written:
            self.lines.append(line)
            self._written.notify_all()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with proxy(self._server, 0, self._write) as listening:
            self._ready.set_result(next(iter(listening.sockets)).getsockname()[1])
            await self._stop.wait()

    def __enter__(self) -> Proxied:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()


@contextmanager
def before(server: LiveServer) -> Iterator[Proxied]:
    with Proxied(f"ws://127.0.0.1:{server.port}") as proxied:
        yield proxied


@contextmanager
def connected(script: Script) -> Iterator[tuple[Proxied, ScriptedPeer, ClientConnection]]:
    """A bare client at one end and a scripted server at the other."""
    with ScriptedPeer(script) as peer, Proxied(f"ws://127.0.0.1:{peer.port}") as proxied:
        offered = [Subprotocol("bokeh"), Subprotocol("a-token")]
        with connect(f"ws://127.0.0.1:{proxied.port}/app/ws?x=1&y=%20", subprotocols=offered) as socket:
            yield proxied, peer, socket


@every_server
def test_a_session_through_it_works_and_every_message_has_its_line(server: LiveServer) -> None:
    with before(server) as proxied:
        with pull_session(url=proxied.url("/slider")) as session:
            model(session.document, "slider").value = 5
            session.force_roundtrip()
            assert model(session.document, "div").text == "slider: 5"
        proxied.wait_for("<- OK .* answers 2")
        lines = [line.split() for line in proxied.lines]
    to_server = [kind for way, kind, *_ in lines if way == "->"]
    to_client = [kind for way, kind, *_ in lines if way == "<-"]
    # The round trip, the last to be asked, is answered by one or the other, depending on the generation.
    assert to_server[:2] == ["PULL-DOC-REQ", "PATCH-DOC"]
    assert to_server[2] in ("SERVER-INFO-REQ", "SYNC")
    assert to_client[:4] == ["ACK", "PULL-DOC-REPLY", "PATCH-DOC", "OK"]
    assert to_client[4] in ("SERVER-INFO-REPLY", "OK")


@every_server
def test_buffers_pass_and_are_counted(server: LiveServer) -> None:
    document = Document()
    document.add_root(ColumnDataSource(name="source", data={"x": np.arange(1000.0), "y": np.arange(1000.0)}))
    with before(server) as proxied:
        with push_session(document, url=proxied.url("/")) as session:
            there = server.edit(session.id, lambda document: model(document, "source").data["x"][-1])
        line = proxied.wait_for("-> PUSH-DOC")
    assert there == 999
    frames = int(line.split()[-2])
    # Header, metadata and content, and two frames a buffer; or one envelope, and one frame a buffer.
    assert frames in (7, 3)
    assert int(line.split()[-4]) > 16_000


@every_server
def test_a_refusal_passes(server: LiveServer) -> None:
    with before(server) as proxied, pull_session(url=proxied.url("/broken")) as session:
        model(session.document, "slider").value = 3
        with pytest.raises(PatchRejected):
            session.force_roundtrip()
        proxied.wait_for("<- ERROR .* answers 2")


# What JSON lets one write in many ways: spaces, escapes, order of keys, unknown keys.
ACK = (' {"msgtype" : "ACK", "msgid":"\\u0031", "other":[1e3] }', "{ }", '{"a":"\\ud800"}')
PATCH = (
    '{"msgid":"s2","msgtype":"PATCH-DOC","num_buffers":1}',
    "{}",
    '{"events" : [ 1.0, 1e2, "ü", "\\u00fc" ]}',
    '{"id" : "b"}',
    bytes(range(256)),
)


def test_frames_pass_unchanged_in_both_directions() -> None:
    with connected(upgrade(*ACK, *PATCH)) as (proxied, peer, socket):
        assert tuple(socket.recv() for _ in (*ACK, *PATCH)) == (*ACK, *PATCH)
        sent = tuple(frame.replace("s2", "c1") if isinstance(frame, str) else frame for frame in PATCH)
        for frame in sent:
            socket.send(frame)
        peer.wait_for(lambda: len(peer.last.received) == len(sent))
        assert tuple(peer.last.received) == sent
        assert peer.last.request is not None
        assert peer.last.request.target == "/app/ws?x=1&y=%20"
        assert peer.last.request.subprotocols == ["bokeh", "a-token"]
        size = sum(len(frame) for frame in PATCH)
        proxied.wait_for(f"^-> PATCH-DOC c1: {size} in 5 frames$")
        assert proxied.lines[:2] == [
            f"<- ACK 1: {sum(len(frame) for frame in ACK)} in 3 frames",
            f"<- PATCH-DOC s2: {size} in 5 frames",
        ]


def test_close_codes_pass() -> None:
    with connected(upgrade(then=Close(4321, "enough"))) as (_, _, socket):
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4321, "enough")
    with connected(upgrade(*ACK)) as (_, peer, socket):
        socket.close(1001, "going")
        peer.wait_for(lambda: peer.connections and peer.last.close)
        assert peer.last.close == Close(1001, "going")


def test_what_breaks_the_protocol_is_told_and_passed_on_too() -> None:
    with connected(upgrade(*ACK, "nonsense", "more")) as (proxied, _, socket):
        assert [socket.recv() for _ in range(5)][3:] == ["nonsense", "more"]
        line = proxied.wait_for("No further frame is read")
        assert line.startswith("<- The header is not JSON")


def test_an_id_may_be_used_again_once_it_is_answered_and_not_before() -> None:
    lines: list[str] = []
    trace = Trace(lines.append)
    ask = '{"msgid":"1","msgtype":"PULL-DOC-REQ"}', "{}", "{}"
    answer = '{"msgid":"s2","msgtype":"PULL-DOC-REPLY","reqid":"1"}', "{}", "{}"
    stray = '{"msgid":"s3","msgtype":"OK","reqid":"nobody\'s"}', "{}", "{}"
    for way, frames in (("<-", ACK), ("->", ask), ("<-", answer), ("<-", stray), ("->", ask), ("->", ask)):
        for frame in frames:
            trace.read(way, frame)
    kinds = [line.split(maxsplit=2)[1] for line in lines]
    assert kinds[:5] == ["ACK", "PULL-DOC-REQ", "PULL-DOC-REPLY", "OK", "PULL-DOC-REQ"]
    assert "duplicate" in lines[5]
    assert len(lines) == 6


def test_what_bokeh_takes_and_nobody_may_write_ends_the_trace_and_nothing_else() -> None:
    lines: list[str] = []
    trace = Trace(lines.append)
    empty = '{"msgid":"","msgtype":"PULL-DOC-REQ"}', "{}", "{}"
    for way, frames in (("<-", ACK), ("->", empty), ("<-", ACK), ("->", empty)):
        for frame in frames:
            trace.read(way, frame)
    assert [line.split(maxsplit=2)[1] for line in lines[:2]] == ["ACK", "PULL-DOC-REQ"]
    assert lines[2].endswith("No further frame is read.")
    assert len(lines) == 3


def test_an_empty_msgid_passes() -> None:
    with connected(upgrade(*ACK)) as (proxied, peer, socket):
        assert tuple(socket.recv() for _ in ACK) == ACK
        frames = ('{"msgid":"","msgtype":"PULL-DOC-REQ"}', "{}", "{}", "more")
        for frame in frames:
            socket.send(frame)
        peer.wait_for(lambda: len(peer.last.received) == len(frames))
        assert tuple(peer.last.received) == frames
        proxied.wait_for("No further frame is read")


def test_what_a_client_is_known_by_passes() -> None:
    known = [("Cookie", "a=1"), ("Authorization", "Bearer x"), ("X-Other", "y")]
    with ScriptedPeer(upgrade(*ACK)) as peer, Proxied(f"ws://127.0.0.1:{peer.port}") as proxied:
        offered = [Subprotocol("bokeh"), Subprotocol("a-token")]
        with connect(f"ws://127.0.0.1:{proxied.port}/ws", subprotocols=offered, additional_headers=known) as socket:
            assert socket.recv() == ACK[0]
        assert peer.last.request is not None
        assert peer.last.request.headers["cookie"] == "a=1"
        assert peer.last.request.headers["authorization"] == "Bearer x"
        assert "x-other" not in peer.last.request.headers


def test_a_server_that_selects_no_subprotocol_is_told_to_the_client() -> None:
    with connected(upgrade(*ACK, subprotocol=None)) as (proxied, _, socket):
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1011
        proxied.wait_for("no connection: the server has not selected")


def test_content_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    contents: list[object] = []
    monkeypatch.setitem(SEND, MessageType.PATCH_DOC, lambda end, message: contents.append(message.content))
    trace = Trace(lambda line: None)
    for frame in (*ACK, *PATCH):
        trace.read("<-", frame)
    (content,) = contents
    assert isinstance(content, Raw)
    assert bytes(content).decode() == PATCH[2]


def test_a_server_that_is_not_there_is_told_to_the_client() -> None:
    with Proxied(f"ws://127.0.0.1:{unused_port()}") as proxied:
        with connect(f"ws://127.0.0.1:{proxied.port}/ws", subprotocols=[Subprotocol("bokeh")]) as socket:
            with pytest.raises(ConnectionClosed) as caught:
                socket.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1011
        proxied.wait_for("no connection")


def test_it_runs_as_its_docstring_says(server: LiveServer) -> None:
    arguments = "-m", "examples.protocol.tracing_proxy", f"ws://127.0.0.1:{server.port}", "0"
    with running(*arguments, ready="listening on port") as (line, process):
        url = f"ws://127.0.0.1:{line.split()[-1]}/slider/ws"
        (change,) = set_property(url, "slider", "value", 4)
        assert change["new"] == "slider: 4"
        assert process.stdout is not None
        assert process.stdout.readline().startswith("<- ACK ")
