"""Driving an app as a person would, and finding what to drive."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.events import ButtonClick, DocumentReady, Tap
from bokeh.models import ColumnDataSource, CustomJS
from bokeh.models.layouts import TabPanel, Tabs
from bokeh.models.widgets import (
    AutocompleteInput,
    Button,
    Checkbox,
    CheckboxGroup,
    DataTable,
    Div,
    Dropdown,
    MultiSelect,
    RadioButtonGroup,
    RadioGroup,
    Select,
    Slider,
    Switch,
    TableColumn,
    TextInput,
    Toggle,
)
from bokeh.plotting import figure

from bokehwire import PatchRejected, UsageError
from bokehwire.testing import AmbiguousModel, AppSession, AsyncAppSession, ModelNotFound, NotInteractive

from .places import Place, do


def notes(document: Document) -> Div:
    """A div that gets a line for each thing that a callback on the server is told."""
    div = Div(name="notes", text="")
    document.add_root(div)
    return div


def note_changes(div: Div, model: Any, *names: str) -> None:
    def note(attr: str, old: object, new: object) -> None:
        div.text += f"{attr}={new}\n"

    for name in names:
        model.on_change(name, note)


def widgets(document: Document) -> None:
    """One of each widget that can be clicked or selected in; what the server is told goes to the notes."""
    div = notes(document)
    button = Button(name="button", label="Press")
    button.on_click(lambda: div.update(text=div.text + "pressed\n"))
    toggle = Toggle(name="toggle", label="Power")
    toggle.on_event(ButtonClick, lambda event: div.update(text=f"{div.text}toggle clicked\n"))
    items: list[Any] = ["Open", None, ("Save it", "save"), ("Twice", "a"), ("Twice", "b")]
    dropdown = Dropdown(name="dropdown", label="Menu", menu=[*items, ("Script", CustomJS(code=""))])
    dropdown.on_event("menu_item_click", lambda event: div.update(text=f"{div.text}item {event.item}\n"))
    source = ColumnDataSource(name="source", data={"x": [1, 2, 3], "y": [1, 2, 3]})
    plot = figure(name="plot", title="A plot", width=200, height=200)
    plot.scatter("x", "y", source=source, name="dots")
    plot.on_event(Tap, lambda event: div.update(text=f"{div.text}tapped at {event.x}\n"))
    note_changes(div, source.selected, "indices")
    colours: list[Any] = ["red", ("g", "green")]
    models: list[tuple[Any, str]] = [
        (toggle, "active"),
        (Checkbox(name="checkbox", label="Agree"), "active"),
        (Switch(name="switch"), "active"),
        (Slider(name="slider", title="Level", start=0, end=10, value=1), "value value_throttled"),
        (TextInput(name="input", title="Name"), "value_input value"),
        (AutocompleteInput(name="complete", completions=["one", "two"]), "value"),
        (CheckboxGroup(name="boxes", labels=["a", "b", "c"]), "active"),
        (RadioGroup(name="radio", labels=["a", "b", "c"]), "active"),
        (RadioButtonGroup(name="radios", labels=["a", "b", "c"]), "active"),
        (Select(name="select", title="Colour", options=colours, value="red"), "value"),
        (Select(name="grouped", options={"warm": ["red"], "cold": ["blue"]}, value="red"), "value"),
        (MultiSelect(name="several", options=["red", "green", "blue"]), "value"),
        (Tabs(name="tabs", tabs=[TabPanel(child=Div(), title=title) for title in "AB"]), "active"),
    ]
    for model, names in models:
        note_changes(div, model, *names.split())
        document.add_root(model)
    table = DataTable(name="table", source=source, columns=[TableColumn(field="x")])
    for root in (button, dropdown, plot, table):
        document.add_root(root)
    document.on_event(DocumentReady, lambda event: div.update(text=div.text + "ready\n"))
    document.on_message("greeting", lambda data: div.update(text=f"{div.text}told {data}\n"))


async def noted(action: Any, *arguments: Any, **further: Any) -> list[str]:
    """What an action of a session made the server note; it is there when the action returns."""
    session = action.__self__
    before = session.find("notes").text
    await do(action(*arguments, **further))
    text: str = session.find("notes").text
    return text.removeprefix(before).splitlines()


def test_what_a_person_does_has_been_processed_when_the_call_returns(place: Place) -> None:
    async def scenario(session: Any) -> None:
        assert await noted(session.click, "button") == ["pressed"]
        assert await noted(session.click, session.find(Button)) == ["pressed"]
        assert await noted(session.set, "slider", value=4) == ["value=4", "value_throttled=4"]
        assert await noted(session.send_message, "greeting", {"n": 1}) == ["told {'n': 1}"]
        assert await noted(session.send_event, Tap(session.find("plot"), x=2, y=0)) == ["tapped at 2"]

    place.play(widgets, scenario)


def test_clicks(face: Place) -> None:
    async def scenario(session: Any) -> None:
        assert await noted(session.click, "toggle") == ["active=True", "toggle clicked"]
        assert await noted(session.click, "checkbox") == ["active=True"]
        assert await noted(session.click, "checkbox") == ["active=False"]
        assert await noted(session.click, "switch") == ["active=True"]
        assert await noted(session.click, "dropdown", item="Open") == ["item Open"]
        assert await noted(session.click, Dropdown, item="save") == ["item save"]
        assert await noted(session.click, Dropdown, item="Save it") == ["item save"]
        told = (
            r"Dropdown\(name='dropdown', label='Menu'\) has no item 'Shut'; it has 'Open', 'Save it' \('save'\), 'T.*'"
        )
        with pytest.raises(ValueError, match=told):
            await do(session.click("dropdown", item="Shut"))
        with pytest.raises(ValueError, match=r"has 2 items with the label 'Twice'; give the value of one\."):
            await do(session.click("dropdown", item="Twice"))
        with pytest.raises(ValueError, match=r"'Script' of Dropdown.* runs JavaScript in the page"):
            await do(session.click("dropdown", item="Script"))
        with pytest.raises(TypeError, match="has no items"):
            await do(session.click("button", item="Open"))
        with pytest.raises(TypeError, match=r"Slider\(name='slider', label='Level'\) is nothing to click"):
            await do(session.click("slider"))

    face.play(widgets, scenario)


def test_setting(face: Place) -> None:
    async def scenario(session: Any) -> None:
        assert await noted(session.set, "input", value="Ada") == ["value_input=Ada", "value=Ada"]
        assert await noted(session.set, "input", value_input="Ad") == ["value_input=Ad"]
        assert await noted(session.set, "slider", value_throttled=7) == ["value_throttled=7"]
        assert await noted(session.set, "slider", value=3, title="Height") == [
            "value=3",
            "value_throttled=3",
        ]
        assert session.find(label="Height").value == 3
        with pytest.raises(AttributeError, match="valu"):
            await do(session.set("slider", valu=3))
        with pytest.raises(ValueError, match="value"):
            await do(session.set("slider", value="three"))
        with pytest.raises(TypeError, match="say what to set"):
            await do(session.set("slider"))

    face.play(widgets, scenario)


def test_selecting(face: Place) -> None:
    async def scenario(session: Any) -> None:
        assert await noted(session.select, "source", [0, 2]) == ["indices=[0, 2]"]
        assert await noted(session.select, "table", 1) == ["indices=[1]"]
        assert await noted(session.select, "dots", []) == ["indices=[]"]
        assert await noted(session.select, "boxes", [0, 2]) == ["active=[0, 2]"]
        assert await noted(session.select, "radio", 2) == ["active=2"]
        assert await noted(session.select, "radios", 1) == ["active=1"]
        assert await noted(session.select, "select", 1) == ["value=g"]
        assert await noted(session.select, "grouped", 1) == ["value=blue"]
        assert await noted(session.select, "several", [0, 2]) == ["value=['red', 'blue']"]
        assert await noted(session.select, "tabs", 1) == ["active=1"]
        with pytest.raises(TypeError, match="exactly one can be selected, not 2"):
            await do(session.select("radio", [0, 1]))
        with pytest.raises(IndexError, match="has 3 to select from, 0 to 2; there is no 3"):
            await do(session.select("boxes", [3]))
        with pytest.raises(TypeError, match="nothing can be selected in Div"):
            await do(session.select("notes", 0))

    face.play(widgets, scenario)


def test_events_and_messages(face: Place) -> None:
    async def scenario(session: Any) -> None:
        assert await noted(session.send_event, DocumentReady()) == ["ready"]
        assert await noted(session.send_event, ButtonClick(session.find("button"))) == ["pressed"]
        assert await noted(session.send_message, "greeting") == ["told None"]
        with pytest.raises(TypeError, match=r"an event of bokeh\.events"):
            await do(session.send_event("button_click"))
        with pytest.raises(ModelNotFound, match="is not in the session's document"):
            await do(session.send_event(ButtonClick(Button())))

    face.play(widgets, scenario)


def failing(document: Document) -> None:
    """Whatever is done to it makes a callback raise."""
    button, slider = Button(name="button"), Slider(name="slider", start=0, end=9, value=0)

    def fail(told: object) -> None:
        raise LookupError("no such data")

    button.on_event(ButtonClick, fail)
    slider.on_change("value", lambda attr, old, new: fail(new))
    document.on_message("greeting", fail)
    document.add_root(button)
    document.add_root(slider)


def test_what_a_callback_raises_is_raised_by_what_made_it(place: Place) -> None:
    async def scenario(session: Any) -> None:
        with pytest.raises(PatchRejected):
            await do(session.click("button"))
        with pytest.raises(PatchRejected):
            await do(session.set("slider", value=1))
        with pytest.raises(PatchRejected):
            await do(session.send_message("greeting"))

    place.play(failing, scenario)


def changing(document: Document) -> None:
    """A button that appears, becomes visible and enabled only by and by, each a while after a message."""
    div = notes(document)
    button = Button(name="late", label="Late", disabled=True, visible=False)
    button.on_click(lambda: div.update(text="pressed"))
    steps: list[Callable[[], object]] = [
        lambda: document.add_root(button),
        lambda: button.update(visible=True),
        lambda: button.update(disabled=False),
    ]

    def step() -> None:
        steps.pop(0)()
        if steps:
            document.add_timeout_callback(step, 20)

    def begin(data: object) -> None:
        document.add_timeout_callback(step, 20)

    document.on_message("begin", begin)


def test_an_action_waits_until_a_person_could_do_it(place: Place) -> None:
    async def scenario(session: Any) -> None:
        await do(session.send_message("begin"))
        await do(session.click("late"))
        assert session.find("notes").text == "pressed"

    place.play(changing, scenario)


def unusable(document: Document) -> None:
    document.add_root(Button(name="disabled", disabled=True))
    document.add_root(Slider(name="hidden", visible=False, start=0, end=1, value=0))
    document.add_root(Button(name="twin", label="One"))
    document.add_root(Button(name="twin", label="Two"))


def test_an_action_that_a_person_could_not_do_is_refused_in_the_end(face: Place) -> None:
    async def scenario(session: Any) -> None:
        with pytest.raises(NotInteractive, match=r"Button\(name='disabled', label='Button'\) is disabled") as caught:
            await do(session.click("disabled"))
        assert caught.value.__notes__ == ["It did not change within 0.05 s."]
        with pytest.raises(NotInteractive, match=r"Slider\(name='hidden'\) is not visible"):
            await do(session.set("hidden", value=1))
        with pytest.raises(AmbiguousModel, match="2 models are named 'twin'"):
            await do(session.click("twin"))
        with pytest.raises(ModelNotFound, match=r"no model is named 'hiden'\. Did you mean 'hidden'\?"):
            await do(session.select("hiden", 0))

    face.play(unusable, scenario, patience=0.05)


def test_models_are_found_by_what_a_person_would_say(face: Place) -> None:
    async def scenario(session: Any) -> None:
        slider = session.find("slider")
        for found in (
            session.find(Slider),
            session.find(name="slider"),
            session.find(type="Slider"),
            session.find(type="AbstractSlider", label="Level"),
            session.find(label="Level"),
            session.find({"type": Slider, "end": 10}),
            session.find(slider),
        ):
            assert found is slider
        assert session.find(label="A plot").name == "plot"
        assert session.find(label="Agree").name == "checkbox"
        assert {model.name for model in session.find_all(Select)} == {"select", "grouped"}
        assert session.find_all("nothing") == []
        assert session.find_all(Slider, label="Nothing") == []

    face.play(widgets, scenario)


def test_what_is_not_found_is_said_with_what_there_is(face: Place) -> None:
    async def scenario(session: Any) -> None:
        with pytest.raises(ModelNotFound) as none:
            session.find("Power")
        assert str(none.value).startswith(
            "no model is named 'Power'. Did you mean label='Power'? The document has:\n  "
        )
        assert "\n  Toggle(name='toggle', label='Power')" in str(none.value)
        assert re.search(r"\n  and \d+ more$", str(none.value))
        with pytest.raises(AmbiguousModel) as several:
            session.find(Select)
        assert str(several.value).splitlines() == [
            "2 models are of type Select; say more, or use find_all:",
            "  Select(name='grouped')",
            "  Select(name='select', label='Colour')",
        ]
        with pytest.raises(ModelNotFound, match="named 'x', of type Slider, labelled 'y'"):
            session.find(name="x", type=Slider, label="y")
        with pytest.raises(ModelNotFound, match=r"selected by \{.end.: 3\}"):
            session.find({"end": 3})
        with pytest.raises(TypeError, match="say what to find"):
            session.find()
        with pytest.raises(TypeError, match="not by 3"):
            session.find(3)

    face.play(widgets, scenario)


def test_a_session_that_has_no_document_yet() -> None:
    session = AppSession()
    with pytest.raises(ModelNotFound, match="no document before pull"):
        session.find("slider")
    assert session.find_all("slider") == []
    with pytest.raises(UsageError, match="no document yet"):
        session.send_message("greeting")
    with pytest.raises(UsageError, match="only an app that the test serves itself"):
        AsyncAppSession(frozen=True)
    with pytest.raises(ValueError, match="patience"):
        AppSession(patience=-1)


@pytest.mark.parametrize("indices", ["12", None, 1.5, [1.5], ["a"]], ids=repr)
def test_positions_are_whole_numbers(place: Place, indices: Any) -> None:
    async def scenario(session: Any) -> None:
        await do(session.select("source", np.int64(1)))
        assert session.find("source").selected.indices == [1]
        with pytest.raises(TypeError, match=re.escape(f"select takes a position from 0, or several, not {indices!r}.")):
            await do(session.select("source", indices))

    place.play(lambda doc: doc.add_root(ColumnDataSource(name="source", data={"n": [0, 1]})), scenario)
