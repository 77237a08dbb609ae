"""What is generated into specs/ is what the code says now, and describes what the code makes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from bokehwire.protocol import MessageType
from bokehwire.protocol.contents import CONTENTS, PatchContent

SPECS = Path(__file__).parent.parent.parent / "specs"


def generator() -> ModuleType:
    """The program that writes the generated parts."""
    spec = importlib.util.spec_from_file_location("generate", SPECS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FILES: dict[str, str] = generator().files()


@pytest.mark.parametrize("name", FILES)
def test_what_is_generated_is_not_stale(name: str) -> None:
    assert (SPECS / name).read_text(encoding="utf-8") == FILES[name], "run: python specs/generate.py"


def test_nothing_generated_is_left_over() -> None:
    found = {str(path.relative_to(SPECS)) for path in SPECS.glob("schema/*/*.json")}
    assert found == {name for name in FILES if name.startswith("schema/")}


def test_every_kind_has_its_content() -> None:
    assert set(CONTENTS) == set(MessageType)


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "ModelChanged", "model": {"id": "p1"}, "attr": "value", "new": 1},
        {"kind": "ColumnsStreamed", "model": {"id": "p1"}, "attr": "data", "data": {"type": "map"}, "rollover": None},
        {"kind": "RootRemoved", "model": {"id": "p1"}},
        {"kind": "TitleChanged", "title": "t"},
    ],
)
def test_an_event_is_read_as_its_kind(event: dict[str, Any]) -> None:
    (read,) = msgspec.convert({"events": [event]}, PatchContent).events
    assert type(read).__name__ == event["kind"]


def test_an_event_of_no_kind_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"events": [{"kind": "NoSuchKind"}]}, PatchContent)
