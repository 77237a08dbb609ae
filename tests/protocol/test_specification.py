"""What is generated into specs/ is what the code says now, and describes what the code makes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from bokehwire.protocol import MessageType
from bokehwire.protocol.contents import CONTENTS, PatchContent

SPECS = Path(__file__).parent.parent.parent / "specs"


def load(name: str) -> ModuleType:
    """One of the programs in specs/."""
    spec = importlib.util.spec_from_file_location(name, SPECS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FILES: dict[str, str] = load("generate").files()


@pytest.mark.parametrize("name", FILES)
def test_what_is_generated_is_not_stale(name: str) -> None:
    assert (SPECS / name).read_text(encoding="utf-8") == FILES[name], "run: python specs/generate.py"


def test_nothing_generated_is_left_over() -> None:
    found = {str(path.relative_to(SPECS)) for path in SPECS.glob("schema/*/*.json")}
    assert found == {name for name in FILES if name.startswith("schema/")}


@pytest.mark.parametrize("page", sorted(SPECS.rglob("*.md")), ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    found = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text("utf-8"))
    for target, heading in found:
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            assert heading in {title.lower().replace(" ", "-") for title in titles}


def test_every_observation_of_the_probe_is_in_the_specification() -> None:
    page = (SPECS / "deviations.md").read_text("utf-8")
    # The first two show frames, which wire-3.md and wire-4.md have.
    _ack, _reply, *observations = load("probe").Probe("").observations()
    assert len(observations) > 40
    assert [name for name in observations if f"| {name} |" not in page] == []


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
