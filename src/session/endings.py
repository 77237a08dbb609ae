"""How connections end, in words: what happened, what it cost, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol import ProtocolError
from ..protocol.errors import INTERNAL_ERROR
from ..transports import ConnectionClosed, MessageTooBig, WebSocketViolation
from .errors import ConnectionLost, InboxFull, NotABokehServer, PendingLimitExceeded, SessionLost, SessionRefused
from .reconnecting import Reconnect
from .requests import Request

__all__ = [
    "describe_forgotten",
    "describe_full",
    "describe_given_up",
    "describe_late",
    "describe_loss",
    "describe_refusal",
    "describe_too_late",
    "inbox_full",
    "some_of",
]

ABNORMAL = 1006
"""The close code of a connection that ended without a close frame (RFC 6455, section 7.1.5)."""

# What a Bokeh server accepts unless it is told otherwise; measured on 3.9.2, 3.10.2 and 4.0.0.dev8.
_SERVER_LIMIT = 20 * 1024 * 1024
_TOO_BIG = 1009  # the close code for it (RFC 6455, section 7.4.1)
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
            "server does that when the application raises while it makes the session, and when the session's token has "
            "expired or is badly signed: BOKEH_SECRET_KEY and BOKEH_SIGN_SESSIONS must be the same here and there. Its "
            "log says more.",
            url=url,
            code=code,
            reason=fault.reason,
        )
    else:
        refusal = NotABokehServer(f"{url} does not speak the Bokeh server protocol: {fault}", url=url)
    refusal.__cause__ = fault
    return refusal


def describe_loss(url: str, fault: BaseException, pending: Sequence[Request]) -> ConnectionLost:
    """Say how an open session lost its connection, and what was under way.

    Args:
        url: The URL connected to.
        fault: What ended the connection; what is no Exception has stopped its event loop.
        pending: The requests that will not be answered, oldest first.

    Returns:
        The error, naming the changes that were not confirmed, with the fault as its cause.
    """
    if isinstance(fault, InboxFull):
        names = _changes(pending)
        return InboxFull(f"{fault}{_named(names)}", code=fault.code, reason=fault.reason, unconfirmed=names)
    code, reason = _code_and_reason(fault)
    text = f"the connection to {url} was lost with close code {code}"
    text += f": {reason.rstrip('.')}." if reason else "."
    largest = max((request.size for request in pending), default=0)
    if largest > _SERVER_LIMIT or (largest and code == _TOO_BIG):
        text += (
            f" A message of {largest} bytes was not answered. A Bokeh server refuses messages over its "
            f"websocket_max_message_size, {_SERVER_LIMIT} bytes unless it is started with another "
            "(--websocket-max-message-size)."
        )
    unconfirmed = _changes(pending)
    loss = ConnectionLost(text + _named(unconfirmed), code=code, reason=reason, unconfirmed=unconfirmed)
    if isinstance(fault, Exception):
        loss.__cause__ = fault
    return loss


def inbox_full(url: str) -> InboxFull:
    """Say that more has arrived than may wait for the program to look.

    Args:
        url: The URL connected to.

    Returns:
        The error.
    """
    text = (
        f"the connection to {url} was closed, because more changes have arrived than may wait here (max_inbox_size). "
        "Look at the session more often - session.document, or any call, applies them -, or raise the limit."
    )
    return InboxFull(text, code=INTERNAL_ERROR, reason="the client does not keep up")


def _code_and_reason(fault: BaseException) -> tuple[int, str]:
    match fault:
        case MessageTooBig():
            return 1009, str(fault)
        case ConnectionClosed(code=code, reason=reason):
            return ABNORMAL if code is None else code, reason
        case ProtocolError(close_code=code):
            return code, f"the server broke the protocol: {fault}"
        case Exception():
            return ABNORMAL, f"{type(fault).__name__}: {fault}"
        case _:
            return ABNORMAL, "its event loop was stopped"


def _changes(requests: Sequence[Request]) -> tuple[str, ...]:
    return tuple(change for request in requests for change in request.changes)


def _said_by(failure: Exception) -> str:
    """Give what an error says, without the changes that a loss names: they are named once more at the end."""
    text = str(failure)
    if isinstance(failure, ConnectionLost):
        text = text.removesuffix(_named(failure.unconfirmed))
    return text.rstrip(".")


def _named(unconfirmed: Sequence[str]) -> str:
    if not unconfirmed:
        return ""
    return f" Changes that were not confirmed: {some_of(unconfirmed)} ({len(unconfirmed)} in all)."


def some_of(changes: Sequence[str]) -> str:
    """Name the first of some changes; the error that says it has all of them in an attribute.

    Args:
        changes: The changes, each as a short text.
    """
    return "; ".join(changes[:_SHOWN]) + (" ..." if len(changes) > _SHOWN else "")


def describe_given_up(
    loss: ConnectionLost, failure: Exception, attempts: int, seconds: float, pending: Sequence[Request]
) -> ConnectionLost:
    """Say that a session has lost its connection, and that no other one could be made.

    Args:
        loss: How the connection was lost.
        failure: What ended the last attempt; the loss itself if there was none.
        attempts: How many attempts were made.
        seconds: How long there was no connection.
        pending: The requests that will not be answered, oldest first.

    Returns:
        The error, naming the changes that were not confirmed, with the last failure as its cause.
    """
    unconfirmed = _changes(pending)
    text = (
        f"the connection was lost ({loss.reason or loss.code}), and no other one could be made in {seconds:.1f} s and "
    )
    text += f"{attempts} attempts"
    text += "." if failure is loss else f", of which the last failed so: {_said_by(failure)}."
    final = ConnectionLost(text + _named(unconfirmed), code=loss.code, reason=loss.reason, unconfirmed=unconfirmed)
    final.__cause__ = failure
    return final


def describe_forgotten(url: str, failure: Exception | None, unconfirmed: tuple[str, ...]) -> ConnectionLost:
    """Say that a session cannot go on after a reconnection.

    Args:
        url: The URL connected to.
        failure: Why; None if the server has made a new session under the id of the one that it had.
        unconfirmed: The changes that were not confirmed, oldest first, each as a short text.

    Returns:
        The error, naming the changes that were not confirmed.
    """
    if failure is not None:
        text = f"there is a connection to {url} again, but the session cannot go on: {_said_by(failure)}."
        lost = ConnectionLost(text + _named(unconfirmed), code=None, reason="", unconfirmed=unconfirmed)
        lost.__cause__ = failure
        return lost
    text = (
        f"the server at {url} has forgotten the session and made a new one under its id: it was restarted, or the "
        "session had been without a connection for too long (--unused-session-lifetime). "
        'Reconnect(new_session="push") would push this document.'
    )
    return SessionLost(text + _named(unconfirmed), code=None, reason="", unconfirmed=unconfirmed)


def describe_full(url: str, request: Request, size: int, policy: Reconnect) -> PendingLimitExceeded:
    """Say that there is no room to keep a change until there is a connection again.

    Args:
        url: The URL that the connection was to.
        request: The request that carries the change.
        size: The bytes that would be kept with it.
        policy: Says how many may be kept, and what happens if the server has forgotten the session.

    Returns:
        The error, naming the change.
    """
    what, limit = "; ".join(request.changes), policy.max_pending
    later = "The document is made equal to the server's later."
    if policy.new_session == "push":
        later = f"{later[:-1]}, unless that has forgotten the session: then the whole document is pushed, as it is."
    return PendingLimitExceeded(
        f"there is no connection to {url} and no room to keep this change until there is one: {what}. {size} bytes "
        f"would be waiting, and max_pending of Reconnect is {limit}. {later}",
        changes=request.changes,
        size=size,
        limit=limit,
    )


def describe_late(loss: ConnectionLost, late: Sequence[str]) -> ConnectionLost:
    """Add to a loss what was changed after it, before the program had been told.

    Args:
        loss: The loss.
        late: The changes, each as a short text.

    Returns:
        The same error if there are none, else one like it that names them too.
    """
    if not late:
        return loss
    text = f"{loss} Changes made after that, which were never sent: {some_of(late)}."
    again = type(loss)(text, code=loss.code, reason=loss.reason, unconfirmed=(*loss.unconfirmed, *late))
    again.__cause__ = loss.__cause__
    return again


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
