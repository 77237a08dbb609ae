"""The applications that the test servers offer, each under its path.

Models are found by name (`model(document, name)`), so a test needs to know nothing about the order of roots.
None of them uses curdoc(), which Bokeh 3.9 keeps in one list for all threads of a process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Button, Div, Slider
from bokeh.plotting import figure

App = Callable[[Document], None]

TICK_MILLISECONDS = 50
JOINED_FAILS_AT = -1


def model(document: Document | None, name: str) -> Any:
    """The model of that name, of whatever class; a name that is missing or not unique is an error."""
    assert document is not None
    found = document.select_one({"name": name})
    assert found is not None, f"no model is named {name!r}"
    return found


def empty(document: Document) -> None:
    """Nothing: what most clients that push begin with."""


def slider(document: Document) -> None:
    """A slider, a button and a div named after their kind; callbacks write into the div, and a message is the title."""
    control = Slider(name="slider", start=0, end=100, value=1, title="value")
    button = Button(name="button", label="click")
    div = Div(name="div", text="")

    def mirror(attr: str, old: object, new: object) -> None:
        div.text = f"slider: {new}"

    def clicked() -> None:
        div.text += " click"

    control.on_change("value", mirror)
    button.on_click(clicked)
    document.on_message("title", lambda title: setattr(document, "title", title))
    for root in (control, button, div):
        document.add_root(root)


def source(document: Document) -> None:
    """A figure with one line over the source named "source", columns x and y of three rows."""
    data = ColumnDataSource(name="source", data={"x": [1, 2, 3], "y": [10.0, 20.0, 30.0]})
    plot = figure(name="figure", width=300, height=200)
    plot.line("x", "y", source=data)
    document.add_root(plot)


def args(document: Document) -> None:
    """The HTTP request's arguments as JSON, name to list of values, in the div "args"; the title says how many."""
    # Every server's context has the request; the abstract SessionContext does not declare it.
    context: Any = document.session_context
    found: Mapping[str, list[bytes]] = context.request.arguments
    decoded = {name: [value.decode() for value in values] for name, values in found.items()}
    document.title = f"{len(decoded)} arguments"
    document.add_root(Div(name="args", text=json.dumps(decoded)))


def ticks(document: Document) -> None:
    """A div named "ticks" that counts, driven by a periodic callback on the server."""
    div = Div(name="ticks", text="0")

    def tick() -> None:
        div.text = str(int(div.text) + 1)

    document.add_root(div)
    document.add_periodic_callback(tick, TICK_MILLISECONDS)


def broken(document: Document) -> None:
    """A slider whose callback on the server raises for odd values, so that the server answers the patch by an error."""
    control = Slider(name="slider", start=0, end=100, value=0, title="even only")

    def refuse_odd(attr: str, old: object, new: int) -> None:
        if new % 2:
            raise ValueError(f"odd value {new}")

    control.on_change("value", refuse_odd)
    document.add_root(control)


def clamp(document: Document) -> None:
    """A slider whose callback on the server takes back what is over 10, and a source."""
    control = Slider(name="slider", start=0, end=100, value=1)

    def limit(attr: str, old: object, new: int) -> None:
        control.value = min(new, 10)

    control.on_change("value", limit)
    document.add_root(control)


def joined(document: Document) -> None:
    """A slider, a source and a div; the server notes what its callbacks are told, and one value makes it raise."""
    control = Slider(name="slider", start=JOINED_FAILS_AT, end=1000, value=0)
    data = ColumnDataSource(name="source", data={"x": [0], "y": [0]})
    plot = figure(name="figure", width=300, height=200)
    plot.line("x", "y", source=data)
    told: list[Any] = []
    document.template_variables["told"] = told

    def note(attr: str, old: object, new: int) -> None:
        if new == JOINED_FAILS_AT:
            raise ValueError("the callback of this app cannot stand that value")
        told.append(new)

    control.on_change("value", note)
    data.on_change("data", lambda attr, old, new: told.append("rows"))
    document.on_message("joined", told.append)
    for root in (control, plot, Div(name="gone", text="")):
        document.add_root(root)


def seen(document: Document) -> list[Any]:
    """What the callbacks of `joined` on the server have been told, in order."""
    told: list[Any] = document.template_variables["told"]
    return list(told)


APPS: Mapping[str, App] = MappingProxyType(
    {
        "/": empty,
        "/slider": slider,
        "/source": source,
        "/args": args,
        "/ticks": ticks,
        "/broken": broken,
        "/clamp": clamp,
        "/joined": joined,
        "/nested/slider": slider,
    }
)
