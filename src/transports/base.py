"""The transport contract: what the layers above need from a WebSocket library, and nothing else."""

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

Frame: TypeAlias = str | bytes
"""One received WebSocket message: str for text, bytes for binary."""

OutgoingFrame: TypeAlias = "str | bytes | bytearray | memoryview[Any]"
"""One WebSocket message to send: str goes as text, everything else as binary. A memoryview must be C-contiguous."""


_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """How to connect, and the limits of the connection.

    Attributes:
        url: A ws:// or wss:// URL, with path and query.
        subprotocols: Offered to the server in this order; the server has to select one of them if there are any.
        headers: Further headers for the upgrade request.
        connect_timeout: Seconds for everything up to the open WebSocket: look-up, TCP, TLS and upgrade. None waits for
            as long as the operating system does.
        close_timeout: Seconds that `WebSocket.close` may take.
        max_message_size: The largest message to accept, in bytes. A text counts as its UTF-8 bytes.
        ping_interval: Seconds between pings, or None for no pings.
        ping_timeout: Seconds within which something has to arrive after a ping; None for the same as ping_interval.
        ssl_context: For wss:// URLs; None verifies the server with the system's certificates.
    """

    url: str
    subprotocols: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    connect_timeout: float | None = 15.0
    close_timeout: float = 5.0
    max_message_size: int = 20 * 1024 * 1024
    ping_interval: float | None = None
    ping_timeout: float | None = None
    ssl_context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        """Check what could not be sent, or could never work.

        Raises:
            ValueError: If a number is not positive, a subprotocol is not a token of HTTP (RFC 6455, section 4.1), or a
                header's name is not one or its value not ASCII, which libraries encode differently.
        """
        for name in ("connect_timeout", "close_timeout", "max_message_size", "ping_interval", "ping_timeout"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, not {value!r}")
        for subprotocol in self.subprotocols:
            if not _is_token(subprotocol):
                raise ValueError(f"the subprotocol {subprotocol!r} must be text without spaces, separators and accents")
        for name, value in self.headers.items():
            if not _is_token(name):
                raise ValueError(f"the header {name!r} must have a name without spaces, separators and accents")
            if not _is_line(value):
                raise ValueError(f"the header {name!r} must have a value of ASCII text in one line, not {value!r}")


def _is_token(text: object) -> bool:
    """Say whether a text is a token (RFC 9110, section 5.6.2)."""
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None


def _is_line(text: object) -> bool:
    """Say whether a text is ASCII in one line."""
    return isinstance(text, str) and text.isascii() and not any(char in "\r\n\0" for char in text)


class WebSocket(Protocol):
    """An open WebSocket connection, bound to the event loop that it was made on.

    A connection has to be ended by `close` or `abort`, also after `ConnectionClosed` was raised.
    """

    @property
    def subprotocol(self) -> str | None:
        """What the server selected from the offered subprotocols."""
        ...

    @property
    def close_code(self) -> int | None:
        """The code that the connection ended with, as in `ConnectionClosed.code`; None while it is open."""
        ...

    @property
    def close_reason(self) -> str:
        """The reason that the connection ended with, as in `ConnectionClosed.reason`; "" while it is open."""
        ...

    async def send(self, frames: Sequence[OutgoingFrame]) -> None:
        """Send WebSocket messages in order, in as few network segments as possible.

        The frames of two calls never interleave. Returns when what waits in the library's buffer has fallen below its
        mark, so that a peer that does not read makes the sender wait. A call that is cancelled has sent either all of
        its frames or none: all, from the moment that it had its turn.

        Args:
            frames: The messages. Buffers must not be changed before the call returns.

        Raises:
            ConnectionClosed: If the connection has ended or is being closed; the frames may have been lost.
            TypeError: If a frame is of another type, or a memoryview is not contiguous. Nothing was sent.
            ValueError: If a str cannot be encoded as UTF-8. Nothing was sent.
        """
        ...

    async def receive(self) -> list[Frame]:
        """Wait for messages and return all that have arrived: at least one, in order.

        A call that is cancelled loses nothing. The transport reads ahead of its caller up to a documented limit in
        bytes, then stops reading from the socket, so that TCP's flow control stops the peer.

        Raises:
            ConnectionClosed: If the connection has ended and everything that arrived before has been returned.
            MessageTooBig: The same, because of a message over the size limit.
            WebSocketViolation: The same, because the peer broke the WebSocket protocol.
            RuntimeError: If another call is waiting already.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection: exchange close frames within `close_timeout`, then release everything.

        What `send` accepted before is sent before the close frame. Messages that had arrived before can still be
        received, and those that arrive after the close frame was sent are dropped. Can be called again, or after the
        connection was lost; a lost peer is not an error here. If it is cancelled the connection is aborted.

        Args:
            code: The close code, 1000 to 4999.
            reason: At most 123 bytes of UTF-8.

        Raises:
            ValueError: If code or reason are not allowed.
        """
        ...

    def abort(self) -> None:
        """Drop the connection now, without a closing handshake. Can be called again, and after `close`."""
        ...


class Transport(Protocol):
    """Makes WebSocket connections, on whatever event loop is running. One object serves any number of connections."""

    async def connect(self, options: ConnectionOptions) -> WebSocket:
        """Open a WebSocket connection. A call that fails or is cancelled leaves nothing behind.

        Redirections are not followed, and proxy settings of the environment are not used.

        Args:
            options: Where to, and how.

        Raises:
            InvalidURL: If the URL cannot be used.
            ConnectTimeout: If the connection was not ready in time.
            HandshakeRefused: If the server answered with an HTTP status other than 101.
            WrongSubprotocol: If the server did not select one of the offered subprotocols.
            InvalidHandshake: If what answered is not a WebSocket server.
            ConnectError: If the connection could not be made for another reason.
        """
        ...
