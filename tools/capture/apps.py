"""The applications whose sessions are captured: as little as shows the exchange, so that the transcripts stay short."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Button, Div, Slider

from tests.apps import App, empty, model


def text(document: Document) -> None:
    """One model, and a title with characters of one to four bytes."""
    document.title = "aé漢𝄞"
    document.add_root(Div(name="div", text="one"))


def edit_text(document: Document) -> None:
    model(document, "div").text = "two"


def data(document: Document) -> None:
    """Columns that travel as buffers, and one that does not."""
    columns = {"x": np.array([1, 2, 3], dtype="int32"), "y": np.array([0.5, 1.5, 2.5]), "label": ["a", "b", "c"]}
    document.add_root(ColumnDataSource(name="source", data=columns))


def edit_data(document: Document) -> None:
    model(document, "source").data = {"x": np.array([4, 5], dtype="int32"), "y": np.array([-0.5, np.nan])}


def slider(document: Document) -> None:
    """The server's callback answers a change with a change of its own."""
    control = Slider(name="slider", start=0, end=10, value=1)
    div = Div(name="div", text="")

    def mirror(attr: str, old: object, new: object) -> None:
        div.text = f"{new}"

    control.on_change("value", mirror)
    document.add_root(control)
    document.add_root(div)


def button(document: Document) -> None:
    """The server's callback answers an event with a change."""
    control = Button(name="button", label="click")
    div = Div(name="div", text="")

    def clicked() -> None:
        div.text += "click"

    control.on_click(clicked)
    document.add_root(control)
    document.add_root(div)


def broken(document: Document) -> None:
    """The server's callback raises, so that the server refuses the change."""
    control = Slider(name="slider", start=0, end=10, value=1)

    def refuse(attr: str, old: object, new: object) -> None:
        raise ValueError(f"no {new}")

    control.on_change("value", refuse)
    document.add_root(control)


APPS: Mapping[str, App] = {
    "/empty": empty,
    "/text": text,
    "/data": data,
    "/slider": slider,
    "/button": button,
    "/broken": broken,
}

# What the server changes of its own accord when it is told to.
EDITS: Mapping[str, Callable[[Document], None]] = {"/text": edit_text, "/data": edit_data}
