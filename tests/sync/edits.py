"""Changes that a program makes to a document, on whichever side it has it: data, so that Hypothesis can shrink them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
from bokeh.document import Document
from bokeh.document.events import MessageSentEvent
from bokeh.events import ButtonClick
from bokeh.model import Model
from bokeh.models import Column, ColumnDataSource, Plot, Row
from bokeh.models.renderers import GlyphRenderer
from bokeh.models.ui.icons import TablerIcon
from bokeh.models.widgets import Button, DataTable, Div, Slider
from hypothesis import strategies as st

__all__ = ["EDITS", "Edit", "Side", "Written", "edits", "edits_of", "models_of", "seed"]

M = TypeVar("M", bound=Model)

# Where every side begins to count, far from the ids that the process of the test gives itself. Bokeh 4 never counts
# below an id that it has seen; so it has to see one above all of these first.
_FIRST = 8_000_000
cast(Any, Div).__new__(Div, id="p9000000")


@dataclass(frozen=True)
class Written:
    """A value that is written once, so that it can be told whether and how often the other side applied it."""

    what: str
    value: str
    model: Model | None
    verb: str

    @property
    def name(self) -> str:
        """What errors call the change. A new model has its final id only after the change."""
        if self.model is None:
            return self.verb
        return f"{type(self.model).__name__}(id={self.model.id!r}).{self.verb}"


@dataclass(eq=False)
class Side:
    """One process that changes its copy of the document.

    Each has Bokeh's counter of its own, as processes have, so that all sides number their models alike.

    Attributes:
        label: Begins every value that this side writes, so that each value is written once.
        written: The values that were written, each once, with what errors call the change.
        removed: The roots that were taken out, to be put in again.
    """

    label: str
    written: list[Written] = field(default_factory=list)
    removed: list[Model] = field(default_factory=list)
    models: int = _FIRST
    values: int = 0

    def make(self, kind: type[M], **properties: Any) -> M:
        self.models += 1
        model = kind(**properties)
        cast(Any, model)._id = f"p{self.models}"  # which Bokeh's own counter would have given it in that process
        return model

    def value(self) -> str:
        self.values += 1
        return f"{self.label}{self.values}"


@dataclass(frozen=True)
class Edit:
    """One change: what is done, to which model of those it fits, and with what."""

    kind: str
    which: int = 0
    what: int = 0

    def apply(self, document: Document, side: Side) -> None:
        EDITS[self.kind](_Target(document, side, self.which, self.what))


def models_of(document: Document) -> Iterator[Model]:
    """The models that edits are about, in an order that depends on nothing but the document."""
    seen: set[Model] = set()  # a model that is held has no id of its own yet
    waiting = list(document.roots)
    while waiting:
        model: Any = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        yield model
        match model:
            case Column() | Row():
                waiting += model.children
            case DataTable():
                waiting.append(model.source)
            case Button():
                waiting += [model.icon] if model.icon is not None else []
            case Plot():
                waiting += [renderer.data_source for renderer in model.renderers if isinstance(renderer, GlyphRenderer)]
        waiting += [tag for tag in model.tags if isinstance(tag, Model)]


@dataclass
class _Target:
    """A document, and the part of it that an edit is about."""

    document: Document
    side: Side
    which: int
    what: int

    def pick(self, *kinds: type[Model]) -> Any:
        """The model that the edit is about, None where the document has none that fits."""
        found = [model for model in models_of(self.document) if isinstance(model, kinds)]
        return found[self.which % len(found)] if found else None

    def write(self, model: Any, attr: str, value: str) -> None:
        """Set a property to a value that nobody else writes."""
        self.side.written.append(Written(attr, value, model, f"{attr} changed"))
        setattr(model, attr, value)

    def leaf(self) -> Model:
        return self.side.make(Div, text=self.side.value())

    def other(self, *kinds: type[Model]) -> Any:
        """A second model, chosen by `what`."""
        found = [model for model in models_of(self.document) if isinstance(model, kinds)]
        return found[self.what % len(found)] if found else None

    def index(self, items: Any) -> int:
        return self.what % len(items)


EDITS: dict[str, Callable[[_Target], None]] = {}


def _edit(function: Callable[[_Target], None]) -> Callable[[_Target], None]:
    EDITS[function.__name__.strip("_")] = function
    return function


@_edit
def _text(on: _Target) -> None:
    if div := on.pick(Div):
        on.write(div, "text", on.side.value())


@_edit
def _poison(on: _Target) -> None:
    """A text at which the server's callback raises."""
    if div := on.pick(Div):
        div.text = f"poison {on.side.value()}"


@_edit
def _slide(on: _Target) -> None:
    if slider := on.pick(Slider):
        slider.value = on.what


@_edit
def _label(on: _Target) -> None:
    if button := on.pick(Button):
        on.write(button, "label", on.side.value())


@_edit
def _name(on: _Target) -> None:
    if model := on.pick(Model):
        model.name = on.side.value() if on.what else None


@_edit
def _title(on: _Target) -> None:
    value = on.side.value()
    on.side.written.append(Written("title", value, None, f"title changed to {value!r}"))
    on.document.title = value


@_edit
def _tag(on: _Target) -> None:
    if model := on.pick(Model):
        model.tags.append(on.side.value())


@_edit
def _untag(on: _Target) -> None:
    if (model := on.pick(Model)) and model.tags:
        del model.tags[on.index(model.tags)]


@_edit
def _retag(on: _Target) -> None:
    if model := on.pick(Model):
        model.tags = [on.side.value(), {"deep": [on.side.value()]}]


@_edit
def _tag_model(on: _Target) -> None:
    """A property that may hold anything holds a model, its own one perhaps."""
    if model := on.pick(Model):
        model.tags.append(on.other(Model))


