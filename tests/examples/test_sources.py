"""The examples stay what they are for: short, and independent of everything of ours but the protocol."""

from __future__ import annotations

import ast

import pytest

from .programs import FOLDER, MODULES

LINES = 80


@pytest.mark.parametrize("name", MODULES)
def test_an_example_is_short_and_says_how_to_run_it(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text()
    assert len(source.splitlines()) < LINES
    docstring = ast.get_docstring(ast.parse(source)) or ""
    assert "pip install bokehwire" in docstring


@pytest.mark.parametrize("name", MODULES)
def test_an_example_uses_nothing_of_ours_but_the_protocol(name: str) -> None:
    used = set()
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text())):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            used |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {module for module in used if module.split(".")[0] == "bokehwire"}
    assert all(module == "bokehwire.protocol" or module.startswith("bokehwire.protocol.") for module in ours)


def test_every_example_is_here() -> None:
    assert {"blocking_client", "trio_client", "starlette_server", "tracing_proxy"} <= set(MODULES)
