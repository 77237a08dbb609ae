"""The errors of a session: what the caller, the server or the network did to it.

Every class derives from `BokehWireError` and from what `bokeh.client` raises in the same place, so that an
existing `except RuntimeError` or `except OSError` goes on working.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol.errors import BokehWireError
from ..transports.errors import ConnectError

__all__ = [
    "ApplyError",
    "ChangesInDoubt",
    "ConnectionLost",
    "DocumentInUse",
    "DuplicateModelId",
    "InboxFull",
    "NotABokehServer",
    "PatchRejected",
    "PendingLimitExceeded",
    "ReplyTimeout",
    "RequestRefused",
    "SessionClosed",
    "SessionLost",
    "SessionRefused",
    "UsageError",
    "WaitTimeout",
]


class NotABokehServer(ConnectError):
    """The peer accepted a WebSocket and then did not speak the Bokeh server protocol."""


class SessionRefused(ConnectError):
    """The server accepted the WebSocket and closed it before it acknowledged the session.

    Attributes:
        code: The WebSocket close code; 1006 when the connection broke without one (RFC 6455, section 7.1.5).
        reason: The close reason the server sent, possibly empty.
    """

    def __init__(self, message: str, *, url: str, code: int, reason: str) -> None:
        super().__init__(message, url=url)
        self.code = code
        self.reason = reason


class ConnectionLost(BokehWireError, RuntimeError):
    """The connection of an open session ended without this side asking for it.

    Once a call has raised it, the document is the program's own again: what is changed then is neither sent nor named.

    Attributes:
        code: The WebSocket close code; 1006 when the connection broke without one (RFC 6455, section 7.1.5), None
            when it had ended before.
        reason: The close reason, possibly empty.
        unconfirmed: The changes that the server had not confirmed, oldest first, each as a short text.
    """

    def __init__(self, message: str, *, code: int | None, reason: str, unconfirmed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.unconfirmed = tuple(unconfirmed)


class SessionLost(ConnectionLost):
    """After a reconnection the server turned out to have a new session under the same id, as after a restart."""


class InboxFull(ConnectionLost):
    """More changes from the server have arrived than may wait for a call to look; the connection was closed."""


class PendingLimitExceeded(BokehWireError, RuntimeError):
    """While there was no connection, more was changed than may be kept until there is one again.

    Attributes:
        changes: The changes that were not kept, each as a short text. They are not made on the server, unless it turns
            out to have forgotten the session and the whole document is pushed (`Reconnect.new_session`).
        size: The bytes that would have been kept with them.
        limit: The bytes that may be kept.
    """

    def __init__(self, message: str, *, changes: Sequence[str], size: int, limit: int) -> None:
        super().__init__(message)
        self.changes = tuple(changes)
        self.size = size
        self.limit = limit


class ChangesInDoubt(BokehWireError, RuntimeError):
    """The connection was lost before the server had confirmed some changes, and nobody can tell whether it has them.

    They are not sent again, and the document was made equal to the server's.

    Attributes:
        changes: The changes, each as a short text.
    """

    def __init__(self, message: str, *, changes: Sequence[str]) -> None:
        super().__init__(message)
        self.changes = tuple(changes)


class SessionClosed(BokehWireError, RuntimeError):
    """The session was closed by this side; make a new one to go on.

    Attributes:
        unconfirmed: The changes that the server had not confirmed when the session closed, each as a short text.
    """

    def __init__(self, message: str, *, unconfirmed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.unconfirmed = tuple(unconfirmed)


class UsageError(BokehWireError, RuntimeError):
    """A session was used in a way that cannot work.

    Such as by a blocking call inside the loop it should drive, or a message to a model that is not in its document.
    """


class DocumentInUse(BokehWireError, ValueError):
    """The Document already belongs to another open session."""


class DuplicateModelId(BokehWireError, ValueError):
    """Two models of one document have the same id. Nothing was sent."""


class ReplyTimeout(BokehWireError, TimeoutError):
    """The server did not answer a request in time. The session stays open and usable.

    Attributes:
        request: What was asked, such as "PULL-DOC-REQ".
        timeout: How long was waited, in seconds.
    """

    def __init__(self, message: str, *, request: str, timeout: float) -> None:
        super().__init__(message)
        self.request = request
        self.timeout = timeout


class WaitTimeout(BokehWireError, TimeoutError):
    """What `wait_for` waited for did not come true in time. The session stays open and usable.

    Attributes:
        timeout: How long was waited, in seconds.
    """

    def __init__(self, message: str, *, timeout: float) -> None:
        super().__init__(message)
        self.timeout = timeout


class RequestRefused(BokehWireError, RuntimeError):
    """The server answered a pull, a push or a round trip with an ERROR.

    Attributes:
        request: What was asked, such as "PUSH-DOC".
        text: The server's error text.
        traceback: The server's traceback, None when it sent none.
        reqid: The id of the message that was refused.
    """

    def __init__(self, message: str, *, request: str, text: str, traceback: str | None, reqid: str) -> None:
        super().__init__(message)
        self.request = request
        self.text = text
        self.traceback = traceback
        self.reqid = reqid


class PatchRejected(BokehWireError, RuntimeError):
    """The server answered a change with an ERROR: the change is in this document and not in the server's.

    Attributes:
        changes: The changes that were rejected, each as a short text.
        text: The server's error text.
        traceback: The server's traceback, None when it sent none.
        reqid: The id of the PATCH-DOC message that was rejected.
    """

    def __init__(self, message: str, *, changes: Sequence[str], text: str, traceback: str | None, reqid: str) -> None:
        super().__init__(message)
        self.changes = tuple(changes)
        self.text = text
        self.traceback = traceback
        self.reqid = reqid


class ApplyError(BokehWireError, RuntimeError):
    """What the server sent could not be applied to the document, or a handler raised while it was.

    The original exception is the `__cause__`.

    Attributes:
        changes: What the server sent, each change as a short text.
    """

    def __init__(self, message: str, *, changes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.changes = tuple(changes)
