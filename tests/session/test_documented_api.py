"""The documented API of `bokeh.client.session`, row by row, on real servers, over every face and transport."""

from __future__ import annotations

import inspect
from typing import Any, cast

import bokeh.client.session as reference
import pytest
from bokeh.client.states import ErrorReason
from bokeh.document import Document
from bokeh.models.widgets import Div, Slider
from bokeh.util.token import check_token_signature, get_session_id

import bokehwire
from bokehwire import AsyncClientSession, ClientSession, DocumentInUse, SessionClosed, UsageError, show_session

from ..apps import model
from ..servers import LiveServer
from .faces import AnySession, Face, contents, do
from .spying import SpyTransport


def named(session: AnySession, name: str) -> Any:
    assert session.document is not None
    model = session.document.get_model_by_name(name)
    assert model is not None
    return model


def is_connected(session: AnySession) -> bool:
    """`session.connected`, which a type checker does not take to stay as it was."""
    return session.connected


@pytest.mark.parametrize("name", ["pull_session", "push_session", "show_session", "ClientSession"])
def test_parameters_have_the_same_names_order_and_defaults(name: str) -> None:
    ours = list(inspect.signature(getattr(bokehwire, name)).parameters.values())
    theirs = list(inspect.signature(getattr(reference, name)).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(theirs)]] == [(p.name, p.default) for p in theirs]
    assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in ours[len(theirs) :])


def test_every_public_name_of_the_session_is_there() -> None:
    names = {name for name in vars(reference.ClientSession) if not name.startswith("_")} | {"_loop_until_closed"}
    assert names <= set(dir(ClientSession)) | {"document"}
    for name in names:
        theirs = getattr(reference.ClientSession, name)
        if inspect.isfunction(theirs):
            parameters = [(p.name, p.default) for p in inspect.signature(theirs).parameters.values()]
            ours = inspect.signature(getattr(ClientSession, name)).parameters.values()
            assert [(p.name, p.default) for p in ours] == parameters, name


def test_constants() -> None:
    assert bokehwire.DEFAULT_SESSION_ID == reference.DEFAULT_SESSION_ID
    assert bokehwire.DEFAULT_SERVER_WEBSOCKET_URL == reference.DEFAULT_SERVER_WEBSOCKET_URL


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/ws", "", "nonsense", "http://[", "ws://h:port/ws"])
def test_the_constructor_does_no_io_and_never_fails_on_a_url(face: Face, url: str) -> None:
    async def scenario(face: Face) -> None:
        session = face.session(websocket_url=url)
        assert session.url == url
        assert not session.connected
        assert session.document is None
        assert session.error_reason is None
        assert session.error_code == 0
        assert session.error_detail == ""
        await do(session.close())

    face.play(scenario)


