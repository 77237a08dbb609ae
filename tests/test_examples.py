"""The examples do what they say."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from bokeh.document import Document

from .servers import LiveServer, TornadoServer

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_demo_runs_to_its_end_by_itself() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py"],
        env={**os.environ, "SECONDS_TO_STREAM": "0.3", "BOKEH_PY_LOG_LEVEL": "none"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "both documents are equal" in done.stdout
    assert "'3 clicks'" in done.stdout
    assert re.search(r"http://127\.0\.0\.1:\d+/live\?bokeh-session-id=\w+", done.stdout)
    assert done.stdout.splitlines()[-1].startswith("done in")


@pytest.mark.filterwarnings("ignore:'server_session:Warning")  # still the documented way on Bokeh 3
def test_the_flask_page_shows_the_session_it_customised(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOKEH_APP", server.url("/slider"))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import flask_embed

    response = flask_embed.app.test_client().get("/Ada")
    assert response.status_code == 200
    assert "Hello Ada" in response.text
    (session_id,) = re.findall(r"bokeh-session-id[\"=:&a-z; ]*?([A-Za-z0-9]{44})", response.text) or [""]
    known = server.session_ids("/slider")
    assert session_id in known or any(identity in response.text for identity in known)
    assert "made for Ada" in {server.edit(identity, lambda d: d.title, "/slider") for identity in known}


def test_the_readmes_programs_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The app and the programs that use it, as they stand in README.md; its test is run in tests/testing."""
    programs = re.findall(r"```python\n(.*?)```", (EXAMPLES.parent / "README.md").read_text(), re.DOTALL)
    app, pull = programs[:2]
    (choice,) = (program for program in programs if 'transport="aiohttp"' in program)
    (awaiting,) = (program for program in programs if "async with" in program)

    def modify(document: Document) -> None:
        exec(app.replace("curdoc()", "document"), {"document": document})

    with TornadoServer({"/app": modify}) as server:

        def run(program: str) -> dict[str, Any]:
            namespace: dict[str, Any] = {}
            exec(program.replace("http://localhost:5006", server.url("").rstrip("/")), namespace)
            return namespace

        run(pull)
        assert "Button(id=" in capsys.readouterr().out
        run(f"from bokehwire import pull_session\n{choice}session.close()")
        asyncio.run(run(f"async def main():\n{indent(awaiting, '    ')}")["main"]())


def test_the_readme_shows_the_view_of_the_flask_example() -> None:
    readme = (EXAMPLES.parent / "README.md").read_text()
    (view,) = (
        program for program in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if program.startswith("@app.get")
    )
    assert view in (EXAMPLES / "flask_embed.py").read_text()


def test_every_file_that_the_readme_names_is_there() -> None:
    root = EXAMPLES.parent
    readme = (root / "README.md").read_text()
    for row in re.findall(r"^\| (`\w+/.*?) \| (.*?) \|$", readme, re.MULTILINE):
        folders = [root / name for name in re.findall(r"`([\w/]+)`", row[0])]
        assert all(folder.is_dir() for folder in folders), row
        for name in re.findall(r"`(\w+\.py)`", row[1]):
            assert any((folder / name).is_file() for folder in folders), name
    for link in re.findall(r"\]\(([^:)]+)\)", readme):
        assert (root / link).exists(), link
