"""TCP as a Bokeh session needs it: low latency on our side of the connection, and the same look-up for every transport.

A Bokeh server leaves Nagle's algorithm on and writes a message as several small frames. Each of its frames then waits
for our kernel's acknowledgement of the one before, and the kernel delays that by up to 40 ms. TCP_QUICKACK makes it
acknowledge at once, but Linux forgets the setting again, so it is set anew after each read. In the other direction
TCP_NODELAY and TCP_CORK put all frames of a message on the wire at once.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Address: TypeAlias = tuple[Any, Any, int, str, tuple[Any, ...]]
"""One result of getaddrinfo: family, type, protocol, canonical name, socket address."""

# Linux only; elsewhere the kernels' defaults have to do.
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_CORK: int | None = getattr(socket, "TCP_CORK", None)

# RFC 8305, section 5: how long one address may try alone before the next one is tried as well.
ATTEMPT_DELAY = 0.25


class QuickSocket(socket.socket):
    """A TCP socket that acknowledges what it reads at once, and counts what it reads.

    Attributes:
        received: Bytes read so far.
    """

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        super().__init__(family, type, proto, fileno)
        self.received = 0

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read as `socket.socket.recv` does."""
        data = super().recv(bufsize, flags)
        self._count(len(data))
        return data

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Read as `socket.socket.recv_into` does."""
        size = super().recv_into(buffer, nbytes, flags)
        self._count(size)
        return size

    def _count(self, size: int) -> None:
        self.received += size
        acknowledge(self)


def acknowledge(sock: socket.socket) -> None:
    """Make the kernel acknowledge what was read from a socket now, where it can be told to."""
    if _QUICKACK is not None:
        # The connection may be gone by now; the next read says so.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def prepare(sock: socket.socket) -> None:
    """Make a new TCP socket non-blocking, and send small segments at once."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@contextmanager
def corked(sock: Any) -> Iterator[None]:
    """Hold back small segments while the frames of one message are written, where the kernel can do that."""
    if _CORK is None:
        yield
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _CORK, 1)
    except OSError:
        # Not connected any more, which is for the write to say.
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _CORK, 0)


@cache
def default_ssl_context() -> ssl.SSLContext:
    """Give the context for wss:// URLs that come without one. Made once: reading the certificates takes a while."""
    return ssl.create_default_context()


async def look_up(host: str, port: int) -> list[Address]:
    """Give the addresses of a host in the order to try them in: families take turns, as in RFC 8305, section 4.

    Raises:
        OSError: If the name has no address.
    """
    loop = asyncio.get_running_loop()
    with suppress(ValueError):
        # A thread of the loop's executor would be started for the look-up; a literal address needs none.
        literal = ipaddress.ip_address(host)
        if literal.version == 4:
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
        if literal.scope_id is None:
            return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))]
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    first = [address for address in found if address[0] == found[0][0]]
    other = [address for address in found if address[0] != found[0][0]]
    mixed: list[Address] = []
    while first or other:
        mixed += first[:1] + other[:1]
        del first[:1], other[:1]
    return mixed


async def open_socket(addresses: list[Address]) -> socket.socket:
    """Connect to the first address that answers.

    An address that has not answered after `ATTEMPT_DELAY` seconds gets company by the next one.

    Raises:
        OSError: If none could be connected to: the last error, which names the address.
    """
    if len(addresses) == 1:
        return await _attempt(addresses[0])
    waiting = list(addresses)
    attempts: set[asyncio.Task[socket.socket]] = set()
    error: OSError | None = None
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_attempt(waiting.pop(0))))
            done, _ = await asyncio.wait(
                attempts, timeout=ATTEMPT_DELAY if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                failure = task.exception()
                if failure is None:
                    attempts.discard(task)
                    return task.result()
                if not isinstance(failure, OSError):
                    raise failure
                attempts.discard(task)
                error = failure
    finally:
        for task in attempts:
            task.add_done_callback(_discard)
            task.cancel()
    raise error or OSError("the host has no address")


def _discard(task: "asyncio.Task[socket.socket]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _attempt(address: Address) -> socket.socket:
    sock = socket.socket(*address[:3])
    try:
        prepare(sock)
        await asyncio.get_running_loop().sock_connect(sock, address[4])
    except BaseException:
        sock.close()
        raise
    return sock
