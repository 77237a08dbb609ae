"""The core depends on nothing but what it is given: no clock, randomness, environment, logging, I/O or globals."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bokehwire.protocol

SOURCES = sorted(Path(bokehwire.protocol.__file__).parent.glob("*.py"))
ROOT = Path(__file__).parent.parent.parent

# All that the core imports. None of it keeps time, draws numbers, reads the environment or does I/O.
ALLOWED = {
    "__future__",
    "collections.abc",
    "enum",
    "functools",
    "gc",
    "itertools",
    "json",
    "math",
    "msgspec",
    "re",
    "types",
    "typing",
}
ABSENT = {"aiohttp", "asyncio", "bokeh", "logging", "random", "selectors", "socket", "ssl", "tornado"}

# Every transcript, in both roles: what was reported and what was sent, in one digest.
REPLAY = """
import hashlib
from tests.protocol.replaying import TRANSCRIPTS, event_text, make_connection, send, steps
from bokehwire.protocol import RemoteProtocolError

def replay():
    digest = hashlib.sha256()
    for transcript in TRANSCRIPTS:
        for side in ("client", "server"):
            connection = make_connection(transcript, side)
            for step in steps(transcript):
                if step.sender == side and step.message is not None and connection.error is None:
                    digest.update(repr(send(connection, step)).encode())
                elif step.sender != side:
                    try:
                        digest.update(event_text(connection.receive_frame(step.frame)).encode())
                    except RemoteProtocolError as error:
                        digest.update(repr(error).encode())
            digest.update(repr((connection.state, dict(connection.pending))).encode())
    return digest.hexdigest()
"""

WATCH = """
import sys
replay()  # What is imported late, such as a codec, is no part of what the core does.
seen = []
watching = True
sys.addaudithook(lambda event, args: seen.append((event, args)) if watching else None)
replay()
watching = False
print(seen)
"""

GLOBALS = """
import sys

def held():
    modules = {name: vars(module) for name, module in sys.modules.items() if name.startswith("bokehwire.protocol")}
    return {
        (name, key): repr(value)
        for name, variables in modules.items()
        for key, value in variables.items()
        if not key.startswith("__")
    }

before = held()
replay()
after = held()
print(len(before) > 100, [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)])
"""


def run(program: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.strip()


def test_an_import_pulls_in_no_library_and_no_loop() -> None:
    loaded = set(run("import bokehwire.protocol, sys; print(*sys.modules)").split())
    assert "bokehwire.protocol.connection" in loaded
    assert sorted(loaded & ABSENT) == []


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_only_what_is_pure_is_imported(file: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(str(node.module))
    assert sorted(imported - ALLOWED) == []


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_nothing_changes_a_global_or_reads_what_it_was_not_given(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Global)] == []
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert called.isdisjoint({"open", "input", "print", "id", "hash", "__import__", "exec", "eval"})


def test_the_same_in_is_the_same_out_whatever_the_process_is_like() -> None:
    program = f"{REPLAY}\nprint(replay())"
    one = run(program, PYTHONHASHSEED="1", TZ="UTC", LC_ALL="C", BOKEH_SIMPLE_IDS="yes")
    other = run(program, PYTHONHASHSEED="2", TZ="Asia/Tokyo", LC_ALL="C.UTF-8", BOKEH_SIMPLE_IDS="no")
    assert len(one) == 64
    assert one == other


def test_a_connection_touches_nothing_outside() -> None:
    assert run(REPLAY + WATCH) == "[]"


def test_a_connection_leaves_no_trace_in_the_modules() -> None:
    assert run(REPLAY + GLOBALS) == "True []"
