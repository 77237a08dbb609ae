"""A proxy that passes frames on unchanged between clients and a Bokeh server, and prints one line for each message.

With `bokeh serve app.py` running, start `python -m examples.protocol.tracing_proxy ws://localhost:5006 8000`, then call
`pull_session(url="http://localhost:8000/app")`. It needs `pip install bokehwire websockets`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Origin, Subprotocol

from .trace import Trace

WebSocket = ClientConnection | ServerConnection
# The codes that an endpoint may send. Bokeh 3 has two others, which arrive here as a broken connection.
CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
# What tells a server who its client is.
PASSED = ("Authorization", "Cookie")
MAX_SIZE, TIMEOUT = 20 * 2**20, 30  # bytes of a frame, as in Bokeh; seconds until the server has taken the upgrade


@asynccontextmanager
async def proxy(server: str, port: int, write: Callable[[str], object]) -> AsyncIterator[Server]:
    """Run the proxy until the end of the `async with` block.

    Args:
        server: Where the Bokeh server is, such as ws://localhost:5006, without the path of an application.
        port: Where to listen; 0 for any.
        write: What takes the lines.
    """

    async def handle(client: ServerConnection) -> None:
        assert client.request is not None
        headers = client.request.headers
        offered = [Subprotocol(name.strip()) for name in headers["Sec-WebSocket-Protocol"].split(",")]
        origin = Origin(headers["Origin"]) if "Origin" in headers else None
        target = connect(
            server + client.request.path,
            subprotocols=offered,
            origin=origin,
            additional_headers=[(name, value) for name in PASSED for value in headers.get_all(name)],
            max_size=MAX_SIZE,
            open_timeout=TIMEOUT,
        )
        trace = Trace(write)
        try:
            async with target as upstream:
                if upstream.subprotocol != "bokeh":
                    raise ConnectionError("the server has not selected the subprotocol bokeh")
                await asyncio.gather(
                    pass_on(client, upstream, lambda frame: trace.read("->", frame)),
                    pass_on(upstream, client, lambda frame: trace.read("<-", frame)),
                )
        except (OSError, WebSocketException) as error:
            write(f"<- no connection: {error}")
            await client.close(1011, "The proxy cannot connect to the server.")

    async with serve(handle, "127.0.0.1", port, subprotocols=[Subprotocol("bokeh")], max_size=MAX_SIZE) as listening:
        yield listening


async def pass_on(source: WebSocket, target: WebSocket, trace: Callable[[str | bytes], None]) -> None:
    try:
        async for frame in source:
            trace(frame)
            await target.send(frame)
    except ConnectionClosed:
        pass
    code = source.close_code or 1006
    await target.close(code if code in CODES else 1011, source.close_reason or "")


async def main() -> None:
    write = partial(print, flush=True)
    async with proxy(sys.argv[1], int(sys.argv[2]), write) as listening:
        write("listening on port", listening.sockets[0].getsockname()[1])
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
