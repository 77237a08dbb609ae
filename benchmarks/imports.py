"""Rows: how long imports take in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

from .faces import OLD
from .measuring import Sample
from .row import Place, Row, Turns, Work

_PROGRAM = """
import time
begin = time.perf_counter(), time.process_time()
{}
print(time.perf_counter() - begin[0], time.process_time() - begin[1])
"""
OURS = "tornado"


def importing(statement: str) -> Work:
    """Run a statement in a fresh interpreter, which measures it itself."""

    async def turns(place: Place) -> Turns:
        command = [sys.executable, "-c", _PROGRAM.format(statement)]
        # An installed package has its bytecode; a checkout gets it in the first round, unless that is forbidden.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        while True:
            output = subprocess.run(command, check=True, capture_output=True, env=env, text=True).stdout
            seconds, client = map(float, output.split())
            yield Sample(seconds, client)

    return turns


def _row(key: str, title: str, ours: str, theirs: str, goal: float, note: str = "") -> Row:
    contestants = {OLD: importing(theirs), OURS: importing(ours)}
    return Row(key, title, contestants, rounds=11, limit="", goals=(goal, None), note=note)


ROWS = [
    _row(
        "import-bokehwire", "`import bokehwire` vs `import bokeh.client`", "import bokehwire", "import bokeh.client", 1
    ),
    _row(
        "import-function",
        "`from ... import pull_session`",
        "from bokehwire import pull_session",
        "from bokeh.client import pull_session",
        1,
        note="bokehwire imports Bokeh's documents here, bokeh.client when it first pulls.",
    ),
    _row(
        "import-document",
        "`from ... import pull_session; from bokeh.document import Document`",
        "from bokehwire import pull_session; from bokeh.document import Document",
        "from bokeh.client import pull_session; from bokeh.document import Document",
        1,
        note="What is imported once a session has been pulled.",
    ),
    _row(
        "import-protocol",
        "`import bokehwire.protocol` vs `import bokeh.protocol`",
        "import bokehwire.protocol",
        "import bokeh.protocol",
        10,
    ),
]
