"""Server conformance: which behaviours of the protocol a Bokeh server keeps, for authors of others than Bokeh's.

    python -m bokehwire.testing.probe http://localhost:5006/app

prints the table, and so does `server_conformance(url).as_table()`. Each behaviour is tried on connections of its own to
new sessions, with what any application has: a document with a title, to which a data source can be added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from ...protocol import RemoteProtocolError
from ...session.urls import server_url, websocket_url
from ...transports import (
    ConnectionClosed,
    HandshakeRefused,
    InvalidHandshake,
    Transport,
    WrongSubprotocol,
    resolve,
)
from .checks import CHECKS, FIRST, PULL, ROUND_TRIP, Check
from .report import Finding, Row, ServerReport, Verdict
from .talking import Broken, Site

__all__ = ["Row", "ServerReport", "Verdict", "async_server_conformance", "server_conformance"]


def server_conformance(
    url: str,
    *,
    transport: str | Transport = "tornado",
    timeout: float = 10.0,
    headers: Mapping[str, str] | None = None,
) -> ServerReport:
    """Find out which behaviours of the protocol a server keeps. Not for code on a running loop.

    Args:
        url: The http or https URL of one of its applications, as in a browser. About 30 sessions are made there.
        transport: What connections are made with: "tornado", "aiohttp", or a Transport object.
        timeout: How long the server may take for each behaviour, in seconds. Once it has kept silent in two that any
            server has to react to, the others are not tried.
        headers: Further headers of the handshake, such as for authentication. Tokens are signed if Bokeh's settings
            in the environment say so (`BOKEH_SIGN_SESSIONS`, `BOKEH_SECRET_KEY`).

    Returns:
        The report. A server that keeps nothing of the protocol still gets one.

    Raises:
        InvalidURL: The URL cannot be used.
        ConnectError: Nobody answers there.
        ValueError: There is no such transport, or the timeout is not positive.
        ImportError: The transport's library is not installed.
    """
    return asyncio.run(async_server_conformance(url, transport=transport, timeout=timeout, headers=headers))


async def async_server_conformance(
    url: str,
    *,
    transport: str | Transport = "tornado",
    timeout: float = 10.0,
    headers: Mapping[str, str] | None = None,
) -> ServerReport:
    """Find out which behaviours of the protocol a server keeps. It is `server_conformance` for asyncio.

    Args:
        url: As there.
        transport: As there; `AsgiTransport(app)` asks an ASGI application without a network.
        timeout: As there.
        headers: As there.

    Returns:
        The report.

    Raises:
        InvalidURL: The URL cannot be used.
        ConnectError: Nobody answers there.
        ValueError: There is no such transport, or the timeout is not positive.
        ImportError: The transport's library is not installed.
    """
    site = Site(
        url=websocket_url(server_url(url)), transport=resolve(transport), timeout=timeout, headers=headers or {}
    )
    first = await _tried(FIRST, site)
    found = {FIRST: first}
    for check in CHECKS:
        if check.needs_ack and first.verdict is Verdict.BROKEN:
            found[check] = Finding(Verdict.NOT_TRIED, "there is no ACK")
        elif _is_mute(found):
            found[check] = Finding(Verdict.NOT_TRIED, "the server is mute")
        else:
            found[check] = await _tried(check, site)
    generation = int(first.note.split()[-1]) if first.verdict is Verdict.KEPT else None
    rows = (Row(check.behaviour, check.section, finding.verdict, finding.note) for check, finding in found.items())
    return ServerReport(url, generation, tuple(rows))


def _is_mute(found: Mapping[Check, Finding]) -> bool:
    """Say whether there is no point in waiting for the server again: it greets and refuses nobody, or answers nobody.

    One silence alone may be about the one thing that was tried.
    """
    silent = {check for check, finding in found.items() if finding.silent}
    greets_nobody = FIRST in silent and any(not check.needs_ack for check in silent)
    return greets_nobody or silent >= {ROUND_TRIP, PULL}


async def _tried(check: Check, site: Site) -> Finding:
    """Give what came of a check: whatever a server can do wrong is a finding."""
    try:
        async with asyncio.timeout(site.timeout):
            return await check.run(site)
    except TimeoutError:
        return Finding(Verdict.BROKEN, f"nothing for {site.timeout:g} s", silent=True)
    except Broken as broken:
        note = str(broken)
    except RemoteProtocolError as error:
        note = f"breaks the protocol: {error}"
    except msgspec.ValidationError as error:
        note = f"content that is not valid: {error}"
    except (KeyError, TypeError) as error:  # of a document that is none, which another check reports in full
        note = f"content that is not valid: {error!r}"
    except ConnectionClosed as closed:
        note = f"the connection ends, {closed.code} {closed.reason!r}"
    except (HandshakeRefused, InvalidHandshake, WrongSubprotocol) as error:
        note = str(error)
    return Finding(Verdict.BROKEN, note)
