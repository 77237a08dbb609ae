"""examples/protocol/blocking_client.py against real servers, and against one that misbehaves."""

from __future__ import annotations

import json

import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from bokehwire.protocol import MalformedFrame, Ok
from examples.protocol.blocking_client import Client, models, set_property

from ..apps import model
from ..faults import Close, Ending, ScriptedPeer, upgrade
from ..servers import SERVER_KINDS, LiveServer
from .programs import run

ACK = ('{"msgid":"s","msgtype":"ACK"}', "{}", "{}")
every_server = pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)


@every_server
def test_it_sets_a_property_and_gets_what_the_server_changes_in_return(server: LiveServer) -> None:
    before = server.session_ids("/slider")
    (change,) = set_property(server.websocket_url("/slider"), "slider", "value", 7)
    (session,) = server.session_ids("/slider") - before
    div = server.edit(session, lambda document: model(document, "div").id, "/slider")
    assert change == {"kind": "ModelChanged", "model": {"id": div}, "attr": "text", "new": "slider: 7"}
    assert server.edit(session, lambda document: model(document, "slider").value, "/slider") == 7


@every_server
def test_a_refused_change_is_an_error(server: LiveServer) -> None:
    with pytest.raises(RuntimeError, match="The server refused: "):
        set_property(server.websocket_url("/broken"), "slider", "value", 3)


@every_server
def test_the_reply_is_waited_for_whatever_comes_before_it(server: LiveServer) -> None:
    offered = [Subprotocol("bokeh"), Subprotocol(generate_jwt_token(generate_session_id()))]
    with connect(server.websocket_url("/slider"), subprotocols=offered) as socket:
        client = Client(socket)
        roots = client.ask(client.core.pull_doc()).content["doc"]["roots"]
        slider = {"id": roots[0]["id"]}
        change = {"kind": "ModelChanged", "model": slider, "attr": "value", "new": 7}
        reply = client.ask(client.core.patch_doc({"events": [change]}))
        assert isinstance(reply, Ok)
        assert len(client.changes) == 1


def test_it_runs_as_its_docstring_says(server: LiveServer) -> None:
    url = server.websocket_url("/slider")
    (line,) = run("examples/protocol/blocking_client.py", url, "slider", "value", "9")
    assert json.loads(line)["new"] == "slider: 9"


def test_it_leaves_nothing_behind(server: LiveServer, leak_free: None) -> None:
    set_property(server.websocket_url("/slider"), "slider", "value", 8)


def test_a_server_that_breaks_the_protocol_is_told_by_the_close_code() -> None:
    with ScriptedPeer(upgrade('{"no":"Bokeh"}')) as peer:
        with pytest.raises(MalformedFrame):
            set_property(peer.websocket_url(), "slider", "value", 7)
        peer.wait_for(lambda: peer.last.close)
        assert peer.last.close is not None
        assert peer.last.close.code == 1002
        assert len(peer.last.request.subprotocols) == 2 if peer.last.request else False


@pytest.mark.parametrize(
    ("ending", "code"), [(Close(1011, "sorry"), "code=1011"), (Ending.RESET, "code=None"), (Ending.EOF, "code=None")]
)
def test_a_lost_connection_is_an_error_that_says_what_was_not_answered(ending: Close | Ending, code: str) -> None:
    with (
        ScriptedPeer(upgrade(*ACK, then=ending)) as peer,
        pytest.raises(ConnectionError, match=code) as caught,
    ):
        set_property(peer.websocket_url(), "slider", "value", 7)
    assert "unanswered=('1',)" in str(caught.value)


def test_a_server_that_selects_no_subprotocol_is_none_of_bokeh() -> None:
    with (
        ScriptedPeer(upgrade(*ACK, subprotocol=None)) as peer,
        pytest.raises(ConnectionError, match="not selected the subprotocol bokeh"),
    ):
        set_property(peer.websocket_url(), "slider", "value", 7)


@pytest.mark.parametrize("said", [(), ACK], ids=["no ACK", "no reply"])
def test_a_server_that_says_nothing_is_not_waited_for_for_ever(said: tuple[str, ...]) -> None:
    with ScriptedPeer(upgrade(*said)) as peer, pytest.raises(TimeoutError):
        set_property(peer.websocket_url(), "slider", "value", 7, timeout=0.5)


def test_models_are_found_at_any_depth() -> None:
    inner = {"type": "object", "id": "p2"}
    outer = {"type": "object", "id": "p1", "attributes": {"children": [[{"entries": [inner]}], 3, None]}}
    assert list(models([outer])) == [outer, inner]
