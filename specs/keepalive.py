"""Ask the installed Bokeh server how it keeps connections alive, with a client that answers no ping.

    python specs/keepalive.py [--asgi]

runs for 50 s and prints one line of Markdown for a connection that is idle, and one for a connection to an application
that raises when its session is made. specs/deviations.md has them. It needs what specs/probe.py needs.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import logging
import os
from urllib.parse import urlsplit

from bokeh.util.token import generate_jwt_token, generate_session_id
from probe import serving

SECONDS = 50
OPCODES = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
REQUEST = """GET {path} HTTP/1.1
Host: {host}
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: {key}
Sec-WebSocket-Protocol: bokeh, {token}

"""


async def watch(url: str) -> str:
    """Open a WebSocket and write down what comes, with the second of each ping and close, answering nothing."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    token, key = generate_jwt_token(generate_session_id()), base64.b64encode(os.urandom(16)).decode()
    request = REQUEST.format(path=parts.path, host=parts.netloc, key=key, token=token)
    writer.write(request.replace("\n", "\r\n").encode())
    seen = [(await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode()]
    start = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                first, second = await reader.readexactly(2)
                length = second if second < 126 else int.from_bytes(await reader.readexactly(2))
                payload = await reader.readexactly(length)
                kind = OPCODES[first & 15]
                if kind == "close":
                    seen.append(f"close {int.from_bytes(payload[:2])} {payload[2:].decode()!r}")
                else:
                    seen.append(kind)
                seen[-1] += f" at {asyncio.get_running_loop().time() - start:.0f} s"
    except TimeoutError:
        seen.append(f"nothing more for {SECONDS} s")
    except asyncio.IncompleteReadError:
        seen.append("the end")
    writer.close()
    return ", ".join(seen)


async def main(asgi: bool) -> None:
    """Watch both connections at the same time."""
    async with serving(asgi) as url:
        idle, raising = await asyncio.gather(watch(url), watch(url.replace("/app/", "/raises/")))
        print(f"| idle, pings unanswered | {idle} |\n| an application that raises | {raising} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asgi", action="store_true", help="serve with uvicorn instead of Tornado")
    logging.disable(logging.CRITICAL)
    asyncio.run(main(parser.parse_args().asgi))
