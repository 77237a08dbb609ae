"""Chromium without a window, driven by the WebDriver protocol (W3C) through Debian's chromedriver."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from .recording import DEADLINE
from .tap import HOST

DRIVER = "/usr/bin/chromedriver"
BROWSER = "/usr/bin/chromium"
# It is to talk to nobody but the tap.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    # A page in that cache keeps its WebSocket open.
    "--disable-back-forward-cache",
)
_opener = build_opener(ProxyHandler({}))


class Browser:
    """One page."""

    def __init__(self, driver: str, profile: str) -> None:
        options = {"binary": BROWSER, "args": [*_FLAGS, f"--user-data-dir={profile}"]}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "timeouts": {"script": DEADLINE * 1000}}
        session = _call("POST", f"{driver}/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"{driver}/session/{session['sessionId']}"

    def run_before_pages(self, script: str) -> None:
        """Runs the script in every page that is opened from now on, before the page's own."""
        command = {"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": script}}
        _call("POST", f"{self._session}/goog/cdp/execute", command)

    def open(self, url: str) -> None:
        """Goes to the address; returns when the page has been loaded."""
        _call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str) -> Any:
        """Runs the body of a function in the page; a promise that it returns is waited for."""
        return _call("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def quit(self) -> None:
        _call("DELETE", self._session)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "started successfully on port" in line)
            page = Browser(f"http://{HOST}:{line.split()[-1].rstrip('.')}", profile)
            try:
                yield page
            finally:
                page.quit()
        finally:
            process.terminate()
            process.wait(DEADLINE)


def _call(method: str, url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)
    with _opener.open(request, timeout=DEADLINE) as response:
        return json.load(response)["value"]
