"""What the ASGI transport tells an application, and what it makes of what applications do."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from bokehwire.testing.conformance.running import connected, options, run, scenario
from bokehwire.transports import ConnectError, ConnectionClosed, HandshakeRefused, MessageTooBig, _lifespan
from bokehwire.transports.asgi import AsgiTransport

URL = "ws://here:5006/app/ws"


class App:
    """An application that notes what it is called with, and follows a function for WebSockets."""

    def __init__(self, serve: Callable[[Any, Any], Awaitable[None]]) -> None:
        self.notes: list[str] = []
        self.scopes: list[Any] = []
        self._serve = serve

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await self._serve(receive, send)
            return
        while (event := await receive())["type"] == "lifespan.startup":
            self.notes.append("startup")
            scope["state"]["greeting"] = "hello"
            await send({"type": "lifespan.startup.complete"})
        self.notes.append("shutdown")
        await send({"type": f"{event['type']}.complete"})


async def accept(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "bokeh"})


async def accept_and_wait(receive: Any, send: Any) -> None:
    await accept(receive, send)
    while (await receive())["type"] != "websocket.disconnect":
        pass


@scenario
async def test_the_scope() -> None:
    app = App(accept_and_wait)
    transport = AsgiTransport(app, root_path="/mounted")
    url = "wss://me:se%3Acret@host:1234/mounted/%C3%BC/ws?a=1&b=%20"
    async with connected(transport, url, headers={"X-Extra": "Yes"}):
        scope = app.scopes[-1]
    assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "wss", "1.1")
    assert (scope["path"], scope["raw_path"]) == ("/mounted/ü/ws", b"/mounted/%C3%BC/ws")
    assert (scope["query_string"], scope["root_path"]) == (b"a=1&b=%20", "/mounted")
    assert scope["subprotocols"] == ["bokeh", "token"]
    assert scope["server"] == ("host", 1234)
    assert scope["state"] == {"greeting": "hello"}
    headers = dict(scope["headers"])
    assert headers[b"host"] == b"host:1234"
    assert headers[b"x-extra"] == b"Yes"
    assert headers[b"authorization"] == b"Basic bWU6c2U6Y3JldA=="


@scenario
async def test_the_application_lives_as_long_as_its_connections() -> None:
    app = App(accept_and_wait)
    transport = AsgiTransport(app)
    assert loop_of(transport) is None
    for _ in range(2):
        async with connected(transport, URL):
            async with connected(transport, URL):
                assert app.notes == ["startup"]
            assert loop_of(transport) is asyncio.get_running_loop()
            assert app.notes == ["startup"]
        assert app.notes == ["startup", "shutdown"]
        assert loop_of(transport) is None
        app.notes.clear()


@scenario
async def test_all_transports_to_an_application_share_its_run() -> None:
    app = App(accept_and_wait)
    async with connected(AsgiTransport(app), URL):
        async with connected(AsgiTransport(app), URL):
            assert app.notes == ["startup"]
        assert app.notes == ["startup"]
        async with AsgiTransport(app):
            pass
        assert app.notes == ["startup"]
    assert app.notes == ["startup", "shutdown"]
    other = App(accept_and_wait)
    async with connected(AsgiTransport(app), URL), connected(AsgiTransport(other), URL):
        assert (app.notes[2:], other.notes) == (["startup"], ["startup"])


@scenario
async def test_a_transport_waits_for_the_shutdown_that_another_has_begun() -> None:
    app = App(accept_and_wait)
    for turns in range(12):  # as far as the first gets until it is cancelled
        opening = asyncio.ensure_future(AsgiTransport(app).connect(options(URL)))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            (await opening).abort()
        gc.collect()  # the transport, too
        async with connected(AsgiTransport(app), URL):
            pass
        assert app.notes[-2:] == ["startup", "shutdown"]
        assert app.notes.count("startup") == app.notes.count("shutdown")


@scenario
async def test_the_shutdown_is_waited_for_though_nobody_has_the_transport_any_more() -> None:
    ended = asyncio.Event()

    class Slow(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__(scope, receive, send)
            if scope["type"] == "lifespan":
                await ended.wait()
                self.notes.append("gone")

    app = Slow(accept_and_wait)
    (await AsgiTransport(app).connect(options(URL))).abort()
    while "shutdown" not in app.notes:
        await asyncio.sleep(0)
    gc.collect()
    opening = asyncio.ensure_future(AsgiTransport(app).connect(options(URL)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert app.notes == ["startup", "shutdown"]
    ended.set()
    (await opening).abort()
    assert app.notes[:4] == ["startup", "shutdown", "gone", "startup"]


def test_an_application_is_not_kept_by_what_is_known_of_it() -> None:
    app = App(accept_and_wait)
    run(use(AsgiTransport(app)))
    known = weakref.ref(app)
    del app
    gc.collect()
    assert known() is None


@scenario
async def test_an_aborted_connection_ends_it_too() -> None:
    app = App(accept_and_wait)
    transport = AsgiTransport(app)
    ws = await transport.connect(options(URL))
    ws.abort()
    while transport.loop is not None:
        await asyncio.sleep(0)
    assert app.notes == ["startup", "shutdown"]


@scenario
async def test_the_application_lives_as_long_as_the_block() -> None:
    app = App(accept_and_wait)
    async with AsgiTransport(app) as transport:
        for _ in range(2):
            async with connected(transport, URL):
                pass
        assert app.notes == ["startup"]
    assert app.notes == ["startup", "shutdown"]


def test_a_block_in_another_thread_waits_for_the_shutdown() -> None:
    app = App(accept_and_wait)
    with running_loop() as loop:
        with AsgiTransport(app) as transport:
            asyncio.run_coroutine_threadsafe(use(transport), loop).result()
            assert app.notes == ["startup"]
        assert app.notes == ["startup", "shutdown"]


def test_a_block_around_a_loop_that_does_not_run() -> None:
    app = App(accept_and_wait)
    loop = asyncio.new_event_loop()
    with AsgiTransport(app) as transport:
        loop.run_until_complete(use(transport))
    assert app.notes == ["startup", "shutdown"]
    loop.close()


def test_a_loop_that_was_closed_has_taken_the_application_with_it() -> None:
    app = App(accept_and_wait)
    with AsgiTransport(app) as transport:
        for _ in range(2):
            asyncio.run(use(transport))
            assert transport.loop is None
    assert app.notes == ["startup", "startup"]


@scenario
async def test_a_connection_that_outlives_the_block() -> None:
    app = App(accept_and_wait)
    async with AsgiTransport(app) as transport:
        ws = await transport.connect(options(URL))
    await ws.send(["still there"])
    assert app.notes == ["startup"]
    await ws.close()
    assert app.notes == ["startup", "shutdown"]


@scenario
async def test_an_application_runs_on_one_loop_only() -> None:
    with running_loop() as loop:
        async with AsgiTransport(App(accept_and_wait)) as transport:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(use(transport), loop))
            with pytest.raises(ConnectError, match="another event loop"):
                await transport.connect(options(URL))


@scenario
async def test_an_application_that_cannot_start() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    for _ in range(2):
        with pytest.raises(ConnectError, match="failed to start: no database"):
            await AsgiTransport(app).connect(options(URL))


@scenario
async def test_an_application_that_takes_for_ever_to_start() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError, match="connect_timeout"):
        await AsgiTransport(app).connect(options(URL, connect_timeout=0.01))


@scenario
async def test_an_application_without_a_lifespan() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await accept_and_wait(receive, send)

    await use(AsgiTransport(app))


@scenario
async def test_an_application_that_fails_to_shut_down(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await accept_and_wait(receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "on purpose"})
        raise RuntimeError("on purpose")

    await use(AsgiTransport(app))
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


@scenario
async def test_an_application_that_raises_instead_of_accepting() -> None:
    fault = LookupError("on purpose")

    async def serve(receive: Any, send: Any) -> None:
        raise fault

    with pytest.raises(HandshakeRefused, match="LookupError: on purpose") as caught:
        await AsgiTransport(App(serve)).connect(options(URL))
    assert caught.value.status == 500
    assert caught.value.__cause__ is fault


@scenario
async def test_an_application_that_returns_instead_of_accepting() -> None:
    async def serve(receive: Any, send: Any) -> None:
        await receive()

    with pytest.raises(HandshakeRefused, match="returned") as caught:
        await AsgiTransport(App(serve)).connect(options(URL))
    assert caught.value.status == 500


@scenario
async def test_the_reason_of_a_refusal() -> None:
    async def serve(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "no such application"})

    with pytest.raises(HandshakeRefused, match="no such application") as caught:
        await AsgiTransport(App(serve)).connect(options(URL))
    assert caught.value.status == 403


@pytest.mark.parametrize(("status", "location"), [(404, None), (302, "ws://there/ws"), (599, None)])
@scenario
async def test_a_response_instead_of_a_connection(status: int, location: str | None) -> None:
    async def serve(receive: Any, send: Any) -> None:
        await receive()
        headers = [] if location is None else [(b"location", location.encode())]
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"why"})

    with pytest.raises(HandshakeRefused) as caught:
        await AsgiTransport(App(serve)).connect(options(URL))
    assert (caught.value.status, caught.value.location) == (status, location)


@pytest.mark.parametrize("fault", [LookupError("on purpose"), None])
@scenario
async def test_an_application_that_ends_without_closing(fault: Exception | None) -> None:
    async def serve(receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "text": "before"})
        if fault is not None:
            raise fault

    async with connected(AsgiTransport(App(serve)), URL) as ws:
        assert await ws.receive() == ["before"]
        with pytest.raises(ConnectionClosed, match="lost: the application") as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.clean) == (1006, False)
        assert caught.value.__cause__ is fault


@scenario
async def test_an_application_that_raises_when_nobody_is_there(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(receive: Any, send: Any) -> None:
        await accept_and_wait(receive, send)
        raise LookupError("on purpose")

    async with connected(AsgiTransport(App(serve)), URL) as ws:
        await ws.close()
        assert ws.close_code == 1000
    assert "after its connection had ended" in caplog.text
    assert "on purpose" in caplog.text


@scenario
async def test_the_application_hears_the_code_and_reason_again_and_again() -> None:
    heard: list[Any] = []

    async def serve(receive: Any, send: Any) -> None:
        await accept_and_wait(receive, send)
        heard.append(await receive())
        with pytest.raises(OSError, match="disconnected"):
            await send({"type": "websocket.send", "text": "too late"})

    async with connected(AsgiTransport(App(serve)), URL) as ws:
        await ws.close(4000, "bye")
    assert heard == [{"type": "websocket.disconnect", "code": 4000, "reason": "bye"}]


@pytest.mark.parametrize("data", ["bytes", "text"])
@scenario
async def test_the_application_hears_that_its_message_was_too_big(data: str) -> None:
    heard: list[Any] = []

    async def serve(receive: Any, send: Any) -> None:
        await accept(receive, send)
        with pytest.raises(OSError, match="size"):
            await send({"type": "websocket.send", data: b"x" * 1001 if data == "bytes" else "€" * 334})
        heard.append(await receive())

    async with connected(AsgiTransport(App(serve)), URL, max_message_size=1000) as ws:
        with pytest.raises(MessageTooBig):
            await ws.receive()
    assert heard[0]["code"] == 1009


@pytest.mark.parametrize(
    "event",
    [
        {"type": "websocket.accept"},
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": b"bytes"},
        {"type": "http.response.start"},
    ],
)
@scenario
async def test_an_event_that_makes_no_sense(event: Any) -> None:
    async def serve(receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send(event)

    async with connected(AsgiTransport(App(serve)), URL) as ws:
        with pytest.raises(ConnectionClosed, match=r"the application raised (RuntimeError|TypeError)"):
            await ws.receive()


@scenario
async def test_sending_before_accepting_makes_no_sense() -> None:
    async def serve(receive: Any, send: Any) -> None:
        await send({"type": "websocket.send", "text": "early"})

    with pytest.raises(HandshakeRefused, match="before it had accepted"):
        await AsgiTransport(App(serve)).connect(options(URL))


@scenario
async def test_an_application_that_does_not_end_is_cancelled() -> None:
    ended: list[str] = []

    async def serve(receive: Any, send: Any) -> None:
        await accept_and_wait(receive, send)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cancelled")

    ws = await AsgiTransport(App(serve)).connect(options(URL, close_timeout=0.01))
    await ws.close()
    assert ended == ["cancelled"]
    assert ws.close_code == 1006


async def whatever_comes(released: asyncio.Event) -> None:
    """Goes on although it is cancelled."""
    while not released.is_set():
        with suppress(asyncio.CancelledError):
            await released.wait()


@scenario
async def test_an_application_that_goes_on_although_it_is_cancelled_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    released = asyncio.Event()

    async def serve(receive: Any, send: Any) -> None:
        await accept_and_wait(receive, send)
        await whatever_comes(released)

    ws = await AsgiTransport(App(serve)).connect(options(URL, close_timeout=0.01))
    await ws.close()
    assert "goes on, although its connection has ended" in caplog.text
    released.set()


@scenario
async def test_a_lifespan_that_goes_on_although_it_is_cancelled_is_left_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lifespan, "SHUTDOWN_TIMEOUT", 0.01)
    monkeypatch.setattr(_lifespan, "_GRACE", 0.01)
    released = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await accept_and_wait(receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await whatever_comes(released)

    ws = await AsgiTransport(app).connect(options(URL))
    await ws.close()
    assert "goes on, although it was told to shut down" in caplog.text
    released.set()


@scenario
async def test_the_application_does_not_see_the_clients_context() -> None:
    variable = contextvars.ContextVar("variable", default="the server's")
    seen: list[str] = []

    async def serve(receive: Any, send: Any) -> None:
        seen.append(variable.get())
        await accept_and_wait(receive, send)

    variable.set("the client's")
    await use(AsgiTransport(App(serve)))
    assert seen == ["the server's"]


def test_loops_one_after_the_other() -> None:
    transport = AsgiTransport(App(accept_and_wait))
    for _ in range(3):
        run(use(transport))


def loop_of(transport: AsgiTransport) -> asyncio.AbstractEventLoop | None:
    """The loop, which mypy would otherwise take to be what it was a moment ago."""
    return transport.loop


async def use(transport: AsgiTransport) -> None:
    """Connect, send, close."""
    async with connected(transport, URL) as ws:
        await ws.send(["hello"])
        await ws.close()


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
