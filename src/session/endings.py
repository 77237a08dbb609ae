"""How connections end, in words: what happened, what it cost, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from ..transports import ConnectionClosed, MessageTooBig, WebSocketViolation
from .errors import ConnectionLost, NotABokehServer, SessionRefused
from .requests import Request

__all__ = ["ABNORMAL", "describe_loss", "describe_refusal", "describe_too_late"]

ABNORMAL = 1006
"""The close code of a connection that ended without a close frame (RFC 6455, section 7.1.5)."""

# What a Bokeh server accepts unless it is told otherwise; measured on 3.9.2, 3.10.2 and 4.0.0.dev8.
_SERVER_LIMIT = 20 * 1024 * 1024
_SHOWN = 5


def describe_refusal(url: str, fault: Exception) -> NotABokehServer | SessionRefused:
    """Say why a server did not acknowledge a session, as far as it can be known.

    Args:
        url: The URL connected to.
        fault: What ended the connection.

    Returns:
        The error to raise, with the fault as its cause.
    """
    refusal: NotABokehServer | SessionRefused
    if isinstance(fault, MessageTooBig):
        refusal = SessionRefused(
            f"{url} did not come to acknowledge the session: {fault}.", url=url, code=1009, reason=fault.reason
        )
    elif isinstance(fault, ConnectionClosed) and not isinstance(fault, WebSocketViolation):
        code = ABNORMAL if fault.code is None else fault.code
        said = f" ({fault.reason})" if fault.reason else ""
        refusal = SessionRefused(
            f"{url} closed the connection with close code {code}{said} before it acknowledged the session. A Bokeh "
            "server does that when the session's token has expired or is badly signed: BOKEH_SECRET_KEY and "
            "BOKEH_SIGN_SESSIONS must be the same here and there. Its log says more.",
            url=url,
            code=code,
            reason=fault.reason,
        )
    else:
        refusal = NotABokehServer(f"{url} does not speak the Bokeh server protocol: {fault}", url=url)
    refusal.__cause__ = fault
    return refusal


def describe_loss(url: str, code: int, reason: str, pending: Sequence[Request]) -> ConnectionLost:
    """Say how an open session lost its connection, and what was under way.

    Args:
        url: The URL connected to.
        code: The close code.
        reason: The reason, possibly empty.
        pending: The requests that will not be answered, oldest first.

    Returns:
        The error, naming the changes that were not confirmed.
    """
    unconfirmed = tuple(change for request in pending for change in request.changes)
    text = f"the connection to {url} was lost with close code {code}"
    text += f": {reason.rstrip('.')}." if reason else "."
    largest = max((request.size for request in pending), default=0)
    if largest > _SERVER_LIMIT:
        text += (
            f" A message of {largest} bytes was not answered: a Bokeh server refuses messages over {_SERVER_LIMIT} "
            "bytes unless it is started with a higher websocket_max_message_size (--websocket-max-message-size)."
        )
    if unconfirmed:
        more = " ..." if len(unconfirmed) > _SHOWN else ""
        text += (
            f" Changes that were not confirmed: {'; '.join(unconfirmed[:_SHOWN])}{more} ({len(unconfirmed)} in all)."
        )
    return ConnectionLost(text, code=code, reason=reason, unconfirmed=unconfirmed)


def describe_too_late(url: str, request: Request) -> ConnectionLost:
    """Say that a request came after the end of the connection.

    Args:
        url: The URL that was connected to.
        request: The request, which was never sent.

    Returns:
        The error, naming the changes it carries.
    """
    what = "; ".join(request.changes) or request.ask.value
    return ConnectionLost(
        f"the connection to {url} had ended before this could be sent: {what}.",
        code=None,
        reason="",
        unconfirmed=request.changes,
    )
