"""What is written out is what Bokeh's own serializer writes, which takes each item of a list by itself."""

from __future__ import annotations

import datetime
import enum
import json
import warnings
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from bokeh.core.json_encoder import serialize_json
from bokeh.core.serialization import Serializer
from bokeh.document import Document
from bokeh.document.events import ColumnsStreamedEvent, DocumentChangedEvent
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Slider
from hypothesis import given
from hypothesis import strategies as st

from bokehwire.session.encoding import encode_columns, encode_document, encode_event
from bokehwire.session.identity import Acquaintance

INTEGERS = st.one_of(st.integers(), st.sampled_from([2**53 - 1, 2**53, -(2**53) + 1, -(2**53), 10**400]))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    INTEGERS,
    st.floats(),
    st.text(),
    st.dates().map(np.datetime64),
    st.floats().map(np.float64),
)
LISTS = st.one_of(
    *map(st.lists, (st.booleans(), INTEGERS, st.floats(), st.text(), SCALARS)),
    st.lists(st.lists(SCALARS)),
    st.lists(st.tuples(SCALARS)),
)


def _streamed(rows: list[Any]) -> ColumnsStreamedEvent:
    document = Document()
    source = ColumnDataSource(data={"x": []})
    document.add_root(source)
    return ColumnsStreamedEvent(document, source, "data", {"x": rows})


class Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not what it is"


class Count(int):
    pass


class Choice(enum.IntEnum):
    ONE = 1


DERIVED = [np.float64(1.5), np.str_("text"), Name("text"), Count(7), Choice.ONE]


@pytest.mark.parametrize("value", DERIVED, ids=lambda value: type(value).__name__)
def test_values_of_derived_types_are_written_as_what_they_derive_from(value: Any) -> None:
    document = Document()
    slider = Slider(tags=[value], start=0, end=100, value=np.float64(2))
    document.add_root(slider)
    assert _tags(json.loads(bytes(encode_document(document).content))) == [json.loads(json.dumps(value))]
    events: list[DocumentChangedEvent] = []
    document.on_change(events.append)
    slider.tags = [value, value]
    setattr(slider, "name" if isinstance(value, str) else "value", value)
    written = [
        json.loads(bytes(encode_event(document, cast(Any, event), Acquaintance()).content))["new"] for event in events
    ]
    plain = json.loads(json.dumps(value))
    assert written == [[plain, plain], plain]


def _tags(content: Any) -> Any:
    return content["doc"]["roots"][0]["attributes"]["tags"]


@given(LISTS)
def test_rows_are_written_out_as_bokeh_does(rows: list[Any]) -> None:
    event = _streamed(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of integers that lose precision
        try:
            expected = serialize_json(Serializer().serialize(event))
        except (OverflowError, ValueError) as error:
            with pytest.raises(type(error)):
                encode_columns(event)
            return
        encoded = encode_columns(event)
    assert not encoded.buffers
    # As text: 1 and 1.0 and True are equal.
    assert json.dumps(json.loads(bytes(encoded.content))) == json.dumps(json.loads(expected))


@pytest.mark.parametrize("row", [None, True, 1, -1.5, "text", float("nan"), datetime.date(2026, 1, 1)], ids=repr)
def test_rows_that_change_later_are_sent_as_they_were(row: Any) -> None:
    rows = [row, row]
    encoded = encode_columns(_streamed(rows))
    before = msgspec.json.decode(encoded.content)
    rows.clear()
    assert msgspec.json.decode(encoded.content) == before
    assert len(before["data"]["entries"][0][1]) == 2
