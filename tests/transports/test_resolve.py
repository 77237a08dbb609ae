"""Choosing a transport, and what that imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bokehwire.transports import ConnectionOptions, Transport, WebSocket, resolve


class OwnTransport:
    async def connect(self, options: ConnectionOptions) -> WebSocket:
        raise NotImplementedError


def test_names() -> None:
    from bokehwire.transports.aiohttp import AiohttpTransport
    from bokehwire.transports.tornado import TornadoTransport

    assert isinstance(resolve("tornado"), TornadoTransport)
    assert isinstance(resolve("aiohttp"), AiohttpTransport)


def test_an_object_is_used_as_it_is() -> None:
    own: Transport = OwnTransport()
    assert resolve(own) is own


def test_an_unknown_name_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'websockets'.*'tornado'.*'aiohttp'"):
        resolve("websockets")


@pytest.mark.parametrize("wrong", [None, 5, object(), OwnTransport.connect])
def test_something_else_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="transport must be"):
        resolve(wrong)  # type: ignore[arg-type]  # which is the point


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bokehwire.transports.aiohttp", raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ImportError, match=r"pip install 'bokehwire\[aiohttp\]'"):
        resolve("aiohttp")


def test_a_library_is_imported_when_it_is_chosen() -> None:
    script = """
import sys
from bokehwire.transports import resolve
assert "aiohttp" not in sys.modules
assert "bokehwire.transports.tornado" not in sys.modules
resolve("tornado")
assert "aiohttp" not in sys.modules
resolve("aiohttp")
assert "aiohttp" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
