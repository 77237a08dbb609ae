"""The applications that the contestants talk to, each under its path, and what is pushed to the empty one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.layouts import column
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Button, Div, Select, Slider, TextInput
from bokeh.plotting import figure

PATCHES = 5_000
"""How many patches one turn of the trigger makes the server send."""

ROWS = 1_000_000
"""The length of each of the two large columns."""


CHOICES: tuple[Any, ...] = ("one", "two", "three")


def named(document: Document | None, name: str) -> Any:
    """The model of that name."""
    assert document is not None
    found = document.get_model_by_name(name)
    assert found is not None, f"no model is named {name!r}"
    return found


def empty(document: Document) -> None:
    """What a client that pushes begins with."""


def widgets(document: Document) -> None:
    """A page of a few widgets."""
    controls = [
        Slider(name="slider", start=0, end=1_000_000, value=0, title="value"),
        TextInput(title="name"),
        Select(title="choice", options=list(CHOICES), value="one"),
        Button(label="go"),
        Div(text="ready"),
    ]
    document.add_root(column(*controls))


def plot(document: Document) -> None:
    """One figure with a line and markers over the source named "source"."""
    source = ColumnDataSource(name="source", data={"x": [1, 2, 3], "y": [10.0, 20.0, 30.0]})
    drawing = figure(name="figure", width=300, height=200, title="figure")
    drawing.line("x", "y", source=source)
    drawing.scatter("x", "y", source=source)
    document.add_root(drawing)


def arrays(document: Document) -> None:
    """Two columns of float64."""
    numbers = np.arange(ROWS, dtype=np.float64)
    document.add_root(ColumnDataSource(name="source", data={"x": numbers, "y": numbers * 0.5}))


def patches(document: Document) -> None:
    """A trigger that makes the server change one property many times, and then say that this was all."""
    trigger = Slider(name="trigger", start=0, end=1_000_000, value=0)
    target = Div(name="target", width=0)
    end = Div(name="end", text="")

    def change(attr: str, old: object, new: object) -> None:
        for number in range(PATCHES):
            target.width = number if target.width != number else number + 1
        end.text = str(new)

    trigger.on_change("value", change)
    for root in (trigger, target, end):
        document.add_root(root)


APPS: Mapping[str, Callable[[Document], None]] = {
    "/": empty,
    "/widgets": widgets,
    "/figure": plot,
    "/arrays": arrays,
    "/patches": patches,
}


def made(app: Callable[[Document], None]) -> Document:
    """A document of its own with what an application puts into it."""
    document = Document()
    app(document)
    return document
