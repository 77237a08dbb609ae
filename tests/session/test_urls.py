"""URLs in, URLs out."""

from __future__ import annotations

import pytest

from bokehwire import InvalidURL
from bokehwire.session.urls import check_websocket_url, page_url, server_url, websocket_url, with_arguments


@pytest.mark.parametrize(
    ("given", "websocket"),
    [
        ("http://localhost:5006", "ws://localhost:5006/ws"),
        ("http://localhost:5006/", "ws://localhost:5006/ws"),
        ("https://example.org/a/b", "wss://example.org/a/b/ws"),
        ("https://example.org/a/b/", "wss://example.org/a/b/ws"),
        ("https://example.org/a//", "wss://example.org/a/ws"),
        ("http://[::1]:5006/app", "ws://[::1]:5006/app/ws"),
        ("http://h/app/?next=/", "ws://h/app/ws?next=/"),
        ("http://h/app/#part/", "ws://h/app/ws"),
        ("default", "ws://localhost:5006/ws"),
    ],
)
def test_an_application_has_its_websocket_under_its_path(given: str, websocket: str) -> None:
    assert websocket_url(server_url(given)) == websocket


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "localhost:5006",
        "ftp://localhost",
        "http://",
        "http:///app",
        "http://localhost:port",
        "http://[::1",
        "http://h:0",
        " http://h",
        "http://h/a b",
        "http://h/a\nb",
        "http://h/\x7f",
    ],
)
def test_a_malformed_url_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        server_url(wrong)
    assert repr(wrong) in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("wrong", ["ws://localhost:5006/ws", "wss://localhost:5006/ws"])
def test_a_websocket_url_is_refused_where_a_page_is_asked_for(wrong: str) -> None:
    with pytest.raises(ValueError, match="WebSocket URL"):
        server_url(wrong)


@pytest.mark.parametrize("wrong", ["http://localhost/ws", "ws://", "ws://localhost:port/ws", ""])
def test_a_session_checks_its_websocket_url(wrong: str) -> None:
    with pytest.raises(InvalidURL):
        check_websocket_url(wrong)


def test_the_page_of_a_session_quotes_its_id() -> None:
    assert page_url("ws://localhost:5006/app/ws", "a b&c") == "http://localhost:5006/app/?bokeh-session-id=a+b%26c"
    assert page_url("https://example.org/app", "x") == "https://example.org/app?bokeh-session-id=x"
    assert page_url(server_url("http://h/app/?next=/"), "x") == "http://h/app?next=/&bokeh-session-id=x"
    assert page_url("https://example.org/app?k=v", "x") == "https://example.org/app?k=v&bokeh-session-id=x"


def test_a_websocket_that_is_no_application_has_no_page() -> None:
    with pytest.raises(InvalidURL, match="does not end in /ws"):
        page_url("ws://localhost:5006/app", "x")


@pytest.mark.parametrize("wrong", ["http://[", "ws://h:port/ws", "nonsense", ""])
def test_a_malformed_url_has_no_page(wrong: str) -> None:
    with pytest.raises(InvalidURL):
        page_url(wrong, "x")


def test_arguments_are_quoted_into_the_query() -> None:
    url = "ws://localhost:5006/ws"
    assert with_arguments(url, None) == url
    assert with_arguments(url, {}) == url
    assert with_arguments(url, {"a b": "c&d", "ü": "="}) == f"{url}?a+b=c%26d&%C3%BC=%3D"
    assert with_arguments(f"{url}?k=v", {"a": "b"}) == f"{url}?k=v&a=b"
