"""Conformance: the upgrade request, and every answer to it."""

from __future__ import annotations

import asyncio
import base64
import socket

import pytest

from ...transports import HandshakeRefused, InvalidHandshake, WrongSubprotocol
from .kit import Kit, NetworkKit
from .peer import HOST, MessageConnection, PeerConnection, Request, accept_and_read, echo, refuse
from .running import connected, options, receive, scenario
from .wire import encode_frame


class HandshakeTests(Kit):
    """Making a connection to something that answers."""

    @scenario
    async def test_the_selected_subprotocol_is_known(self) -> None:
        async with self.opened(echo) as ws:
            assert ws.subprotocol == "bokeh"
            assert ws.close_code is None
            assert ws.close_reason == ""

    @scenario
    async def test_without_subprotocols_none_is_needed(self) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.accept(subprotocol=None)
            await connection.read_end()

        async with self.opened(script, subprotocols=()) as ws:
            assert ws.subprotocol is None

    @scenario
    async def test_a_connection_that_is_not_wanted(self) -> None:
        error = await self.failure(refuse)
        assert isinstance(error, HandshakeRefused)
        assert error.status == 403

    @pytest.mark.parametrize("selected", [None, "soap", "bokeh2", "bokeh, token"])
    @scenario
    async def test_a_subprotocol_that_was_not_offered_is_refused(self, selected: str | None) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.accept(subprotocol=selected)
            await connection.read_end()

        error = await self.failure(script)
        assert isinstance(error, WrongSubprotocol)
        assert error.selected == selected

    @scenario
    async def test_a_subprotocol_where_none_was_offered_is_refused(self) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.accept(subprotocol="bokeh")
            await connection.read_end()

        error = await self.failure(script, subprotocols=())
        assert isinstance(error, WrongSubprotocol)
        assert error.selected == "bokeh"

    @scenario
    async def test_several_connections_of_one_transport_are_independent(self) -> None:
        async with self.serve(echo) as peer:
            transport = self.transport_to(peer)
            first = await transport.connect(options(peer.url))
            second = await transport.connect(options(peer.url))
            await asyncio.gather(first.send(["1"]), second.send(["2"]))
            assert await first.receive() == ["1"]
            assert await second.receive() == ["2"]
            await first.close()
            await second.send(["3"])
            assert await second.receive() == ["3"]
            await second.close()


