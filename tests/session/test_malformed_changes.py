"""What a peer may send as a change: whatever it is, it ends in an ApplyError, and the session goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehwire import ApplyError
from bokehwire.protocol import Ok

from .scripted import Scripted

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "type", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KINDS = st.sampled_from(
    [
        "ModelChanged",
        "ColumnDataChanged",
        "ColumnsStreamed",
        "ColumnsPatched",
        "RootAdded",
        "RootRemoved",
        "MessageSent",
    ]
)
REFERENCE = st.sampled_from([{"id": "slider"}, {"id": "source"}, {"id": "nobody"}])
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "kind": KINDS | JUNK,
        "model": REFERENCE | JUNK,
        "attr": st.sampled_from(["value", "data"]) | JUNK,
        "new": JUNK,
        "data": JUNK,
        "patches": JUNK,
        "cols": JUNK,
        "title": JUNK,
    },
)


def real(event: Any, script: Scripted) -> Any:
    """Put the ids of the models in."""
    text = json.dumps(event)
    for name in ("slider", "source"):
        text = text.replace(json.dumps(name), json.dumps(getattr(script, name).id))
    return json.loads(text)


@given(st.lists(EVENTS | JUNK, min_size=1, max_size=3), st.booleans())
def test_a_malformed_change(events: list[Any], held: bool) -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.slider.value = 2  # is under way, so that changes are judged
    if held:
        script.document.hold()
    script.receive(*(real(event, script) for event in events))
    assert all(isinstance(trouble, ApplyError) for trouble in script.troubles)


@pytest.mark.parametrize("kind", [[], {}, ["ModelChanged"], None, 1])
def test_a_kind_that_is_no_text(kind: Any) -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.receive({"kind": kind, "model": {"id": script.slider.id, "name": "Slider"}, "attr": "value", "new": [1]})
    assert [type(trouble) for trouble in script.troubles] == [ApplyError]


def test_a_model_of_a_class_that_is_not_defined_here() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.receive({"kind": "RootAdded", "model": {"type": "object", "name": "NoSuchModel", "id": "p9"}})
    (trouble,) = script.troubles
    assert isinstance(trouble, ApplyError)
    assert "NoSuchModel" in str(trouble)
    assert "Import the module that defines it" in str(trouble)
