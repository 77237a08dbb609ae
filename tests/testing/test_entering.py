"""Values that a person could not enter are refused, and the error says what there is."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models import AjaxDataSource, ColumnDataSource, GeoJSONDataSource
from bokeh.models.layouts import TabPanel, Tabs
from bokeh.models.widgets import (
    AutocompleteInput,
    Button,
    CategoricalSlider,
    CheckboxButtonGroup,
    CheckboxGroup,
    DataTable,
    DatePicker,
    DateRangePicker,
    DateSlider,
    DatetimePicker,
    Div,
    MultiChoice,
    MultipleDatePicker,
    MultiSelect,
    NumericInput,
    PaletteSelect,
    RadioButtonGroup,
    RadioGroup,
    RangeSlider,
    Select,
    Slider,
    Spinner,
    TableColumn,
    TextInput,
)

from bokehwire.testing import acting, open_app

from .places import Place, do

NUMBERS: Any = [str(number) for number in range(50)]
DAY = dt.date(2026, 5, 1)
BOUNDS: dict[str, Any] = {"min_date": "2026-04-01", "max_date": "2026-06-01"}
CHOICES: Any = ["red", ("g", "Green")]


def three_tabs() -> Tabs:
    return Tabs(tabs=[TabPanel(child=Div(), title=title) for title in "ABC"])


# A widget, what can be entered into it, what cannot, and what is told then.
WIDGETS: list[tuple[Any, list[dict[str, Any]], list[dict[str, Any]], str]] = [
    (
        Slider(start=0, end=10, value=1),
        [{"value": 0}, {"value": 10}, {"value_throttled": 3}, {"value": 20, "end": 30}],
        [{"value": 99}, {"value": -1}, {"value_throttled": 99}],
        "its start is 0 and its end is",
    ),
    (
        RangeSlider(start=0, end=10, value=(1, 2)),
        [{"value": (0, 10)}],
        [{"value": (-1, 3)}, {"value": (3, 11)}],
        "its start is 0 and its end is 10",
    ),
    (RangeSlider(start=0, end=10, value=(1, 2)), [], [{"value": (3, 2)}], "the lower end comes first"),
    (
        DateSlider(start=DAY, end=DAY.replace(day=9), value=DAY),
        [{"value": DAY.replace(day=2)}],
        [{"value": DAY.replace(day=10)}, {"value": dt.datetime(2026, 4, 30)}],
        "its start is",
    ),
    (
        CategoricalSlider(categories=["a", "b"], value="a"),
        [{"value": "b"}],
        [{"value": "c"}],
        "there are 'a', 'b' to c",
    ),
    (
        Spinner(low=1, high=5, value=2),
        [{"value": 5}, {"value": None}],
        [{"value": 6}, {"value": 0}],
        "its low is 1 and",
    ),
    (NumericInput(high=5, value=2), [{"value": -100}], [{"value": 6}], r"\): its high is 5\."),
    (NumericInput(), [{"value": 10**9}], [], ""),
    (
        Select(options=CHOICES, value="red"),
        [{"value": "g"}],
        [{"value": "Green"}, {"value": ""}, {"value": None}],
        r"there are 'red', 'g' to choose from\.",
    ),
    (Select(options={"warm": ["red"], "cold": ["blue"]}), [{"value": "blue"}], [{"value": "cold"}], "'red', 'blue' to"),
    (Select(options=[]), [], [{"value": "a"}], "there is nothing to choose from"),
    (Select(options=NUMBERS), [{"value": "49"}], [{"value": "50"}], "'19' and 30 more to choose"),
    (
        MultiSelect(options=CHOICES),
        [{"value": ["g", "red"]}, {"value": []}],
        [{"value": ["x"]}],
        "'g' to choose from, e",
    ),
    (MultiSelect(options=CHOICES), [], [{"value": ["g", "g"]}], "each once"),
    (MultiChoice(options=CHOICES), [{"value": ["g", "red"]}], [{"value": ["g", "blue"]}], "there are 'red', 'g'"),
    (MultiChoice(options=CHOICES, max_items=1), [{"value": ["g"]}], [{"value": ["g", "red"]}], "its max_items is 1"),
    (
        PaletteSelect(items=[("Two", ["red", "blue"])], value="Two"),
        [{"value": "Two"}],
        [{"value": "2"}],
        "there are 'Two'",
    ),
    (
        AutocompleteInput(completions=["one", "two"]),
        [{"value": "two"}, {"value_input": "t"}],
        [{"value": "three"}, {"value": ""}],
        "there are 'one', 'two' to choose from",
    ),
    (AutocompleteInput(completions=["one"], restrict=False), [{"value": "three"}], [], ""),
    (TextInput(max_length=3), [{"value": "abc"}], [{"value": "abcd"}, {"value_input": "abcd"}], "its max_length is 3"),
    (RadioGroup(labels=["a", "b", "c"]), [{"active": 2}], [{"active": 7}, {"active": -1}, {"active": None}], "0 to 2"),
    (RadioButtonGroup(labels=["a", "b"]), [{"active": 0}], [{"active": 2}], "there are the positions 0 to 1"),
    (
        CheckboxGroup(labels=["a", "b"]),
        [{"active": [1, 0]}, {"active": []}],
        [{"active": [2]}, {"active": [0, 0]}],
        "once",
    ),
    (CheckboxButtonGroup(labels=["a"]), [{"active": [0]}], [{"active": [1]}], "there are the positions 0 to 0"),
    (three_tabs(), [{"active": 2}], [{"active": 3}, {"active": -1}], "there are the positions 0 to 2 to choose from"),
    (
        DatePicker(**BOUNDS),
        [{"value": DAY}, {"value": "2026-04-01"}, {"value": None}],
        [{"value": "2026-03-31"}, {"value": dt.date(2026, 6, 2)}],
        "its min_date is '2026-04-01' and its max_date is '2026-06-01'",
    ),
    (
        DatePicker(disabled_dates=[dt.date(2026, 5, 2), ("2026-05-10", "2026-05-12")]),
        [{"value": DAY}, {"value": "2026-05-13"}],
        [{"value": "2026-05-02"}, {"value": "2026-05-11"}],
        "is one of its disabled_dates",
    ),
    (
        DatePicker(enabled_dates=["2026-05-01"]),
        [{"value": DAY}],
        [{"value": "2026-05-02"}],
        "is none of its enabled_dates",
    ),
    (DateRangePicker(**BOUNDS), [{"value": (DAY, DAY)}], [{"value": (DAY, "2026-07-01")}], "its max_date is"),
    (MultipleDatePicker(**BOUNDS), [{"value": [DAY]}], [{"value": [DAY, "2026-07-01"]}], "its max_date is"),
    (
        DatetimePicker(min_date="2026-04-01"),
        [{"value": dt.datetime(2026, 4, 1, 12)}],
        [{"value": dt.datetime(2026, 3, 31, 12)}],
        "its min_date is",
    ),
]


@pytest.mark.parametrize(("widget", "can", "cannot", "told"), WIDGETS, ids=lambda value: type(value).__name__)
def test_what_a_widget_takes(widget: Any, can: list[Any], cannot: list[Any], told: str) -> None:
    for properties in can:
        list(acting.set_properties(widget, properties))
    before = widget.properties_with_values()
    for properties in cannot:
        with pytest.raises(ValueError, match=rf"a person could not enter .* into {type(widget).__name__}\(.*{told}"):
            list(acting.set_properties(widget, properties))
    assert widget.properties_with_values() == before


def test_what_is_no_value_at_all_is_told_by_bokeh() -> None:
    with pytest.raises(ValueError, match=r"failed to validate Slider.*\.value"):
        list(acting.set_properties(Slider(start=0, end=1, value=0), {"value": "three"}))


def test_without_limits_nothing_is_refused() -> None:
    slider = Slider()
    list(acting.set_properties(slider, {"value": 99}))
    assert slider.value == 99


def app(document: Document) -> None:
    source = ColumnDataSource(name="source", data={"x": [1, 2, 3]})
    document.add_root(Slider(name="slider", start=0, end=10, value=1))
    document.add_root(DataTable(name="table", source=source, columns=[TableColumn(field="x")]))
    document.add_root(source)


def test_a_session_refuses_what_a_person_could_not_do(face: Place) -> None:
    async def scenario(session: Any) -> None:
        with pytest.raises(ValueError, match="a person could not enter value=99 into Slider"):
            await do(session.set("slider", value=99))
        assert session.find("slider").value == 1
        for name, index in (("table", 99), ("table", 3), ("source", -1)):
            with pytest.raises(IndexError, match=f"has 3 to select from, 0 to 2; there is no {index}"):
                await do(session.select(name, [0, index]))
        assert session.find("source").selected.indices == []
        # What a program can do, it does to the model.
        session.find("slider").value = 99
        await do(session.settled())
        assert session.find("slider").value == 99

    face.play(app, scenario)


def test_rows_that_only_the_page_knows_are_not_counted() -> None:
    for source in (AjaxDataSource(data_url="/data"), GeoJSONDataSource(geojson="{}")):
        list(acting.select(DataTable(source=source, columns=[TableColumn(field="x")]), [7]))
        assert source.selected.indices == [7]
        with pytest.raises(IndexError):
            list(acting.select(DataTable(source=source, columns=[TableColumn(field="x")]), [-1]))
    with pytest.raises(IndexError, match="has nothing to select from; there is no 0"):
        list(acting.select(ColumnDataSource(), [0]))


def test_a_session_takes_what_a_person_can_enter() -> None:
    def choosing(document: Document) -> None:
        document.add_root(Select(name="select", options=CHOICES, value="red"))
        document.add_root(MultiChoice(name="choice", options=CHOICES, max_items=1))
        document.add_root(DatePicker(name="date", min_date=DAY))
        document.add_root(DateSlider(name="day", start=DAY, end=DAY.replace(day=9), value=DAY))
        document.add_root(Button(name="button"))

    with open_app(choosing) as session:
        session.set("select", value="g")
        session.select("choice", [1])
        session.set("date", value=DAY)
        session.set("day", value=DAY.replace(day=3))
        session.set("button", label="Other")
        with pytest.raises(ValueError, match="its max_items is 1"):
            session.select("choice", [0, 1])
        with pytest.raises(ValueError, match="its min_date is '2026-05-01'"):
            session.set("date", value="2026-04-30")
        with pytest.raises(ValueError, match="its start is"):
            session.set("day", value=DAY.replace(month=4))
