"""What a transport raises: a connection that cannot be made, and a connection that has ended.

Every transport translates its library's exceptions into these: the layers above never see which library is used.
"""

from typing import Self

from ..protocol.errors import BokehWireError


class ConnectError(BokehWireError, OSError):
    """A connection could not be made: a failed look-up, a refused or lost TCP connection, a failed TLS handshake.

    The operating system's or the library's own error, if there was one, is the ``__cause__``.

    Attributes:
        url: The URL that was to be connected to.
    """

    def __init__(self, message: str, *, url: str = "") -> None:
        super().__init__(message)
        self.url = url


class InvalidURL(ConnectError, ValueError):
    """The URL cannot be used for a WebSocket connection. Nothing was sent."""


class InvalidHandshake(ConnectError):
    """What answered is not a WebSocket server: no HTTP, no answer at all, or a wrong answer to the upgrade request."""

    @classmethod
    def no_answer(cls, url: str) -> Self:
        """Give the error for a peer that closed the connection, or sent something that is not HTTP."""
        what = "it closed the connection or speaks another protocol"
        return cls(f"{url} did not answer the WebSocket upgrade with HTTP: {what}", url=url)


class HandshakeRefused(ConnectError):
    """The server answered the upgrade request with an HTTP status other than 101.

    Attributes:
        status: The HTTP status code.
        reason: The reason phrase that came with it, or "".
        location: Where a redirection (3xx) points, or None. Redirections are not followed.
    """

    def __init__(
        self, message: str, *, url: str = "", status: int = 0, reason: str = "", location: str | None = None
    ) -> None:
        super().__init__(message, url=url)
        self.status = status
        self.reason = reason
        self.location = location


class WrongSubprotocol(ConnectError):
    """The server did not select one of the offered subprotocols: it is not the kind of server that was expected.

    Attributes:
        selected: What the server selected, or None for nothing.
    """

    def __init__(self, message: str, *, url: str = "", selected: str | None = None) -> None:
        super().__init__(message, url=url)
        self.selected = selected


class ConnectTimeout(ConnectError, TimeoutError):
    """The connection was not ready within ``connect_timeout``, or the operating system gave up on it."""

    @classmethod
    def after(cls, url: str, timeout: float | None) -> Self:
        """Give the error for a connection that was not ready after so many seconds."""
        limit = "" if timeout is None else f" within {timeout:g} s (connect_timeout)"
        return cls(f"no connection to {url}{limit}: the server does not answer", url=url)


class ConnectionClosed(BokehWireError, RuntimeError):
    """The open connection has ended: closed by either side, aborted, or lost.

    Attributes:
        code: The close code of whoever closed first (RFC 6455, section 7.4): 1005 when the peer's close frame had
            none, 1006 when there was no closing handshake.
        reason: The reason that came with it, or a description of how the connection was lost.
        clean: True if both sides exchanged close frames.
    """

    def __init__(self, message: str = "", *, code: int | None = 1006, reason: str = "", clean: bool = False) -> None:
        if not message:
            how = f"closed with code {code}" if clean else f"lost (code {code})"
            message = f"the WebSocket connection is {how}{f': {reason}' if reason else ''}"
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.clean = clean


class MessageTooBig(ConnectionClosed):
    """The peer sent a message larger than ``max_message_size``; the connection was closed with code 1009.

    Attributes:
        limit: The largest allowed size in bytes.
        size: The size in bytes of the message, as far as its sender had announced it, or None if it is not known.
    """

    def __init__(self, message: str = "", *, limit: int = 0, size: int | None = None) -> None:
        reason = (
            f"a message of {'unknown size' if size is None else f'{size} bytes'} exceeds the limit of {limit} bytes"
        )
        super().__init__(message or f"{reason}: raise max_message_size to accept it", code=1009, reason=reason)
        self.limit = limit
        self.size = size


class WebSocketViolation(ConnectionClosed):
    """The peer sent something that RFC 6455 does not allow, such as a text frame that is not UTF-8; code 1002."""

    def __init__(self, message: str = "", *, reason: str = "") -> None:
        super().__init__(message or f"the peer broke the WebSocket protocol: {reason}", code=1002, reason=reason)
