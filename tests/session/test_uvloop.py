"""Blocking sessions whose background thread runs a loop of uvloop, in a process of their own: other tests hide it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..live import DEADLINE
from ..processes import ServerProcess

PROGRAM = """
import sys
from bokehwire import pull_session
from bokehwire.session.portal import Portal

sessions = [pull_session(url=sys.argv[1], transport=sys.argv[2]) for _ in range(3)]
for session in sessions:
    slider = session.document.get_model_by_name("slider")
    for value in range(100):
        slider.value = value % 10
    session.force_roundtrip()
    session.pull()
    print(session.document.get_model_by_name("slider").value)
print(type(Portal.current()._loop).__module__)
for session in sessions:
    session.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop")
@pytest.mark.parametrize("transport", ["tornado", "aiohttp"])
def test_sessions_on_uvloop(transport: str, server_process: ServerProcess) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, server_process.url("/slider"), transport],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["9", "9", "9", "uvloop"]
