"""The program of tests.processes: a Bokeh server with the standard apps, in a process of its own.

It prints its port, serves, and ends when its standard input does: nothing stays behind when the tests are killed.
Bokeh's settings come from the environment (BOKEH_SIGN_SESSIONS, BOKEH_SECRET_KEY).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading

from bokeh.server.server import Server
from tornado.ioloop import IOLoop

from .apps import APPS


async def main(prefix: str) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    server = Server(dict(APPS), io_loop=IOLoop.current(), address="127.0.0.1", port=0, prefix=prefix)
    server.start()
    threading.Thread(target=wait_for_end, daemon=True).start()
    print(server.port, flush=True)
    await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prefix", default="")
    asyncio.run(main(parser.parse_args().prefix))