def test_connect_and_close_are_idempotent(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = face.session(websocket_url=server.websocket_url("/slider"), session_id="twice")
        await do(session.connect())
        await do(session.connect())
        assert session.connected
        session.check_connection_errors()
        assert session.document is None
        await do(session.close())
        await do(session.close())
        assert not is_connected(session)
        assert session.error_reason is ErrorReason.NO_ERROR
        with pytest.raises(OSError, match="was closed"):
            session.check_connection_errors()

    face.play(scenario)


def test_a_session_is_a_context_manager(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = face.session(websocket_url=server.websocket_url("/slider"))
        if isinstance(session, ClientSession):
            with session as entered:
                session.pull()
                assert entered is session
                assert session.connected
        else:
            async with session as entered_async:
                await session.pull()
                assert entered_async is session
                assert session.connected
        assert not is_connected(session)
        for call in (session.pull, session.push, session.force_roundtrip, session.connect, session.request_server_info):
            with pytest.raises(SessionClosed, match="closed"):
                await do(call())

    face.play(scenario)


def test_the_end_of_a_with_block_waits_for_the_servers_confirmation(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        async with face.inside(session):
            model(session.document, "slider").value = 7
        assert await face.edit(server, session, lambda there: model(there, "slider").value, "/slider") == 7

    face.play(scenario)


def test_the_deadlines_and_limits_there_are_without_asking() -> None:
    expected = {
        "connect_timeout": 30.0,
        "reply_timeout": 60.0,
        "close_timeout": 10.0,
        "max_inbox_size": 64 * 1024 * 1024,
        "ping_interval": None,  # a server that computes cannot answer
    }
    parameters = inspect.signature(AsyncClientSession).parameters  # to which a blocking session passes its options on
    assert {name: parameters[name].default for name in expected} == expected


def test_calls_that_need_a_connection_say_so(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = face.session(websocket_url=server.websocket_url())
        for call in (session.force_roundtrip, session.request_server_info):
            with pytest.raises(UsageError, match="connect"):
                await do(call())
        with pytest.raises(OSError, match="has not connected yet"):
            session.check_connection_errors()
        with pytest.raises(UsageError, match=r"pull\(\) or push\(\)"):
            await do(session.show(Div()))

    face.play(scenario)


def test_a_pull_loads_the_document(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        assert session.connected
        assert named(session, "slider").value == 1
        assert await face.edit(server, session, contents, "/slider") == contents(session.document)
        assert session.url == server.websocket_url("/slider")

    face.play(scenario)


def test_a_second_pull_overwrites_the_same_document_and_changes_nothing_on_the_server(
    server: LiveServer, face: Face
) -> None:
    spy = SpyTransport(face.transport)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), transport=spy)
        document = session.document
        assert document is not None
        document.add_root(Div(name="extra", text="mine"))
        await do(session.force_roundtrip())
        before = spy.sent_events()
        await face.edit(server, session, lambda d: setattr(d, "title", "from the server"), "/slider")
        await do(session.pull())
        assert session.document is document
        assert document.title == "from the server"
        assert named(session, "extra").text == "mine"
        await do(session.force_roundtrip())
        assert spy.sent_events() == before
        assert await face.edit(server, session, contents, "/slider") == contents(document)
        named(session, "slider").value = 7
        await do(session.force_roundtrip())
        assert named(session, "div").text == "slider: 7"

    face.play(scenario)


def test_a_push_overwrites_the_servers_document(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        document = Document(title="pushed")
        document.add_root(Slider(name="mine", start=0, end=1, value=0.5))
        document.add_root(Div(text="two"))
        session = await face.push(document, url=server.url("/slider"))
        assert session.document is document
        assert [type(root).__name__ for root in document.roots] == ["Slider", "Div"]
        assert await face.edit(server, session, contents, "/slider") == contents(document)

    face.play(scenario)


def test_after_the_echo_of_a_push_the_documents_are_equal_and_go_on_together(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        document = Document()
        div = Div(text="one")
        document.add_root(div)
        session = await face.push(document, url=server.url())
        for text in ("two", "three"):
            await do(session.push())
            assert document.roots == [div]
            div.text = text
            await do(session.force_roundtrip())
            assert await face.edit(server, session, contents) == contents(document)
        await face.edit(server, session, lambda d: setattr(d.roots[0], "text", "server's"))
        await do(session.force_roundtrip())
        assert div.text == "server's"

    face.play(scenario)


def test_an_empty_push_makes_a_document(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = face.session(websocket_url=server.websocket_url("/slider"))
        await do(session.push())
        assert session.document is not None
        assert session.document.roots == []
        assert await face.edit(server, session, lambda d: list(d.roots), "/slider") == []
        session.document.add_root(Div(text="later"))
        await do(session.force_roundtrip())
        assert await face.edit(server, session, contents, "/slider") == contents(session.document)

    face.play(scenario)


def test_another_document_cannot_be_pushed(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        with pytest.raises(ValueError, match="another document"):
            await do(session.push(Document()))
        await do(session.push(session.document))

    face.play(scenario)


def test_a_document_belongs_to_one_open_session(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        document = Document()
        first = await face.push(document, url=server.url())
        with pytest.raises(DocumentInUse, match="belongs to another open session"):
            await face.push(document, url=server.url())
        await do(first.close())
        await face.push(document, url=server.url())

    face.play(scenario)


def test_server_info(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        from bokeh import __version__

        session = face.session(websocket_url=server.websocket_url("/slider"))
        await do(session.connect())
        expected = {"version_info": {"bokeh": __version__, "server": __version__}}
        assert await do(session.request_server_info()) == expected
        assert session.document is None
        await do(session.pull())
        assert await do(session.request_server_info()) == expected

    face.play(scenario)


def test_a_round_trip_has_everything_before_it_processed_and_applied(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        for value in range(2, 12):
            named(session, "slider").value = value
        await do(session.force_roundtrip())
        assert named(session, "div").text == "slider: 11"
        assert await face.edit(server, session, contents, "/slider") == contents(session.document)

    face.play(scenario)


def test_arguments_reach_the_application(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        arguments = {"plain": "1", "spaced name": "a&b=c ü?", "empty": "", "list": ["1", "2"]}
        session = await face.pull(url=server.url("/args"), arguments=arguments)
        text = named(session, "args").text
        assert '"spaced name": ["a&b=c \\u00fc?"]' in text
        assert '"plain": ["1"]' in text
        assert '"list": ["1", "2"]' in text

    face.play(scenario)


@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_a_prefix_with_and_without_a_trailing_slash(server: LiveServer, face: Face, slash: str) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/nested/slider") + slash)
        assert named(session, "slider").value == 1

    face.play(scenario)


def test_ids_and_tokens(server: LiveServer, face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(face: Face) -> None:
        given = await face.pull(url=server.url("/slider"), session_id="a name")
        assert given.id == "a name"
        assert get_session_id(given.token) == "a name"
        assert "a name" in face.session_ids(server, "/slider")
        made = face.session()
        assert len(made.id) == 44
        assert face.session().id != made.id
        assert "." not in made.token
        monkeypatch.setenv("BOKEH_SIGN_SESSIONS", "yes")
        with pytest.raises(ValueError, match="BOKEH_SECRET_KEY"):
            face.session()
        monkeypatch.setenv("BOKEH_SECRET_KEY", "a key of more than thirty-two characters")
        signed = face.session()
        assert check_token_signature(signed.token, b"a key of more than thirty-two characters", True)
        assert "." in given.token

    face.play(scenario)


class Browser:
    """Takes down which pages were opened."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, int]] = []

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self.opened.append((url, new))
        return True


@pytest.mark.parametrize(("new", "code"), [("same", 0), ("window", 1), ("tab", 2)])
def test_show_session_opens_the_page(server: LiveServer, face: Face, new: Any, code: int) -> None:
    browser = Browser()

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), session_id="a b&c/ü")
        show_session(session=session, new=new, controller=browser)
        show_session("x y", server.url("/slider"), new=new, controller=browser)

    face.play(scenario)
    base = server.url("/slider")
    assert browser.opened == [
        (f"{base}/?bokeh-session-id=a+b%26c%2F%C3%BC", code),
        (f"{base}?bokeh-session-id=x+y", code),
    ]


def test_show_session_makes_up_an_id_and_refuses_an_unknown_target() -> None:
    browser = Browser()
    show_session(controller=browser)
    ((url, _),) = browser.opened
    assert url.startswith("http://localhost:5006?bokeh-session-id=")
    with pytest.raises(ValueError, match="same, tab, window"):
        show_session(controller=browser, new=cast(Any, "sideways"))


def test_show_adds_the_object_where_the_page_finds_it(
    server: LiveServer, face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = Browser()
    monkeypatch.setattr("bokeh.util.browser.get_browser_controller", lambda browser: controller)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        div = Div(text="shown")
        await do(session.show(div))
        assert await face.edit(server, session, contents, "/slider") == contents(session.document)
        await do(session.show(div, new="window"))
        assert session.document is not None
        assert session.document.roots.count(div) == 1
        assert [new for _, new in controller.opened] == [2, 1]

    face.play(scenario)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"session_id": ""}, ValueError, "session_id"),
        ({"session_id": 5}, TypeError, "session_id"),
        ({"new": []}, ValueError, "same, tab, window"),
        ({"url": "ws://h/ws"}, ValueError, "WebSocket URL"),
        ({"session": ClientSession(websocket_url="http://[")}, ValueError, "not a valid URL"),
    ],
)
def test_what_show_session_cannot_show_is_refused_by_name(given: Any, error: type[Exception], text: str) -> None:
    browser = Browser()
    with pytest.raises(error, match=text):
        show_session(**given, controller=browser)
    assert not browser.opened


def test_only_models_can_be_shown(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        with pytest.raises(TypeError, match="not 5"):
            await do(session.show(cast(Any, 5)))

    face.play(scenario)