@_edit
def _style(on: _Target) -> None:
    if div := on.pick(Div):
        div.styles = {**(div.styles if isinstance(div.styles, dict) else {}), "color": on.side.value()}


@_edit
def _append(on: _Target) -> None:
    if box := on.pick(Column, Row):
        box.children.append(on.leaf())


@_edit
def _nest(on: _Target) -> None:
    if box := on.pick(Column, Row):
        box.children = [*box.children, on.side.make(Row, children=[on.leaf(), on.leaf()])]


@_edit
def _share(on: _Target) -> None:
    """A model that is in one place already is put in a second one."""
    box, leaf = on.pick(Column, Row), on.other(Div, Slider, Button)
    if box and leaf:
        box.children.insert(0, leaf)


@_edit
def _drop(on: _Target) -> None:
    if (box := on.pick(Column, Row)) and box.children:
        del box.children[on.index(box.children)]


@_edit
def _reverse(on: _Target) -> None:
    if box := on.pick(Column, Row):
        box.children = box.children[::-1]


@_edit
def _replace(on: _Target) -> None:
    if box := on.pick(Column, Row):
        box.children = [on.leaf() for _ in range(on.what)]


@_edit
def _icon(on: _Target) -> None:
    if button := on.pick(Button):
        icons = [None, on.side.make(TablerIcon, icon_name=on.side.value()), on.other(TablerIcon)]
        button.icon = icons[on.what % 3]


@_edit
def _icon_name(on: _Target) -> None:
    if icon := on.pick(TablerIcon):
        on.write(icon, "icon_name", on.side.value())


@_edit
def _switch_source(on: _Target) -> None:
    if table := on.pick(DataTable):
        table.source = on.other(ColumnDataSource) if on.what else on.side.make(ColumnDataSource, data=_rows(on, 2))


@_edit
def _data(on: _Target) -> None:
    if source := on.pick(ColumnDataSource):
        source.data = _rows(on, on.what)


@_edit
def _array_data(on: _Target) -> None:
    if source := on.pick(ColumnDataSource):
        source.data = {name: np.arange(on.what) + len(name) for name in ("x", "y")}


@_edit
def _column(on: _Target) -> None:
    if source := on.pick(ColumnDataSource):
        source.data["y"] = [on.side.value() for _ in source.data["x"]]


@_edit
def _stream(on: _Target) -> None:
    if source := on.pick(ColumnDataSource):
        _stream_rows(on, source, 1 + on.what % 2)


@_edit
def _stream_rollover(on: _Target) -> None:
    if source := on.pick(ColumnDataSource):
        _stream_rows(on, source, 1, rollover=on.what + 1)


@_edit
def _patch(on: _Target) -> None:
    if (source := on.pick(ColumnDataSource)) and len(source.data["x"]) and isinstance(source.data["x"], list):
        source.patch({"x": [(on.what % len(source.data["x"]), on.side.value())]})


@_edit
def _add_root(on: _Target) -> None:
    on.document.add_root(on.side.make(Column, children=[on.leaf()]) if on.what % 2 else on.leaf())


@_edit
def _promote(on: _Target) -> None:
    """A model that is somewhere inside becomes a root as well."""
    if leaf := on.pick(Div, Slider, Button):
        on.document.add_root(leaf)


@_edit
def _remove_root(on: _Target) -> None:
    if on.document.roots:
        root = on.document.roots[on.which % len(on.document.roots)]
        on.side.removed.append(root)
        on.document.remove_root(root)


@_edit
def _add_root_again(on: _Target) -> None:
    if on.side.removed:
        root = on.side.removed.pop(on.which % len(on.side.removed))
        if root.document is None and on.document.get_model_by_id(root.id) is None:
            on.document.add_root(root)


@_edit
def _click(on: _Target) -> None:
    if button := on.pick(Button):
        on.document.callbacks.send_event(ButtonClick(button))


@_edit
def _message(on: _Target) -> None:
    value = on.side.value()
    on.side.written.append(Written("note", value, None, "message 'note' sent"))
    event = MessageSentEvent(on.document, "note", {"text": value})
    on.document.callbacks.trigger_on_change(event)


def _rows(on: _Target, count: int) -> dict[str, Any]:
    return {"x": [on.side.value() for _ in range(count)], "y": list(range(count))}


def _stream_rows(on: _Target, source: ColumnDataSource, count: int, rollover: int | None = None) -> None:
    rows = _rows(on, count)
    on.side.written.append(Written("x", rows["x"][0], source, "data streamed"))
    source.stream(rows, rollover)


def edits(*without: str) -> st.SearchStrategy[Edit]:
    """Any change, but those that are named."""
    return edits_of(*(kind for kind in EDITS if kind not in without))


def edits_of(*kinds: str) -> st.SearchStrategy[Edit]:
    """A change of one of some kinds."""
    return st.builds(Edit, st.sampled_from(kinds), st.integers(0, 5), st.integers(0, 3))


def seed(document: Document, side: Side, *, figure: bool = False) -> None:
    """Fill a document with a nested layout, widgets, a table, and a figure if it is asked for."""
    make = side.make
    source = make(ColumnDataSource, data={"x": ["a", "b"], "y": [1, 2]})
    row = make(Row, children=[make(Div, text="first"), make(Slider, start=0, end=100, value=0)])
    document.add_root(make(Column, children=[row, make(Button, label="button"), make(Div, text="second")]))
    document.add_root(make(DataTable, source=source))
    if figure:
        from bokeh.plotting import figure as make_figure

        plot: Any = cast(Any, make_figure)(width=300, height=200)
        plot.line("x", "y", source=source)
        document.add_root(plot)
    document.title = "seed"
