"""The servers of the test-suite do what the other tests take for granted; bokeh.client says so."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection

import pytest
from bokeh.document import Document
from bokeh.events import ButtonClick
from bokeh.models.widgets import Div
from bokeh.util.token import generate_session_id

from .apps import model
from .leaks import no_leaks
from .processes import ServerProcess
from .reference import pulled, pushed
from .servers import HOST, SERVER_KINDS, LiveServer, make_server

every_server = pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)


def text_of(document: Document | None, name: str) -> str:
    text: str = model(document, name).text
    return text


def title_of(document: Document | None) -> str:
    assert document is not None
    return document.title


def set_title(title: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document.title = title

    return change


@every_server
def test_a_change_on_the_server_reaches_a_client(server: LiveServer) -> None:
    with pulled(server.url("/slider")) as session:
        server.edit(session.id, set_title("changed"), "/slider")
        session.pull()
        assert title_of(session.document) == "changed"


@every_server
def test_callbacks_of_the_slider_app(server: LiveServer) -> None:
    with pulled(server.url("/nested/slider")) as session:
        model(session.document, "slider").value = 7
        session.force_roundtrip()
        server.wait_for(session.id, lambda document: text_of(document, "div") == "slider: 7", "/nested/slider")
        server.edit(session.id, lambda document: document.callbacks.trigger_event(click_on(document)), "/nested/slider")
        assert server.edit(session.id, lambda document: text_of(document, "div"), "/nested/slider") == "slider: 7 click"


def click_on(document: Document) -> ButtonClick:
    return ButtonClick(model(document, "button"))


@every_server
def test_an_edit_returns_after_its_error_has_been_raised(server: LiveServer) -> None:
    def fail(document: Document) -> None:
        raise LookupError("on purpose")

    with pulled(server.url()) as session:
        with pytest.raises(LookupError, match="on purpose"):
            server.edit(session.id, fail)
        assert server.edit(session.id, lambda document: len(document.roots)) == 0


@every_server
def test_a_predicate_that_holds_already_is_not_waited_for(server: LiveServer) -> None:
    with pulled(server.url()) as session:
        server.wait_for(session.id, lambda document: True)


@every_server
def test_ticks(server: LiveServer) -> None:
    with pulled(server.url("/ticks")) as session:
        server.wait_for(session.id, lambda document: int(text_of(document, "ticks")) >= 2, "/ticks")


@every_server
def test_arguments_reach_the_app(server: LiveServer) -> None:
    with pulled(server.url("/args"), arguments={"name": "a b&c"}) as session:
        assert json.loads(text_of(session.document, "args")) == {"name": ["a b&c"]}
        assert title_of(session.document) == "1 arguments"


@every_server
def test_the_broken_app_answers_by_an_error(server: LiveServer) -> None:
    with pulled(server.url("/broken")) as session:
        model(session.document, "slider").value = 2
        session.force_roundtrip()
        model(session.document, "slider").value = 3
        session.force_roundtrip()
        assert server.edit(session.id, lambda document: model(document, "slider").value, "/broken") == 3


@every_server
def test_sessions_and_connections_are_counted(server: LiveServer) -> None:
    before = server.connection_count()
    with pulled(server.url("/source")) as session:
        assert session.id in server.session_ids("/source")
        assert server.session(session.id, "/source").connection_count == 1
        assert server.connection_count() == before + 1


@every_server
def test_a_dropped_connection_is_noticed_by_its_client(server: LiveServer) -> None:
    with pulled(server.url()) as session:
        server.drop_connections()
        assert server.connection_count() == 0
        with pytest.raises(RuntimeError):
            session.force_roundtrip()
        assert not session.connected


@every_server
def test_in_a_coroutine(server: LiveServer) -> None:
    async def scenario(session_id: str) -> str:
        changed = server.await_for(session_id, lambda document: document.title == "two")
        waiting = asyncio.ensure_future(changed)
        for title in ("one", "two"):
            await server.aedit(session_id, set_title(title))
        await waiting
        return await server.aedit(session_id, lambda document: document.title)

    with pulled(server.url()) as session:
        session_id = session.id
    assert asyncio.run(scenario(session_id)) == "two"


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_a_server_leaves_nothing_behind(kind: str) -> None:
    document = Document()
    document.add_root(Div(text="pushed"))
    threads = set(threading.enumerate())
    with no_leaks():
        with make_server(kind, prefix="/some/where") as server:
            assert "/some/where/slider" in server.url("/slider")
            with pulled(server.url("/slider")), pushed(document, server.url()):
                assert server.connection_count() == 2
        # no_leaks() passes over the threads of servers; here they count.
        assert set(threading.enumerate()) <= threads


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_a_server_that_stops_before_its_clients(kind: str) -> None:
    with no_leaks(), make_server(kind) as server, pulled(server.url("/ticks")) as session:
        server.stop()
        with pytest.raises(RuntimeError):
            session.force_roundtrip()
        assert not session.connected
        with pytest.raises(RuntimeError, match="not running"):
            server.connection_count()


def test_an_unknown_kind_of_server() -> None:
    with pytest.raises(ValueError, match="no server of kind 'wsgi'"):
        make_server("wsgi")


def test_a_server_in_a_process_of_its_own(server_process: ServerProcess) -> None:
    with pulled(server_process.url("/slider")) as session:
        model(session.document, "slider").value = 9
        session.force_roundtrip()
        with pulled(server_process.url("/slider"), session.id) as other:
            assert text_of(other.document, "div") == "slider: 9"


def test_a_killed_process_is_gone() -> None:
    with no_leaks(), ServerProcess(prefix="/p") as server, pulled(server.url()) as session:
        server.kill()
        assert server.process.returncode == -signal.SIGKILL
        with pytest.raises(RuntimeError):
            session.force_roundtrip()
        assert not session.connected


def test_a_frozen_process_answers_when_it_goes_on(server_process: ServerProcess) -> None:
    with pulled(server_process.url()) as session:
        assert session.document is not None
        server_process.freeze()
        session.document.title = "while frozen"
        server_process.resume()
        session.force_roundtrip()
        assert session.connected


def test_a_process_that_wants_signed_sessions() -> None:
    secret = "a secret of the tests, long enough for Bokeh not to warn"

    def status(server: ServerProcess, session_id: str) -> int:
        connection = HTTPConnection(HOST, server.port)
        with closing(connection):
            connection.request("GET", f"/slider?bokeh-session-id={session_id}")
            with connection.getresponse() as response:
                return response.status

    with ServerProcess(env={"BOKEH_SIGN_SESSIONS": "yes", "BOKEH_SECRET_KEY": secret}) as server:
        assert status(server, generate_session_id(signed=False)) == 403
        assert status(server, generate_session_id(secret_key=secret.encode(), signed=True)) == 200


def test_a_process_that_does_not_start() -> None:
    with pytest.raises(RuntimeError, match="has not started"), ServerProcess(env={"PYTHONPATH": "", "PYTHONHOME": "/"}):
        pass