class WireHandshakeTests(NetworkKit):
    """The upgrade request and the answer to it, header by header."""

    @scenario
    async def test_without_subprotocols_none_is_offered(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept(subprotocol=None)
            await connection.read_end()

        async with self.talking(script, subprotocols=()) as (peer, _):
            assert "sec-websocket-protocol" not in (await (await peer.connection()).requested).headers

    async def request_of(self, rest_of_url: str = "/ws", **changes: object) -> Request:
        """Give the request that a connection is made with."""
        async with (
            self.serve(accept_and_read) as peer,
            connected(self.make_transport(), f"ws://{HOST}:{peer.port}{rest_of_url}", **changes),
        ):
            return await (await peer.connection()).requested

    @scenario
    async def test_the_request_is_a_websocket_upgrade(self) -> None:
        request = await self.request_of("/app/ws?a=1&b=%20", headers={"X-Extra": "yes"})
        assert request.target == "/app/ws?a=1&b=%20"
        headers = request.headers
        assert headers["host"].startswith(f"{HOST}:")
        assert headers["upgrade"].lower() == "websocket"
        assert headers["connection"].lower() == "upgrade"
        assert headers["sec-websocket-version"] == "13"
        assert len(base64.b64decode(headers["sec-websocket-key"])) == 16
        assert headers["sec-websocket-protocol"].replace(" ", "") == "bokeh,token"
        assert headers["x-extra"] == "yes"
        # A browser's marks would make a server apply its rules for browsers; compression is not wanted.
        assert not {"origin", "cookie", "sec-websocket-extensions"} & set(headers)

    @pytest.mark.parametrize(
        ("given", "sent"),
        [("/ü/ws?q=ö", "/%C3%BC/ws?q=%C3%B6"), ("/a%2Fb?x=%2B+1", "/a%2Fb?x=%2B+1"), ("?x=1", "/?x=1"), ("", "/")],
    )
    @scenario
    async def test_the_url_is_quoted_once(self, given: str, sent: str) -> None:
        assert (await self.request_of(given)).target == sent

    @scenario
    async def test_credentials_in_the_url_become_a_header(self) -> None:
        async with (
            self.serve(accept_and_read) as peer,
            connected(self.make_transport(), f"ws://me%40home:se%3Acret@{HOST}:{peer.port}/ws"),
        ):
            request = await (await peer.connection()).requested
        assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"me@home:se:cret"

    @scenario
    async def test_frames_right_behind_the_answer_are_received(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept(frames=encode_frame("one") + encode_frame(b"two"))
            await connection.read_end()

        async with self.opened(script) as ws:
            assert await receive(ws, 2) == ["one", b"two"]

    @scenario
    async def test_interim_answers_are_skipped(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.send_raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            await connection.accept(frames=encode_frame("hello"))
            await connection.read_end()

        async with self.opened(script) as ws:
            assert await ws.receive() == ["hello"]

    @pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 426, 500, 503])
    @scenario
    async def test_another_status_is_refused(self, status: int) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.read_request()
            await connection.respond(f"{status} As Told", {"Content-Length": "0"})
            await connection.read_end()

        error = await self.failure(script)
        assert isinstance(error, HandshakeRefused)
        assert (error.status, error.reason, error.location) == (status, "As Told", None)
        assert str(status) in str(error)

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @scenario
    async def test_redirections_are_not_followed(self, status: int) -> None:
        async with self.serve(echo) as target:

            async def script(connection: PeerConnection) -> None:
                await connection.read_request()
                await connection.respond(f"{status} Elsewhere", {"Location": target.url, "Content-Length": "0"})
                await connection.read_end()

            error = await self.failure(script)
            assert isinstance(error, HandshakeRefused)
            assert (error.status, error.location) == (status, target.url)
            assert target.url in str(error)
            assert target.connections == []

    @scenario
    async def test_the_body_of_a_refusal_is_not_waited_for(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.read_request()
            await connection.respond("404 Not Found", {"Content-Length": "1000000"}, b"the beginning")
            await connection.read_end()

        error = await self.failure(script)
        assert isinstance(error, HandshakeRefused)
        assert error.status == 404

    @pytest.mark.parametrize(
        ("header", "value"),
        [
            ("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("sec-websocket-accept", None),
            ("upgrade", None),
            ("upgrade", "h2c"),
            ("connection", None),
            ("connection", "close"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ],
    )
    @scenario
    async def test_a_wrong_answer_to_the_upgrade_is_refused(self, header: str, value: str | None) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept({header: value})
            await connection.read_end()

        assert isinstance(await self.failure(script), InvalidHandshake)

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"220 mail ESMTP\r\n\r\n",
            b"\x15\x03\x01\x00\x02\x02\x50",
            b"HTTP/1.1 what is this\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nno colon here\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X-Endless: of headers\r\n" * 10_000,
        ],
        ids=["SSH", "SMTP", "TLS", "status", "header", "endless"],
    )
    @scenario
    async def test_an_answer_that_is_not_http_is_refused_at_once(self, answer: bytes) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.read_request()
            # The connection stays open: nothing but the answer itself tells the client.
            await connection.send_raw(answer)
            await connection.read_end()

        assert isinstance(await self.failure(script), InvalidHandshake)

    @pytest.mark.parametrize("how", ["at once", "after the request", "in the answer", "by a reset"])
    @scenario
    async def test_a_peer_that_closes_instead_of_answering_is_refused(self, how: str) -> None:
        async def script(connection: PeerConnection) -> None:
            if how == "at once":
                return
            await connection.read_request()
            if how == "in the answer":
                await connection.send_raw(b"HTTP/1.1 101 Switching Pro")
            elif how == "by a reset":
                connection.reset()

        async with self.serve(script) as peer:
            with pytest.raises(InvalidHandshake) as caught:
                await self.make_transport().connect(options(peer.url))
            assert caught.value.url == peer.url
            # One attempt, not a second one behind the caller's back.
            assert len(peer.connections) == 1

    @scenario
    async def test_settings_of_the_environment_are_not_used(self) -> None:
        # A proxy or a .netrc would be used by the library itself, before any of our code.
        with pytest.MonkeyPatch.context() as patch, socket.create_server((HOST, 0)) as proxy:
            for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
                for variable in (name, name.upper()):
                    patch.setenv(variable, f"http://{HOST}:{proxy.getsockname()[1]}")
            patch.delenv("no_proxy", raising=False)
            patch.delenv("NO_PROXY", raising=False)
            request = await self.request_of()
        assert request.target == "/ws"
        assert "authorization" not in request.headers
