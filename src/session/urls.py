"""URLs of Bokeh servers: from the page a person opens to the WebSocket a session speaks on, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult, quote_plus, urlencode, urlsplit, urlunsplit

from bokeh.resources import DEFAULT_SERVER_HTTP_URL

from ..transports.errors import InvalidURL

__all__ = ["check_websocket_url", "page_url", "server_url", "websocket_url", "with_arguments"]

_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}
_PAGE_SCHEMES = {"ws": "http", "wss": "https"}


def server_url(url: str) -> str:
    """Resolve what a caller gave as `url` to the http or https URL of an application.

    Args:
        url: An http or https URL with any path prefix, with or without a trailing slash, or "default" for the
            server Bokeh is configured to use, which is http://localhost:5006/ unless the environment says otherwise.

    Returns:
        The URL, without trailing slashes in its path and without a fragment.

    Raises:
        InvalidURL: The scheme is not http or https, there is no host, the port is not a number, or there are spaces or
            control characters.
    """
    if url == "default":
        url = DEFAULT_SERVER_HTTP_URL
    if str(url).startswith(("ws:", "wss:")):
        raise InvalidURL(
            f"{url!r} is a WebSocket URL. Pass the http or https URL of the application, as in a browser, "
            "or use ClientSession(websocket_url=...).",
            url=url,
        )
    parts = _check(url, tuple(_WEBSOCKET_SCHEMES))
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), parts.query, ""))


def websocket_url(url: str) -> str:
    """Turn the http or https URL of an application into the URL of its WebSocket.

    Args:
        url: An http or https URL, with or without a trailing slash. A query string is kept.

    Returns:
        The ws or wss URL, whose path ends in "/ws".

    Raises:
        InvalidURL: The URL is malformed or has another scheme.
    """
    parts = _check(url, tuple(_WEBSOCKET_SCHEMES))
    return urlunsplit((_WEBSOCKET_SCHEMES[parts.scheme], parts.netloc, parts.path.rstrip("/") + "/ws", parts.query, ""))


def check_websocket_url(url: str) -> None:
    """Refuse a WebSocket URL that no connection could be made to.

    Args:
        url: What the caller gave as the URL of an application's WebSocket.

    Raises:
        InvalidURL: The scheme is not ws or wss, there is no host, or the port is not a number.
    """
    _check(url, tuple(_PAGE_SCHEMES))


def page_url(url: str, session_id: str) -> str:
    """Give the page on which a browser shows a session.

    Args:
        url: The session's ws or wss URL, or the http or https URL of its application.
        session_id: The session's id, which is quoted into the query.

    Returns:
        The http or https URL of the page, such as "http://localhost:5006/app?bokeh-session-id=abc".

    Raises:
        InvalidURL: The URL is malformed, or a WebSocket URL whose path does not end in "/ws".
    """
    parts = _check(url, tuple(_WEBSOCKET_SCHEMES) + tuple(_PAGE_SCHEMES))
    path = parts.path
    scheme = parts.scheme
    if scheme in _PAGE_SCHEMES:
        if not path.endswith("/ws"):
            raise InvalidURL(f"the WebSocket URL {url!r} does not end in /ws, as a Bokeh application's does.", url=url)
        path = path[:-2]
        scheme = _PAGE_SCHEMES[scheme]
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit((scheme, parts.netloc, path, f"{query}bokeh-session-id={quote_plus(session_id)}", ""))


def with_arguments(url: str, arguments: Mapping[str, str | Sequence[str]] | None) -> str:
    """Add HTTP request arguments to a URL.

    Args:
        url: The URL, which may have a query already.
        arguments: Names and values, unquoted, or None for none. A sequence of values gives the argument several times.

    Returns:
        The URL with the arguments quoted into its query.

    Raises:
        ValueError: A name or a value has characters that UTF-8 cannot hold.
    """
    if not arguments:
        return url
    parts = urlsplit(url)
    try:
        quoted = urlencode(dict(arguments), doseq=True)
    except UnicodeEncodeError as error:
        raise ValueError(f"arguments cannot be sent: UTF-8 cannot hold {error.object!r}.") from None
    query = "&".join(part for part in (parts.query, quoted) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def _check(url: object, schemes: tuple[str, ...]) -> SplitResult:
    """Refuse a URL that no connection could be made to, and give the parts of any other."""
    if not isinstance(url, str):
        raise InvalidURL(f"a URL must be text, not {url!r}.", url=str(url))
    if any(char <= " " or char == "\x7f" for char in url):  # some of which urlsplit drops silently
        raise InvalidURL(f"{url!r} has spaces or control characters; quote them.", url=url)
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise InvalidURL(f"{url!r} is not a valid URL: {error}.", url=url) from error
    if parts.scheme not in schemes:
        raise InvalidURL(f"{url!r} must start with one of {', '.join(f'{s}://' for s in schemes)}.", url=url)
    if not parts.hostname or not port_is_valid:
        raise InvalidURL(f"{url!r} must name a host, and a port above 0 if it names one.", url=url)
    return parts
