"""The server of a capture, in a process of its own: its model ids are then its own too, and start afresh.

It prints its port and obeys its standard input: `edit /path` changes the only session of that application, the end of
the input ends the server in good order.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Self

from tests.servers import make_server

from .apps import APPS, EDITS
from .recording import DEADLINE


class Server:
    """The process between `with` and the end of the block."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.port = 0

    def edit(self, path: str) -> None:
        """Changes the session; returns when the change has been written to the clients."""
        self._tell(f"edit {path}")

    def stop(self) -> None:
        """Ends the server while clients may still be connected."""
        self._process.communicate(timeout=DEADLINE)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tools.capture.serve", self._kind]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._read())
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self.stop()

    def _tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the server has ended")
        return line


def main(kind: str) -> None:
    # It complains of each refusal that is captured.
    logging.disable(logging.CRITICAL)
    with make_server(kind, APPS) as server:
        print(server.port, flush=True)
        for command in sys.stdin:
            path = command.removeprefix("edit ").strip()
            (session_id,) = server.session_ids(path)
            server.edit(session_id, EDITS[path], path)
            print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
