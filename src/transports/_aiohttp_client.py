"""aiohttp's WebSocket client, made to connect like tornado's and to give out what it connects with.

`aiohttp.ClientSession.ws_connect` follows redirections, tries again when the connection is lost, and looks names up in
a task that outlives a cancellation. It has no way to drop a connection at once. The hooks of its session (middlewares,
the connector's resolver and socket factory) change all of that.
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ._socket import Address, QuickSocket, default_ssl_context, look_up, prepare
from ._target import Target, check_answer
from .base import ConnectionOptions
from .errors import ConnectError

# As tornado has it.
_MAX_HEADER = 64 * 1024
# aiohttp keeps the largest size of a message in a C unsigned int.
_LARGEST_LIMIT = 2**32 - 1


class LostError(Exception):
    """The connection was lost during the upgrade; aiohttp would try again if it saw its own error for that."""


class RefusedError(Exception):
    """The answer to the upgrade was refused; aiohttp would turn an OSError into one of its own errors."""

    def __init__(self, error: ConnectError) -> None:
        super().__init__(str(error))
        self.error = error


class Opened(NamedTuple):
    """An open connection and the parts that it is made of."""

    connection: aiohttp.ClientWebSocketResponse
    response: aiohttp.ClientResponse
    transport: asyncio.Transport
    sock: QuickSocket
    subprotocol: str | None


async def open_connection(options: ConnectionOptions, target: Target) -> Opened:
    """Make a connection, without a limit in time.

    Raises:
        LostError: If the connection was lost during the upgrade.
        RefusedError: If the answer to the upgrade was refused.
        aiohttp.ClientError: If there is no connection for another reason.
        OSError: If the host was not found.
    """
    addresses = await look_up(target.host, target.port)
    opening = _Opening(options, target)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=_KnownAddresses(target.host, addresses),
            use_dns_cache=False,
            socket_factory=opening.make_socket,
            force_close=True,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Nothing set is no timeout.
        timeout=aiohttp.ClientTimeout(),
        trust_env=False,
        max_line_size=_MAX_HEADER,
        max_field_size=_MAX_HEADER,
        skip_auto_headers=("Accept", "Accept-Encoding"),
        middlewares=(opening.check,),
    )
    try:
        connection = await session.ws_connect(
            URL(target.url, encoded=True),
            protocols=options.subprotocols,
            headers={"User-Agent": "bokehwire", **target.headers, **options.headers},
            autoclose=False,
            autoping=False,
            # aiohttp refuses a message of exactly this size too.
            max_msg_size=min(options.max_message_size + 1, _LARGEST_LIMIT),
            ssl=(options.ssl_context or default_ssl_context()) if target.secure else True,
        )
        opened = opening.opened(connection)
    except BaseException:
        await session.close()
        await opening.clean_up()
        raise
    # The session has no other connections; without it there is nothing to close but this one.
    session.detach()
    return opened


async def wait_closed(sockets: Sequence[socket.socket]) -> None:
    """Wait until the transports of some sockets have closed them, as they have been told to."""
    # They do it in a callback of their own, a few turns of the loop later.
    for _ in range(100):
        if all(sock.fileno() == -1 for sock in sockets):
            return
        await asyncio.sleep(0)


class _KnownAddresses(AbstractResolver):
    """Gives aiohttp the addresses that were looked up."""

    def __init__(self, host: str, addresses: list[Address]) -> None:
        self._results = [
            ResolveResult(
                hostname=host, host=address[4][0], port=address[4][1], family=address[0], proto=address[2], flags=0
            )
            for address in addresses
        ]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Give the addresses."""
        return self._results

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class _Opening:
    """The parts that aiohttp makes while it connects."""

    def __init__(self, options: ConnectionOptions, target: Target) -> None:
        self._options = options
        self._target = target
        self._sockets: list[QuickSocket] = []
        self._response: aiohttp.ClientResponse | None = None
        self._subprotocol: str | None = None

    def make_socket(self, address: Address) -> QuickSocket:
        """Give aiohttp a socket for an address."""
        sock = QuickSocket(*address[:3])
        try:
            prepare(sock)
        except BaseException:
            sock.close()
            raise
        self._sockets.append(sock)
        return sock

    async def check(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Check the answer to the upgrade before aiohttp does."""
        try:
            response = await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            raise LostError(str(error)) from error
        try:
            self._subprotocol = check_answer(
                self._target.url, response.status, response.reason or "", response.headers, self._options.subprotocols
            )
        except ConnectError as error:
            response.close()
            raise RefusedError(error) from None
        self._response = response
        return response

    def opened(self, connection: aiohttp.ClientWebSocketResponse) -> Opened:
        """Give the open connection with its parts."""
        response = self._response
        used = None if response is None else response.connection
        transport = None if used is None else used.transport
        if response is not None and transport is not None:
            descriptor = transport.get_extra_info("socket").fileno()
            for sock in self._sockets:
                if sock.fileno() == descriptor != -1:
                    return Opened(connection, response, transport, sock, self._subprotocol)
        # The peer was quicker to close than aiohttp to return.
        raise LostError("the connection was lost right after the upgrade")

    async def clean_up(self) -> None:
        """Close what is left after a failure."""
        if self._response is not None:
            self._response.close()
        for sock in self._sockets:
            # A transport that says goodbye at leisure, as with TLS, sees that there is nobody to say it to.
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        await wait_closed(self._sockets)
