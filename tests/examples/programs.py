"""The examples as a user meets them: files of a given length, run as their docstrings say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "examples" / "protocol"
MODULES = sorted(path.stem for path in FOLDER.glob("*.py"))


def run(*arguments: str) -> list[str]:
    """Run Python with these arguments in the root of the repository; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "BOKEH_PY_LOG_LEVEL": "none"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@contextmanager
def running(*arguments: str, ready: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run Python with these arguments until the end of the block; give the first line that matches `ready`."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "BOKEH_PY_LOG_LEVEL": "none"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line)
                if re.search(ready, line):
                    break
            else:
                raise AssertionError(f"{arguments} ended: {lines}")
            yield line, process
        finally:
            process.terminate()
