"""A Bokeh server in a process of its own: prints its port, serves, and ends when its standard input does."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading

from bokeh.server.server import Server
from tornado.ioloop import IOLoop

from .apps import APPS

# Discarding many sessions at once keeps a server busy for seconds, in the middle of somebody's turn.
KEEP_SESSIONS = 3_600_000
# So does a collection of all its objects, 80 ms, which falls into the same contestant's turns where turns are alike.
RARELY = 10_000


async def main() -> None:
    """Serve until standard input ends."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, RARELY)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    server = Server(
        dict(APPS),
        io_loop=IOLoop.current(),
        address="127.0.0.1",
        port=0,
        unused_session_lifetime_milliseconds=KEEP_SESSIONS,
    )
    server.start()
    threading.Thread(target=wait_for_end, daemon=True).start()
    print(server.port, flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
