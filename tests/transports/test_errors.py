"""The errors as programs see them, and the checks of the options."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from bokehwire.protocol.errors import BokehWireError
from bokehwire.transports import (
    ConnectError,
    ConnectionClosed,
    ConnectionOptions,
    ConnectTimeout,
    HandshakeRefused,
    InvalidHandshake,
    InvalidURL,
    MessageTooBig,
    WebSocketViolation,
    WrongSubprotocol,
)

URL = "ws://example.org/ws"

EXAMPLES = [
    ConnectError("no", url=URL),
    InvalidURL("no", url=URL),
    InvalidHandshake("no", url=URL),
    HandshakeRefused("no", url=URL, status=302, reason="Found", location="/elsewhere"),
    WrongSubprotocol("no", url=URL, selected="soap"),
    ConnectTimeout.after(URL, 3),
    ConnectionClosed(code=10001, reason="protocol error", clean=True),
    MessageTooBig(limit=10, size=11),
    WebSocketViolation(reason="nonsense"),
]


@pytest.mark.parametrize(
    ("kind", "caught_as"),
    [
        (ConnectError, OSError),
        (InvalidURL, ValueError),
        (InvalidURL, OSError),
        (InvalidHandshake, OSError),
        (HandshakeRefused, OSError),
        (WrongSubprotocol, OSError),
        (ConnectTimeout, TimeoutError),
        (ConnectionClosed, RuntimeError),
        (MessageTooBig, ConnectionClosed),
        (WebSocketViolation, ConnectionClosed),
    ],
)
def test_existing_except_clauses_work(kind: type[Exception], caught_as: type[Exception]) -> None:
    assert issubclass(kind, caught_as)
    assert issubclass(kind, BokehWireError)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_copying(error: Exception) -> None:
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (ConnectTimeout.after(URL, 2.5), [URL, "2.5 s", "connect_timeout"]),
        (ConnectTimeout.after(URL, None), [URL, "does not answer"]),
        (
            ConnectionClosed(code=10001, reason="protocol error", clean=True),
            ["closed with code 10001", "protocol error"],
        ),
        (ConnectionClosed(reason="gone"), ["lost", "1006", "gone"]),
        (ConnectionClosed("as told"), ["as told"]),
        (MessageTooBig(limit=10, size=11), ["11 bytes", "10 bytes", "max_message_size"]),
        (MessageTooBig(limit=10), ["unknown size", "10 bytes", "max_message_size"]),
        (WebSocketViolation(reason="bad frame"), ["bad frame"]),
    ],
)
def test_the_message_says_what_happened(error: Exception, parts: list[str]) -> None:
    for part in parts:
        assert part in str(error)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"close_timeout": -1.0}, "close_timeout"),
        ({"max_message_size": 0}, "max_message_size"),
        ({"ping_interval": 0}, "ping_interval"),
        ({"ping_timeout": float("nan")}, "ping_timeout"),
        ({"headers": {"X-A": "1\r\nX-B: 2"}}, "X-A"),
        ({"headers": {"X-A\n": "1"}}, "X-A"),
        ({"headers": {"X A": "1"}}, "X A"),
        ({"headers": {"": "1"}}, "the header ''"),
        ({"headers": {5: "1"}}, "the header 5"),
        ({"headers": {"X-A": 5}}, "X-A.*not 5"),
        ({"headers": {"X-A": None}}, "X-A.*not None"),
        ({"headers": {"X-A": "é"}}, "X-A"),
        ({"subprotocols": ("bokeh", "a\r\nX: b")}, "subprotocol"),
        ({"subprotocols": ("bokeh", "a b")}, "subprotocol"),
        ({"subprotocols": ("bokeh", "")}, "subprotocol"),
        ({"subprotocols": ("bokeh", None)}, "subprotocol None"),
    ],
)
def test_options_are_checked(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ConnectionOptions(**{"url": URL} | changes)
