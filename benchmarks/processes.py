"""The processes of a benchmark. Each is one of our own programs, and ends when its standard input does."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent


class Failed(Exception):
    """A process ended, or did not answer in time."""


class Process:
    """A program of this package, running between `with` and the end of the block.

    Args:
        module: The program, such as "server".
        arguments: For its command line.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The number that the system knows it by."""
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the process has not been started"
        return self._process

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={**os.environ, "BOKEH_PY_LOG_LEVEL": "none"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        process = self._running
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def read_line(self, timeout: float) -> str:
        """Wait for a line of the program's output.

        Raises:
            Failed: The program ended instead, or took longer than this many seconds; then it is killed.
        """
        stdout = self._running.stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], timeout)
        if not ready:
            self._running.kill()
            raise Failed(f"took longer than {timeout:.0f} s")
        line = stdout.readline()
        if not line:
            raise Failed(f"ended with code {self._running.wait()}")
        return line.decode().strip()

    def write_line(self, line: str) -> None:
        """Give the program a line.

        Raises:
            Failed: The program has ended.
        """
        stdin = self._running.stdin
        assert stdin is not None
        try:
            stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise Failed(f"ended with code {self._running.wait()}") from None
