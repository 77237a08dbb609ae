"""A client of a Bokeh server on trio: bokehwire.protocol over `trio-websocket`, with many requests in flight.

`python examples/protocol/trio_client.py ws://localhost:5006/app/ws 10` makes ten round trips at the same time, pulls
the document, and prints its title and the server's next ten patches. It needs `pip install bokehwire trio-websocket`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import trio
from bokeh.util.token import generate_jwt_token, generate_session_id
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from bokehwire import protocol

TIMEOUT = 30.0  # Seconds for a message to go out, and for its reply to come.


class Client:
    """Any number of tasks may ask, each gets its own reply; the server's patches come out of `patches`, in order."""

    def __init__(self, socket: WebSocketConnection) -> None:
        if socket.subprotocol != "bokeh":
            raise ConnectionError("The server has not selected the subprotocol bokeh: it is no Bokeh server.")
        self.core, self._socket, self._writing = protocol.Connection(), socket, trio.Lock()
        self._asking: dict[str, trio.MemorySendChannel[protocol.Reply]] = {}
        self._patched, self.patches = trio.open_memory_channel[protocol.PatchDoc](float("inf"))

    async def ask(self, intent: Callable[[], protocol.Outgoing]) -> Any:
        answered, answer = trio.open_memory_channel[protocol.Reply](1)
        # Nothing may come between the frames of a message, and no cancellation may leave it incomplete.
        async with self._writing:
            with trio.fail_after(TIMEOUT, shield=True):
                request = intent()
                self._asking[request.msgid] = answered
                for frame in request.frames:
                    await self._socket.send_message(frame if isinstance(frame, str) else bytes(frame))
        with trio.fail_after(TIMEOUT):
            if isinstance(reply := await answer.receive(), protocol.Error):
                raise RuntimeError(f"The server refused: {reply.text}")
        return reply

    async def read(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            while True:
                match self.core.receive_frame(await self._socket.get_message()):
                    case protocol.Ready():
                        task_status.started()
                    case protocol.ReplyReceived(reqid=reqid, message=reply):
                        self._asking.pop(reqid).send_nowait(reply)
                    case protocol.PatchReceived(message=patch):
                        self._patched.send_nowait(patch)
        except protocol.RemoteProtocolError as error:
            await self._socket.aclose(*self.core.send_close(error.close_code))
            raise
        except ConnectionClosed as error:
            closed = self.core.receive_close(int(error.reason.code) if error.reason else None)
            if not closed.expected:
                raise ConnectionError(f"The connection is gone: {closed}") from error


async def watch(url: str, number: int) -> None:
    options: Any = {
        "subprotocols": ["bokeh", generate_jwt_token(generate_session_id())],
        "max_message_size": 20 * 2**20,
    }
    parts = urlsplit(url)
    with trio.fail_after(TIMEOUT) as handshake:
        # A stream that trio-websocket opens by itself stays open when the server ends the connection.
        stream = await trio.open_tcp_stream(str(parts.hostname), parts.port or 80)
        async with stream, trio.open_nursery() as nursery:
            socket = await wrap_client_stream(nursery, stream, parts.netloc, parts.path, **options)
            client = Client(socket)
            await nursery.start(client.read)
            handshake.deadline = float("inf")
            async with trio.open_nursery() as crowd:
                for _ in range(10):
                    crowd.start_soon(client.ask, client.core.roundtrip)
            print((await client.ask(client.core.pull_doc)).content["doc"]["title"])
            for _ in range(number):
                print((await client.patches.receive()).content)
            await socket.aclose(*client.core.send_close())


if __name__ == "__main__":
    trio.run(watch, sys.argv[1], int(sys.argv[2]))
