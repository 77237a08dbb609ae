"""Reading the URL to connect to and the answer to the upgrade request, the same for every transport."""

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from .errors import ConnectError, HandshakeRefused, InvalidHandshake, InvalidURL, WrongSubprotocol

# What may stand in a path or query as it is (RFC 3986, section 3.4), and "%", since the URL is quoted already.
_SAFE = "%:/?#[]@!$&'()*+,;=-._~"


@dataclass(frozen=True, slots=True)
class Target:
    """A checked URL.

    Attributes:
        url: The URL in ASCII only, as it is sent.
        host: The host's name in ASCII, or its address without brackets.
        port: The TCP port.
        secure: True for wss.
        headers: What the URL's user name and password become.
    """

    url: str
    host: str
    port: int
    secure: bool
    headers: Mapping[str, str]


def parse_target(url: str) -> Target:
    """Check a WebSocket URL and give its parts.

    Raises:
        InvalidURL: If the scheme is not ws or wss, the host is missing, the port is out of range, or the URL has
            characters that may not be sent.
    """
    try:
        return _parse(url)
    except ValueError as error:
        raise InvalidURL(f"cannot connect to {url!r}: {error}", url=url) from None


def _parse(url: str) -> Target:
    if any(char <= " " or char == "\x7f" for char in url):
        raise ValueError("a URL has no spaces or control characters; quote them")
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss"):
        raise ValueError("the URL must start with ws:// or wss://")
    if parts.fragment:
        raise ValueError("a WebSocket URL has no fragment ('#...')")
    if not parts.hostname:
        raise ValueError("the URL names no host")
    secure = parts.scheme == "wss"
    port = parts.port
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    host = _ascii_host(parts.hostname)
    place = f"[{host}]" if ":" in host else host
    if port is not None:
        place = f"{place}:{port}"
    path = quote(parts.path or "/", safe=_SAFE)
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    headers = {}
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Authorization"] = f"Basic {b64encode(credentials).decode('ascii')}"
    return Target(f"{parts.scheme}://{place}{path}{query}", host, port or (443 if secure else 80), secure, headers)


def _ascii_host(host: str) -> str:
    if ":" in host:
        return str(ipaddress.ip_address(host))
    if host.replace(".", "").isdigit():
        # Short and decimal forms of an address are understood by some resolvers and not by others.
        return str(ipaddress.IPv4Address(host))
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"{host!r} is not a host name ({error})") from None


def check_answer(
    url: str, status: int, reason: str, headers: Mapping[str, str], offered: tuple[str, ...]
) -> str | None:
    """Check the status and the subprotocol of the answer to an upgrade request; return the subprotocol.

    Args:
        url: The URL, for the errors.
        status: The HTTP status.
        reason: The reason phrase.
        headers: The response headers, with keys in any case.
        offered: The subprotocols that were offered.

    Raises:
        HandshakeRefused: If the status is not 101.
        WrongSubprotocol: If the answer selects none of those that were offered.
        InvalidHandshake: If the answer turns on an extension; none is offered.
    """
    if status != 101:
        raise _refused(url, status, reason, headers)
    selected = headers.get("Sec-WebSocket-Protocol")
    if selected not in (offered or (None,)):
        what = "no subprotocol" if selected is None else f"the subprotocol {selected!r}"
        raise WrongSubprotocol(
            f"the server at {url} selected {what}, but {list(offered)!r} were offered; check the server and the path",
            url=url,
            selected=selected,
        )
    extensions = headers.get("Sec-WebSocket-Extensions")
    if extensions:
        raise InvalidHandshake(f"the server at {url} wants the extensions {extensions!r}; none was offered", url=url)
    return selected


def _application(url: str) -> str:
    """Give the path of the application that has its WebSocket at a URL."""
    return urlsplit(url).path.removesuffix("/ws") or "/"


def _refused(url: str, status: int, reason: str, headers: Mapping[str, str]) -> ConnectError:
    location = headers.get("Location") if 300 <= status < 400 else None
    if location is not None:
        advice = f"redirections are not followed: connect to {location!r} instead"
    elif status == 404:
        advice = f"there is nothing at {_application(url)} on the server: check the path of the application"
    elif status == 403:
        # Also the answer of BokehASGI to a path that has no application (Bokeh 3.10.2 and 4.0.0.dev8).
        advice = (
            f"the server does not allow this connection, or has nothing at {_application(url)}: check the path of the "
            "application, the token, the headers and the server's settings"
        )
    elif status == 401:
        advice = "the server does not allow this connection: check the token, the headers and the server's settings"
    elif status >= 500:
        advice = "the server failed: see its log"
    else:
        advice = "the server does not speak WebSocket at this path"
    answer = f"HTTP {status} {reason}".rstrip()
    return HandshakeRefused(
        f"{url} answered {answer} to the WebSocket upgrade; {advice}",
        url=url,
        status=status,
        reason=reason,
        location=location,
    )
