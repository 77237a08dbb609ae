"""Sessions that are recorded with their app and replayed without it, and what departs from a recording."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bokeh
import numpy as np
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Button, Div, Slider, TextInput, Toggle

from bokehwire.protocol import Generation
from bokehwire.session import AsyncClientSession
from bokehwire.testing import (
    AsyncAppSession,
    ReplayDeparted,
    ReplayTransport,
    TranscriptTransport,
    open_app,
    open_replay,
)
from bokehwire.testing.conformance.running import connected
from bokehwire.testing.matching import Matcher
from bokehwire.transports import ConnectError, ConnectionClosed, Transport
from tools.capture import transcript

from ..faults import Close, Ending, PeerConnection, ScriptedPeer, upgrade
from .bokeh_peer import BokehPeer
from .conftest import TRANSPORTS
from .places import Place, do


def counter(doc: Document) -> None:
    text, button = Div(name="text", text="0"), Button(name="more", label="More")
    button.on_click(lambda: setattr(text, "text", str(int(text.text) + 1)))
    for model in (text, button, ColumnDataSource(name="source", data={"x": np.zeros(2)})):
        doc.add_root(model)


async def play(session: Any) -> None:
    """All that travels: events, buffers, and a model with an id that is new each time."""
    await do(session.click("more"))
    await do(session.click("more"))
    assert session.find("text").text == "2"
    await do(session.set("source", data={"x": np.arange(3.0)}))
    session.document.add_root(Div(name="new", text="added"))
    await do(session.force_roundtrip())
    await do(session.set("new", text="changed"))
    assert list(session.find("source").data["x"]) == [0.0, 1.0, 2.0]


def blocking(scenario: Callable[[Any], Any], session: Any) -> None:
    with pytest.raises(StopIteration):
        scenario(session).send(None)


@pytest.fixture(params=TRANSPORTS)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "session.jsonl"
    with open_app(counter, transport=request.param, record=path) as session:
        blocking(play, session)
    return path


def test_a_recording_is_played_without_an_app(recorded: Path) -> None:
    for _ in range(2):
        with open_replay(recorded) as session:
            blocking(play, session)


def test_an_asynchronous_session_is_recorded_and_replayed(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    Place("async", "auto").play(counter, play, record=path)

    async def main() -> None:
        transport = ReplayTransport(path)
        async with AsyncAppSession(websocket_url="ws://nowhere/ws", transport=transport) as session:
            await session.pull()
            await play(session)
        transport.check()

    asyncio.run(main())


def test_a_recording_is_a_transcript_as_the_specification_has_them(recorded: Path) -> None:
    read = transcript.read(recorded)
    assert (read.bokeh, read.client, read.exchange) == (bokeh.__version__, "bokehwire", "session")
    assert read.generation == (Generation.V4 if bokeh.__version__.startswith("4") else Generation.V3)
    assert isinstance(read.entries[0], transcript.Sent)
    assert read.entries[0].sender == "server"
    assert any(isinstance(entry, transcript.Sent) and isinstance(entry.frame, bytes) for entry in read.entries)
    assert isinstance(read.entries[-1], transcript.SentClose)
    assert read.entries[-1].sender == "client"


def test_a_transcript_of_the_specification_is_played() -> None:
    path = transcript.FOLDER / f"{bokeh.__version__}-tornado-python" / "pull-buffers.jsonl"
    with open_replay(path) as session:
        assert session.document is not None
        assert session.document.roots


def test_a_folder_that_is_missing_is_found_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"), open_app(counter, record=tmp_path / "missing" / "x.jsonl"):
        pytest.fail("the session was opened")


def test_two_open_sessions_need_a_file_each(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    with open_app(counter, record=path) as session:
        # However the file is named, and whatever else is recorded.
        again = tmp_path / "other" / ".." / "session.jsonl"
        (tmp_path / "other").mkdir()
        with pytest.raises(FileExistsError, match=r"session\.jsonl, and a second one"), open_app(counter, record=again):
            pytest.fail("the session was opened")
        with open_app(counter, record=tmp_path / "second.jsonl"):
            session.click("more")
    with open_replay(path) as session:
        session.click("more")
    with open_app(counter, record=path):  # what has ended is replaced
        pass
    with open_replay(path):
        pass


def test_a_file_that_is_taken_meanwhile_is_found_when_connecting(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"

    async def quiet(connection: PeerConnection) -> None:
        await connection.accept()
        await connection.drain_client()

    async def main() -> None:
        with ScriptedPeer(quiet) as peer:
            first, second = (TranscriptTransport("tornado", path) for _ in range(2))
            async with connected(first, peer.websocket_url("/app")):
                with pytest.raises(ConnectError, match="a file of its own"):
                    async with connected(second, peer.websocket_url("/app")):
                        pytest.fail("the session was opened")
            async with connected(second, peer.websocket_url("/app")):
                pass

    asyncio.run(main())


def test_what_departs_is_shown(recorded: Path) -> None:
    told = r"session\.jsonl, line \d+: .*'ModelChanged', not 'MessageSent'"
    with pytest.raises(ReplayDeparted, match=told), open_replay(recorded) as session:
        session.set("text", text="x")


def test_what_is_left_is_shown(recorded: Path) -> None:
    told = r"line \d+: what follows was not sent: "
    with pytest.raises(ReplayDeparted, match=told), open_replay(recorded) as session:
        session.click("more")


def test_what_is_sent_beyond_the_end_is_shown(recorded: Path) -> None:
    def too_much() -> None:
        with open_replay(recorded) as session:
            blocking(play, session)
            session.click("more")

    with pytest.raises(ReplayDeparted, match="has nothing more of the client, and this was sent"):
        too_much()


def test_what_fails_within_the_block_is_what_is_raised(recorded: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_replay(recorded):
        raise ZeroDivisionError


def test_a_second_connection_has_lines_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"

    async def visit(transport: Any, url: str, title: str) -> None:
        async with AsyncClientSession(websocket_url=url, transport=transport) as session:
            await session.pull()
            assert session.document is not None
            session.document.title = title
            await session.force_roundtrip()

    async def main() -> None:
        with ScriptedPeer(BokehPeer(Generation.V4)) as peer:
            recording = TranscriptTransport("aiohttp", path)
            await visit(recording, peer.websocket_url("/app"), "first")
            await visit(recording, peer.websocket_url("/app"), "second")
        replay = ReplayTransport(path)
        await visit(replay, "ws://nowhere/ws", "first")
        with pytest.raises(ReplayDeparted, match="1 connection"):
            replay.check()
        await visit(replay, "ws://nowhere/ws", "second")
        replay.check()
        with pytest.raises(ConnectError, match="has 2 connection"):
            await visit(replay, "ws://nowhere/ws", "third")

    asyncio.run(main())


ACK = json.dumps({"header": {"msgid": "a", "msgtype": "ACK"}, "content": {}, "buffers": []})


@pytest.mark.parametrize(("ending", "code"), [(Close(1012, "restart"), 1012), (Close(None), 1005), (Ending.EOF, 1006)])
def test_an_end_that_the_server_makes_is_replayed(ending: Close | Ending, code: int, tmp_path: Path) -> None:
    path = tmp_path / "ended.jsonl"

    async def ended(transport: Transport, url: str) -> None:
        async with connected(transport, url) as socket:
            assert await socket.receive() == [ACK]
            with pytest.raises(ConnectionClosed) as caught:
                await socket.receive()
        assert (caught.value.code, caught.value.clean) == (code, code != 1006)

    with ScriptedPeer(upgrade(ACK, then=ending)) as peer:
        asyncio.run(ended(TranscriptTransport("tornado", path), peer.websocket_url("/app")))
    assert json.loads(path.read_text("utf-8").splitlines()[-1])["from"] == "server"
    replay = ReplayTransport(path)
    asyncio.run(ended(replay, "ws://nowhere/ws"))
    replay.check()


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", '{"from": "server", "text": "before its connection"}', '{"what": 1}', '{"exchange": "x"}\n7'],
)
def test_what_is_no_transcript(text: str, tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match="is no line of a transcript"):
        ReplayTransport(path)


def test_ids_may_be_others_as_long_as_each_stands_for_one() -> None:
    matcher = Matcher()
    assert matcher.difference('{"id": "a", "x": ["a"]}', '{"id": "b", "x": ["a"]}') is None
    assert matcher.difference('{"id": "a"}', '{"id": "c"}') == "id is 'c', which does not stand for 'a'"
    assert matcher.difference('{"id": "d"}', '{"id": "b"}') == "id is 'b', which does not stand for 'd'"
    assert matcher.translated('{"reqid": "a", "text": "a"}') == '{"reqid": "b", "text": "a"}'
    assert matcher.translated('{"buffers": ["a"], "text": "a"}') == '{"buffers": ["b"], "text": "a"}'
    assert matcher.translated(b'"a"') == b'"a"'


@pytest.mark.parametrize(
    ("recorded", "sent", "difference"),
    [
        ('{"x": 1}', "{}", "x is missing"),
        ("{}", '{"x": 1}', "x is new"),
        ('{"x": [1]}', '{"x": [1, 2]}', "x has 2 items, not 1"),
        ('{"x": [{"y": 1}]}', '{"x": [{"y": 2}]}', "x[0].y is 2, not 1"),
        ("1", "true", "the frame is True, not 1"),
        ("a", "b", "another text is sent"),
        ("a", b"a", "another frame is sent"),
        (b"a", b"b", "another frame is sent"),
        ("a", "a", None),
        ('{"x":1}', '{ "x": 1 }', None),
    ],
)
def test_differences(recorded: str | bytes, sent: str | bytes, difference: str | None) -> None:
    assert Matcher().difference(recorded, sent) == difference


def test_each_step_of_an_action_has_a_message_of_its_own(face: Place, tmp_path: Path) -> None:
    def app(document: Document) -> None:
        for model in (Slider(name="slider", start=0, end=9, value=0), TextInput(name="text"), Toggle(name="toggle")):
            document.add_root(model)

    async def scenario(session: Any) -> None:
        await do(session.set("slider", value=3))
        await do(session.set("text", value="words", title="of wisdom"))
        await do(session.click("toggle"))

    path = tmp_path / "steps.jsonl"
    face.play(app, scenario, record=path)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    frames = [json.loads(line["text"]) for line in lines if line.get("from") == "client" and "text" in line]
    contents = [frame.get("content", frame) for frame in frames]
    sent = [len(content["events"]) for content in contents if "events" in content]
    assert sent == [1] * 7
    with open_replay(path) as page:
        blocking(scenario, page)


def test_a_folder_is_no_file_for_a_transcript(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder; give a file"):
        TranscriptTransport("tornado", tmp_path)
