"""The examples stay what they are for: short, and independent of everything of ours but the protocol."""

from __future__ import annotations

import ast
import io
import re
import tokenize

import pytest

from .programs import FOLDER, MODULES

LINES = 80
# Each program with the modules that it is made of.
PROGRAMS = {
    "blocking_client": ["blocking_client"],
    "trio_client": ["trio_client"],
    "starlette_server": ["starlette_server", "served_document"],
    "tracing_proxy": ["tracing_proxy", "trace"],
}
_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def source(name: str) -> str:
    return (FOLDER / f"{name}.py").read_text()


def lines_of_code(name: str) -> int:
    """How many lines of a module are neither blank nor comments nor docstrings."""
    tree = ast.parse(source(name))
    documented = [
        node.body[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node) is not None
    ]
    docstrings = {line for each in documented for line in range(each.lineno, (each.end_lineno or each.lineno) + 1)}
    tokens = tokenize.generate_tokens(io.StringIO(source(name)).readline)
    code = {line for token in tokens if token.type not in _LAYOUT for line in range(token.start[0], token.end[0] + 1)}
    return len(code - docstrings)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_short_and_says_how_to_run_it(name: str) -> None:
    assert lines_of_code(name) < LINES
    docstring = ast.get_docstring(ast.parse(source(name))) or ""
    assert "pip install bokehwire" in docstring


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_length_of_a_program_is_what_is_said_of_it(name: str) -> None:
    imported = {
        node.module
        for node in ast.walk(ast.parse(source(name)))
        if isinstance(node, ast.ImportFrom) and node.level == 1
    }
    assert {name, *imported} == set(PROGRAMS[name])
    readme = (FOLDER / "README.md").read_text()
    (row,) = re.findall(rf"^\| \[{name}\.py\].*$", readme, re.MULTILINE)
    counts = [int(number) for number in re.findall(r"\d+", row.split("|")[-2])]
    modules = [lines_of_code(module) for module in PROGRAMS[name]]
    assert counts == ([*modules, sum(modules)] if len(modules) > 1 else modules)


@pytest.mark.parametrize("name", MODULES)
def test_an_example_uses_nothing_of_ours_but_the_protocol(name: str) -> None:
    used = set()
    for node in ast.walk(ast.parse(source(name))):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            used |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {module for module in used if module.split(".")[0] == "bokehwire"}
    assert all(module == "bokehwire.protocol" or module.startswith("bokehwire.protocol.") for module in ours)


def test_every_example_is_here() -> None:
    assert sorted(module for modules in PROGRAMS.values() for module in modules) == MODULES
