"""The arrows go one way: testing -> session -> transports -> protocol, and the libraries stay where they belong.

Once by importing each layer in a fresh interpreter, and once by reading every import statement, also those that run
late or only for type checkers.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import bokehwire

SOURCE = Path(bokehwire.__file__).parent
LAYERS = ("protocol", "transports", "session", "testing")

# What each layer may use of the package, besides itself.
MAY_USE = {
    "protocol": set(),
    "transports": {"protocol"},
    "session": {"protocol", "transports"},
    "testing": {"protocol", "transports", "session"},
}

# The layers that a library may be imported in. For the others not even an import for type checkers is allowed, except
# that a session, also that of the tests, may name tornado's types: bokeh.client's signatures have an IOLoop.
AT_HOME = {
    "aiohttp": {"transports"},
    "bokeh": {"session", "testing"},
    "pytest": {"testing"},
    "tornado": {"transports"},
}
FOR_TYPES_ONLY = {("session", "tornado"), ("testing", "tornado")}
# The protocol waits for nothing, keeps no time and asks nobody.
PURE = {"msgspec", "__future__"}
IMPURE_STDLIB = {"asyncio", "logging", "os", "random", "secrets", "select", "selectors", "socket", "ssl", "threading"}


@dataclass(frozen=True)
class Import:
    """One imported module, by its absolute name."""

    file: Path
    line: int
    module: str
    for_types: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(SOURCE)}:{self.line} imports {self.module}"


def imported_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after running the code, and the package's own modules."""
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    # Isolated, so that neither the working directory nor the user's site decides what is found.
    run = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("bokehwire.protocol", {"aiohttp", "asyncio", "bokeh", "bokehwire.session", "bokehwire.transports", "tornado"}),
        ("bokehwire.transports", {"aiohttp", "bokeh", "bokehwire.session", "tornado"}),
        ("bokehwire.transports.tornado", {"aiohttp", "bokeh", "bokehwire.session"}),
        ("bokehwire.transports.aiohttp", {"bokeh", "bokehwire.session", "tornado"}),
        ("bokehwire.transports.asgi", {"aiohttp", "bokeh", "bokehwire.session", "tornado"}),
        ("bokehwire.session", {"aiohttp", "bokehwire.testing", "pytest"}),
        ("bokehwire.testing", {"aiohttp", "bokeh", "bokehwire.session", "pytest"}),
        ("bokehwire.testing.plugin", {"aiohttp", "bokeh", "bokehwire.session", "tornado"}),
        ("bokehwire", {"aiohttp"}),
    ],
)
def test_what_an_import_does_not_pull_in(module: str, absent: set[str]) -> None:
    modules = imported_by(f"import {module}")
    assert module in modules
    assert sorted(modules & absent) == []


def test_the_public_names_are_there_after_all() -> None:
    names = ("ClientSession", "AsyncClientSession", "pull_session", "push_session", "show_session")
    modules = imported_by(f"import bokehwire\nfor name in {names!r}: getattr(bokehwire, name)")
    assert {"bokehwire.session", "bokeh"} <= modules
    assert "aiohttp" not in modules


def imports_of(file: Path) -> Iterator[Import]:
    tree = ast.parse(file.read_text(), str(file))
    package = ("bokehwire", *file.relative_to(SOURCE).parent.parts)
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join((*package[: len(package) - node.level + 1], *filter(None, [node.module])))
            # `from .. import session` names a module, `from ..session import x` names one before the import.
            modules = [f"{base}.{alias.name}" for alias in node.names] if node.module is None else [base]
        elif isinstance(node, ast.ImportFrom):
            modules = [str(node.module)]
        else:
            continue
        for module in modules:
            yield Import(file, node.lineno, module, id(node) in guarded)


def layer_imports() -> list[tuple[str, Import]]:
    return [
        (layer, found)
        for layer in LAYERS
        for file in sorted((SOURCE / layer).rglob("*.py"))
        for found in imports_of(file)
    ]


def test_every_layer_is_read() -> None:
    assert {layer for layer, _ in layer_imports()} == set(LAYERS)


def test_the_arrows_between_layers() -> None:
    wrong = [
        str(found)
        for layer, found in layer_imports()
        for used in found.module.split(".")[1:2]
        if found.module.startswith("bokehwire.") and used in LAYERS and used not in {layer, *MAY_USE[layer]}
    ]
    assert wrong == []


def test_no_layer_imports_the_top_or_itself_by_an_absolute_name() -> None:
    absolute = [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.ImportFrom) and not node.level and str(node.module).split(".")[0] == "bokehwire")
        or (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "bokehwire" for alias in node.names))
    ]
    assert absolute == []
    assert [str(found) for layer, found in layer_imports() if found.module == "bokehwire"] == []


def test_libraries_are_imported_where_they_are_at_home() -> None:
    wrong = [
        str(found)
        for layer, found in layer_imports()
        for library in [found.module.split(".")[0]]
        if library in AT_HOME and layer not in AT_HOME[library]
        if not (found.for_types and (layer, library) in FOR_TYPES_ONLY)
    ]
    assert wrong == []


def test_the_protocol_uses_the_standard_library_and_msgspec_only() -> None:
    tops = {
        found.module.split(".")[0]: str(found)
        for layer, found in layer_imports()
        if layer == "protocol" and not found.module.startswith("bokehwire.")
    }
    allowed = (sys.stdlib_module_names | PURE) - IMPURE_STDLIB
    assert [where for top, where in tops.items() if top not in allowed] == []


def test_no_modules_import_each_other_not_even_for_types() -> None:
    files = {
        ".".join(("bokehwire", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): file
        for file in sorted(SOURCE.rglob("*.py"))
    }
    uses = {name: {found.module for found in imports_of(file)} & files.keys() for name, file in files.items()}
    assert "bokehwire.session.requests" in uses["bokehwire.session.sync"]
    TopologicalSorter(uses).prepare()  # a CycleError names the circle
