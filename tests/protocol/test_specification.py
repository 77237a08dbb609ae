"""What is generated into specs/ is what the code says now, and describes what the code makes."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from bokehwire.protocol import Generation, MessageType, wire4
from bokehwire.protocol.contents import CONTENTS, PatchContent
from tests.protocol.replaying import TRANSCRIPTS, steps
from tools.capture.transcript import Transcript

SPECS = Path(__file__).parent.parent.parent / "specs"


def load(name: str) -> ModuleType:
    """One of the programs in specs/."""
    spec = importlib.util.spec_from_file_location(name, SPECS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = load("generate")
FILES: dict[str, str] = GENERATE.files()


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
        # What a receiver must take besides: other keys, other ways to name a known model, and what 3.9 does without.
        {"kind": "TitleChanged", "title": "t", "x": 1},
        {"kind": "ModelChanged", "model": {"type": "ref", "id": "p1"}, "attr": "value", "new": 1},
        {"kind": "RootRemoved", "model": {"type": "object", "name": "Slider", "id": "p1", "attributes": {}}},
        {"kind": "ColumnDataChanged", "model": {"id": "p1"}, "attr": "data", "data": {"x": [1]}},
        {"kind": "ColumnsStreamed", "model": {"id": "p1"}, "attr": "data", "data": {"x": [1]}},
    ],
)
def test_an_event_is_read_as_its_kind(event: dict[str, Any]) -> None:
    (read,) = msgspec.convert({"events": [event]}, PatchContent).events
    assert type(read).__name__ == event["kind"]


def test_an_event_of_no_kind_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"events": [{"kind": "NoSuchKind"}]}, PatchContent)


def whole(transcript: Transcript, texts: list[Any]) -> tuple[MessageType, Any]:
    """A message as its schema has it, and its kind."""
    if transcript.generation == 4:
        (envelope,) = texts
        return MessageType(envelope["header"]["msgtype"]), envelope
    header, metadata, content, *buffers = texts
    frames = {"header": header, "metadata": metadata, "content": content, "buffers": buffers}
    return MessageType(header["msgtype"]), frames


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
def test_what_servers_and_clients_said_is_as_the_schemas_have_it(transcript: Transcript) -> None:
    messages = [step for step in steps(transcript) if step.message is not None]
    for step in messages:
        texts = [json.loads(frame) for frame in step.captured if isinstance(frame, str)]
        kind, message = whole(transcript, texts)
        # The schema is made of this type, and so is what is read here.
        read = msgspec.convert(message, GENERATE.message_type(Generation(transcript.generation), kind))
        assert step.message is not None
        assert msgspec.to_builtins(read)["header"]["msgid"] == step.message.msgid
        # Nothing that Bokeh sends is dropped on the way: the structs have every key of the content.
        assert keys(msgspec.to_builtins(msgspec.convert(step.message.content, CONTENTS[kind]))) == keys(
            step.message.content
        )


def keys(node: Any) -> Any:
    """The shape of content that structs decide: keys of objects, with lists opened."""
    if isinstance(node, dict):
        return {key: keys(value) for key, value in node.items()}
    return [keys(value) for value in node] if isinstance(node, list) else None


@pytest.mark.parametrize("kind", [kind for kind in MessageType if kind.value in wire4.KINDS])
def test_generation_4_takes_a_reqid_that_has_no_meaning(kind: MessageType) -> None:
    message = {"header": {"msgid": "x", "msgtype": kind.value, "reqid": "y"}, "content": SMALLEST.get(kind, {})}
    read = msgspec.convert(message | {"buffers": []}, GENERATE.message_type(Generation.V4, kind))
    assert read.header.reqid == "y"


SMALLEST: dict[MessageType, Any] = {
    MessageType.ERROR: {"text": ""},
    MessageType.PATCH_DOC: {"events": []},
    MessageType.PUSH_DOC: {"doc": {"title": "", "config": {}, "roots": []}},
    MessageType.PULL_DOC_REPLY: {"doc": {"title": "", "config": {}, "roots": []}},
}
