"""examples/protocol/trio_client.py against real servers, and against ones that do the unusual."""

from __future__ import annotations

import ast
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, open_websocket_url

from bokehwire.protocol import MalformedFrame, Outgoing
from examples.protocol import trio_client
from examples.protocol.trio_client import Client, watch

from ..faults import Close, Ending, PeerConnection, ScriptedPeer, upgrade
from ..servers import DEADLINE, SERVER_KINDS, LiveServer
from .programs import run

ACK = ('{"msgid":"s","msgtype":"ACK"}', "{}", "{}")
ORDER = (2, 0, 4, 1, 3)
NUMBER = len(ORDER)
every_server = pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)


def run_trio(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(DEADLINE):
            await main()

    trio.run(bounded)


@every_server
def test_it_prints_the_changes_of_the_server_in_order(server: LiveServer, capsys: pytest.CaptureFixture[str]) -> None:
    run_trio(lambda: watch(server.websocket_url("/ticks"), 3))
    title, *patches = capsys.readouterr().out.splitlines()
    assert title == "Bokeh Application"
    counts = [int(ast.literal_eval(patch)["events"][0]["new"]) for patch in patches]
    assert counts == [counts[0], counts[0] + 1, counts[0] + 2]


def test_it_runs_as_its_docstring_says(server: LiveServer) -> None:
    lines = run("examples/protocol/trio_client.py", server.websocket_url("/ticks"), "2")
    assert len(lines) == 3


def test_it_leaves_nothing_behind(server: LiveServer, leak_free: None) -> None:
    run_trio(lambda: watch(server.websocket_url("/slider"), 0))


async def answer_in_disorder(peer: PeerConnection) -> None:
    """Takes requests until there are enough, then answers each with its own id, not in order."""
    await peer.accept()
    await peer.send(*ACK)
    asked: list[str] = []
    while len(asked) < NUMBER:
        header, _, _ = [await peer.receive() for _ in range(3)]
        assert isinstance(header, str)
        asked.append(json.loads(header)["msgid"])
    for index in ORDER:
        msgid = asked[index]
        header = json.dumps({"msgid": f"to {msgid}", "msgtype": "SERVER-INFO-REPLY", "reqid": msgid})
        await peer.send(header, "{}", json.dumps({"version_info": {"asked": msgid}}))
    await peer.drain_client()


def test_every_task_gets_its_own_reply_in_whatever_order_they_come() -> None:
    replies: dict[str, str] = {}

    async def main() -> None:
        async with open_websocket_url(peer.websocket_url(), subprotocols=["bokeh", "token"]) as socket:
            client = Client(socket)

            async def ask() -> None:
                asked: list[str] = []

                def intent() -> Outgoing:
                    outgoing = client.core.server_info()
                    asked.append(outgoing.msgid)
                    return outgoing

                reply = await client.ask(intent)
                replies[asked[0]] = reply.content["version_info"]["asked"]

            async with trio.open_nursery() as nursery:
                await nursery.start(client.read)
                async with trio.open_nursery() as crowd:
                    for _ in range(NUMBER):
                        crowd.start_soon(ask)
                assert not client.core.pending
                nursery.cancel_scope.cancel()

    with ScriptedPeer(answer_in_disorder) as peer:
        run_trio(main)
    assert len(replies) == NUMBER
    assert all(asked == answered for asked, answered in replies.items())


def test_a_refused_request_is_an_error() -> None:
    async def refuse(peer: PeerConnection) -> None:
        await peer.accept()
        await peer.send(*ACK)
        await peer.receive()
        refusal = '{"msgid":"s2","msgtype":"ERROR","reqid":"1"}', "{}", '{"text":"not today","traceback":null}'
        await peer.send(*refusal)
        await peer.drain_client()

    with ScriptedPeer(refuse) as peer:
        refused = pytest.RaisesExc(RuntimeError, match="not today")
        with pytest.RaisesGroup(refused, flatten_subgroups=True, allow_unwrapped=True):
            run_trio(lambda: watch(peer.websocket_url(), 1))


def test_a_server_that_breaks_the_protocol_is_told_by_the_close_code() -> None:
    with ScriptedPeer(upgrade('{"no":"Bokeh"}')) as peer:
        with pytest.RaisesGroup(MalformedFrame, flatten_subgroups=True, allow_unwrapped=True):
            run_trio(lambda: watch(peer.websocket_url(), 1))
        peer.wait_for(lambda: peer.last.close)
        assert peer.last.close == Close(1002, "")


def test_a_server_that_selects_no_subprotocol_is_none_of_bokeh() -> None:
    with ScriptedPeer(upgrade(*ACK, subprotocol=None)) as peer:
        refused = pytest.RaisesExc(ConnectionError, match="not selected the subprotocol bokeh")
        with pytest.RaisesGroup(refused, flatten_subgroups=True, allow_unwrapped=True):
            run_trio(lambda: watch(peer.websocket_url(), 1))


@pytest.mark.parametrize("said", [(), ACK], ids=["no ACK", "no reply"])
def test_a_server_that_says_nothing_is_not_waited_for_for_ever(
    said: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio_client, "TIMEOUT", 0.5)
    with ScriptedPeer(upgrade(*said)) as peer, pytest.raises((trio.TooSlowError, BaseExceptionGroup)) as caught:
        run_trio(lambda: watch(peer.websocket_url(), 1))
    assert isinstance(caught.value, trio.TooSlowError) or caught.group_contains(trio.TooSlowError)


class Canceller:
    """In the place of a WebSocket; cancels the task that writes while it writes the first frame."""

    subprotocol = "bokeh"

    def __init__(self) -> None:
        self.sent: list[object] = []
        self.scope = trio.CancelScope()

    async def send_message(self, frame: object) -> None:
        self.sent.append(frame)
        self.scope.cancel()
        await trio.lowlevel.checkpoint()


def test_no_half_of_a_message_is_left_by_a_cancellation() -> None:
    async def main() -> None:
        socket: Any = Canceller()
        client = Client(socket)
        for frame in ACK:
            client.core.receive_frame(frame)
        with socket.scope:
            await client.ask(client.core.pull_doc)
        assert socket.scope.cancelled_caught
        assert socket.sent == ['{"msgid":"1","msgtype":"PULL-DOC-REQ"}', "{}", "{}"]

    run_trio(main)


@pytest.mark.parametrize(
    ("ending", "code"), [(Close(1011, "sorry"), "code=1011"), (Ending.RESET, "code=1006"), (Ending.EOF, "code=1006")]
)
def test_a_lost_connection_is_an_error(ending: Close | Ending, code: str) -> None:
    with ScriptedPeer(upgrade(*ACK, then=ending)) as peer, pytest.raises(BaseExceptionGroup) as caught:
        run_trio(lambda: watch(peer.websocket_url(), 1))
    # A task that wanted to ask may have noticed it first, and then ends the one that reads.
    assert caught.group_contains((ConnectionError, ConnectionClosed), match=code)
