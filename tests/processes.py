"""A Bokeh server in a process of its own: it can be stopped, killed, and configured by environment variables.

It shares neither model ids nor curdoc with the test, as servers that users connect to do not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from .live import DEADLINE, HOST

ROOT = Path(__file__).parent.parent


class ServerProcess:
    """The standard apps, served by Bokeh's Tornado server between `with` and the end of the block.

    Args:
        prefix: Stands before every path of the server.
        env: Added to the environment; BOKEH_SIGN_SESSIONS="yes" and BOKEH_SECRET_KEY make the server want signed ids.
    """

    def __init__(self, *, prefix: str = "", env: Mapping[str, str] | None = None) -> None:
        self._prefix = prefix.rstrip("/")
        self._env = dict(env or {})
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the server has not been started"
        return self._process

    def url(self, path: str = "/") -> str:
        return f"http://{HOST}:{self.port}{self._prefix}{path}"

    def websocket_url(self, path: str = "/") -> str:
        return f"ws://{HOST}:{self.port}{self._prefix}{path.rstrip('/')}/ws"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.serve", "--prefix", self._prefix]
        # What it logs is shown by pytest when the test fails, since it inherits our standard error.
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "BOKEH_PY_LOG_LEVEL": "none", **self._env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.strip().isdigit():
            self.kill()
            raise RuntimeError(f"the server process has not started; it wrote {line!r}")
        self.port = int(line)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.resume()
        self._close()

    def freeze(self) -> None:
        """Stops the process where it is: its sockets stay open and nobody answers (SIGSTOP)."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the process without any farewell (SIGKILL); returns when it is gone."""
        self.process.kill()
        self._close()

    def _close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(DEADLINE)
        self.process.stdout.close()
