"""What a person could not get at on the page is not used: what hides a model is waited for, and named in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bokeh.core.properties import Bool
from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource
from bokeh.models.dom import Div as DivElement
from bokeh.models.layouts import Column, GridBox, GroupBox, HBox, ScrollBox, TabPanel, Tabs
from bokeh.models.ui import Dialog, Pane
from bokeh.models.ui.floating import Drawer
from bokeh.models.ui.tooltips import Tooltip
from bokeh.models.widgets import (
    Button,
    Checkbox,
    DataTable,
    Div,
    HelpButton,
    RadioGroup,
    Slider,
    TableColumn,
    TextInput,
)
from bokeh.plotting import figure

from bokehwire.testing import NotInteractive, open_app
from bokehwire.testing.reach import Page

from .places import Place, do

Make = Callable[[Any], Any]


class Folding(Column):
    """As Panel has it: its first child is its header."""

    collapsed = Bool(default=False)


Card: Any = Folding
AnyBox: Any = HBox


def tabs(child: Any, **properties: Any) -> Tabs:
    other = TabPanel(child=Div(), title="First")
    return Tabs(name="tabs", tabs=[other, TabPanel(child=child, title="Second")], **properties)


HIDING: dict[str, tuple[Make, str]] = {
    "column": (lambda b: column(b, visible=False, name="outer"), r"is in Column\(name='outer'\), which is not visible"),
    "nested": (
        lambda b: column(row(b), visible=False, name="outer"),
        r"is in Column\(name='outer'\), which is not vis",
    ),
    "outermost": (
        lambda b: column(row(b, visible=False), visible=False, name="outer"),
        r"is in Column\(name='outer'\)",
    ),
    "tabs": (tabs, r"is in TabPanel\(label='Second'\) of Tabs\(name='tabs'\), which is not in front"),
    "tabs within": (lambda b: tabs(row(b)), "which is not in front"),
    "no tab": (lambda b: tabs(b, active=7), "which is not in front"),
    "card": (
        lambda b: Card(children=[Div(), b], collapsed=True, name="card"),
        r"Folding\(name='card'\), which is collapsed",
    ),
    "drawer": (lambda b: Pane(elements=[Drawer(location="left", elements=[b])]), r"Drawer\(id='.*'\), which is closed"),
    "grid": (lambda b: GridBox(children=[(b, 0, 1)], visible=False), "GridBox.* which is not visible"),
    "box": (lambda b: AnyBox(children=[{"child": b}], visible=False), "HBox.* which is not visible"),
    "scroll": (lambda b: ScrollBox(child=b, visible=False), "ScrollBox.* which is not visible"),
    "dialog": (lambda b: Dialog(content=b, visible=False), "Dialog.* which is not visible"),
    "markup": (lambda b: Pane(elements=[DivElement(children=[b])], visible=False), "Pane.* which is not visible"),
}
SHOWING: dict[str, Make] = {
    "column": column,
    "in front": lambda b: tabs(b, active=1),
    "last": lambda b: tabs(b, active=-1),
    "a disabled tab in front": lambda b: Tabs(tabs=[TabPanel(child=b, title="x", disabled=True)]),
    "header of a card": lambda b: Card(children=[b, Div()], collapsed=True),
    "card": lambda b: Card(children=[Div(), b]),
    "drawer": lambda b: Pane(elements=[Drawer(location="left", elements=[b], open=True)]),
    "in two places": lambda b: column(column(b, visible=False), b),
    # The page that is opened with it leaves the button enabled.
    "disabled from the start": lambda b: column(b, disabled=True),
    "a circle": lambda b: circle(b),
}


def circle(button: Button) -> Any:
    inner = column(button)
    outer = column(inner)
    inner.children.append(outer)
    return outer


def clickable(make: Make) -> Callable[[Document], None]:
    def app(document: Document) -> None:
        button, text = Button(name="button"), Div(name="text", text="")
        button.on_click(lambda: text.update(text="clicked"))
        document.add_root(make(button))
        document.add_root(text)

    return app


@pytest.mark.parametrize("name", HIDING)
def test_what_is_hidden_by_what_it_is_in_is_refused(name: str) -> None:
    make, told = HIDING[name]
    with open_app(clickable(make), patience=0.05) as session:
        with pytest.raises(
            NotInteractive,
            match=rf"^Button\(name='button', label='Button'\) {'' if told[:2] == 'is' else 'is in .*'}{told}",
        ):
            session.click("button")
        assert session.find("text").text == ""


@pytest.mark.parametrize("name", SHOWING)
def test_what_is_to_be_seen_is_used(name: str) -> None:
    with open_app(clickable(SHOWING[name])) as session:
        session.click("button")
        assert session.find("text").text == "clicked"


def later(document: Document) -> None:
    """Comes to the front, and to be seen, each a while after a message."""
    slider = Slider(name="slider", start=0, end=9, value=0)
    outer = column(tabs(column(slider)), visible=False)
    front: Any = outer.children[0]
    steps: list[Callable[[], object]] = [
        lambda: outer.update(visible=True),
        lambda: front.update(active=1),
        lambda: outer.update(disabled=False),
    ]

    def step() -> None:
        steps.pop(0)()
        if steps:
            document.add_timeout_callback(step, 20)

    def begin(data: object) -> None:
        outer.disabled = True
        document.add_timeout_callback(step, 20)

    document.on_message("begin", begin)
    document.add_root(outer)


def test_what_hides_a_model_is_waited_for(face: Place) -> None:
    async def scenario(session: Any) -> None:
        await do(session.send_message("begin"))
        await do(session.set("slider", value=3))
        assert session.find("slider").value == 3
        assert session.find(Tabs).active == 1

    face.play(later, scenario)


def test_a_tab_is_brought_to_the_front_before_what_is_in_it(face: Place) -> None:
    async def scenario(session: Any) -> None:
        with pytest.raises(NotInteractive, match="not in front"):
            await do(session.click("button"))
        await do(session.select("tabs", 1))
        await do(session.click("button"))
        assert session.find("text").text == "clicked"

    face.play(clickable(tabs), scenario, patience=0.05)


def test_a_disabled_tab_cannot_be_brought_to_the_front(face: Place) -> None:
    def app(document: Document) -> None:
        panels = [TabPanel(child=Div(), title=title, disabled=title == "Second") for title in ("First", "Second")]
        document.add_root(Tabs(name="tabs", tabs=panels))

    async def scenario(session: Any) -> None:
        for action, arguments in ((session.select, {"indices": 1}), (session.set, {"active": 1})):
            with pytest.raises(NotInteractive, match=r"TabPanel\(label='Second'\) of Tabs\(name='tabs'\) is disabled"):
                await do(action("tabs", **arguments))
        assert session.find("tabs").active == 0
        session.find(label="Second").disabled = False
        await do(session.select("tabs", 1))
        assert session.find("tabs").active == 1

    face.play(app, scenario, patience=0.05)


def page_of(*roots: Any) -> Page:
    document = Document()
    for root in roots:
        document.add_root(root)
    return Page(document)


@pytest.mark.parametrize("make", [column, lambda b: column(row(b)), lambda b: GroupBox(child=b)])
def test_a_container_that_is_disabled_disables_what_is_in_it(make: Make) -> None:
    with open_app(clickable(make), patience=0.05) as session:
        assert session.document is not None
        outer: Any = session.document.roots[0]
        outer.disabled = True
        with pytest.raises(NotInteractive, match=rf"is in {type(outer).__name__}\(id='.*'\), which is disabled\."):
            session.click("button")
        outer.disabled = False
        session.click("button")
        assert session.find("text").text == "clicked"


def test_a_disabled_container_disables_buttons_inputs_and_sliders_alone() -> None:
    follow: list[Any] = [Button(), TextInput(), Slider(start=0, end=1, value=0)]
    do_not: list[Any] = [Checkbox(), Div(), RadioGroup(), DataTable(columns=[TableColumn(field="x")])]
    beyond = Button()  # in what is no part of the layout
    outer = column(*follow, *do_not, Pane(elements=[beyond]))
    page = page_of(outer)
    outer.disabled = True
    for model in follow:
        with pytest.raises(NotInteractive, match="which is disabled"):
            page.check_interactive(model)
    for model in (*do_not, beyond):
        page.check_interactive(model)


def test_what_is_in_a_plot_is_hidden_with_it() -> None:
    plot = figure(visible=False, name="plot", title=None)
    dots = plot.scatter([1], [1])
    page = page_of(column(plot))
    with pytest.raises(
        NotInteractive, match=r"GlyphRenderer.* is in Figure\(name='plot'\), which is not visible|figure"
    ):
        page.check_interactive(dots)


def test_what_is_in_no_layout_is_not_refused() -> None:
    tooltip_button = Button()
    help_button: Any = HelpButton(tooltip=Tooltip(content=column(tooltip_button)), visible=False)
    plot = figure(visible=False)
    dots = plot.scatter([1], [1])
    page = page_of(help_button, column(plot, visible=False), ColumnDataSource(name="alone"))
    for model in (tooltip_button, dots.data_source, *plot.tools, plot.x_range, page.document.roots[-1]):
        page.check_interactive(model)
