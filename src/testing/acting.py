"""What a person does to a widget, as changes of its model and events: what BokehJS would send for it.

An action of several steps yields between them. Whoever plays it waits there until the server has processed the step, so
that each travels in a message of its own, in each run.
"""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, cast

from bokeh.core.serialization import Serializable, Serializer
from bokeh.document import Document
from bokeh.document.events import MessageSentEvent
from bokeh.events import ButtonClick, Event, MenuItemClick
from bokeh.model import Model
from bokeh.models.layouts import Tabs
from bokeh.models.renderers import GlyphRenderer
from bokeh.models.sources import ColumnDataSource, WebDataSource
from bokeh.models.widgets.buttons import AbstractButton, Dropdown, Toggle
from bokeh.models.widgets.groups import AbstractGroup
from bokeh.models.widgets.inputs import Checkbox, MultiChoice, MultiSelect, Select, Switch
from bokeh.models.widgets.tables import DataTable

from .entering import check_values, values_of
from .locating import shown

__all__ = ["Indices", "click", "positions", "select", "send_event", "set_properties"]

Indices: TypeAlias = "int | Iterable[int]"


def positions(indices: Indices) -> list[int]:
    """Give positions as a list, whatever kind of whole numbers they are, such as NumPy's.

    Args:
        indices: One position, or several.

    Raises:
        TypeError: They are no whole numbers.
    """
    try:
        return [operator.index(index) for index in (indices if isinstance(indices, Iterable) else [indices])]
    except TypeError:
        raise TypeError(f"select takes a position from 0, or several, not {indices!r}.") from None


def click(document: Document, model: Model, item: str | None) -> Iterator[None]:
    """Click a button, a toggle, a checkbox, a switch, or an item of a dropdown.

    Args:
        document: The model's document.
        model: The model.
        item: Of a dropdown: the value of the item, or the label that a person reads.

    Raises:
        TypeError: The model is nothing to click, or `item` is given for something without items.
        ValueError: The dropdown has no such item, several with that label, or one that runs code of the page alone.
    """
    if item is not None:
        _click_item(document, model, item)
    elif isinstance(model, Checkbox | Switch):
        model.active = not model.active
    elif isinstance(model, AbstractButton):
        if isinstance(model, Toggle):
            model.active = not model.active
            yield
        send_event(document, ButtonClick(cast("Any", model)))
    else:
        raise TypeError(
            f"{shown(model)} is nothing to click. Use set or select for what it holds, and send_event for other "
            "events, such as a Tap on a plot."
        )


def send_event(document: Document, event: Event) -> None:
    """Send an event to the server, with everything that a browser would tell.

    Args:
        document: Where it has happened.
        event: The event.
    """
    document.callbacks.trigger_on_change(MessageSentEvent(document, "bokeh_event", _FromBrowser(event)))


def set_properties(model: Model, properties: dict[str, Any]) -> Iterator[None]:
    """Set properties, and with a `value` what follows it in a browser.

    A slider that is let go of has a new `value_throttled` as well, and a text that has been typed in a new
    `value_input` before its `value`.

    Args:
        model: The model.
        properties: Their values by name.

    Raises:
        TypeError: There are none.
        AttributeError: The model has no such property; similar ones are named.
        ValueError: A value is none that the property takes, or that a person could enter.
    """
    if not properties:
        raise TypeError("say what to set, such as set(slider, value=3).")
    known = model.properties()
    for name in properties:
        if name not in known:
            setattr(model, name, properties[name])  # Bokeh's own error names similar properties
    check_values(model, properties)
    if "value" in properties and "value_input" in known and "value_input" not in properties:
        model.update(value_input=properties["value"])
        yield
    for position, (name, value) in enumerate(properties.items()):
        if position:
            yield
        if name != "value_throttled":
            model.update(**{name: value})
    for name in ("value", "value_throttled"):
        if name in properties and "value_throttled" in known:
            yield
            # It is read-only to programs: only a browser writes it.
            model.set_from_json("value_throttled", properties[name])
            break


def select(model: Model, chosen: list[int]) -> Iterator[None]:
    """Select by position: rows of a source, a table or a glyph, options of a widget, tabs.

    Args:
        model: A data source, a table, a glyph renderer, a group of checkboxes, buttons or radio buttons, a select with
            options, or tabs.
        chosen: The positions, from 0; what was selected before is not any more.

    Raises:
        TypeError: Nothing can be selected in the model, or several positions where only one can be.
        IndexError: There is no such row, option or tab.
        ValueError: A person could not select that, such as more than fit.
    """
    match model:
        case ColumnDataSource():
            _select_rows(model, model, chosen)
        case DataTable():
            _select_rows(model, model.source, chosen)
        case GlyphRenderer():
            _select_rows(model, model.data_source, chosen)
        case Tabs():
            yield from set_properties(model, {"active": _only(model, chosen, len(model.tabs))})
        case AbstractGroup():
            yield from _select_in_group(model, chosen)
        case MultiChoice() | MultiSelect():
            options = values_of(model.options)
            chosen_values = [options[_checked(model, index, len(options))] for index in chosen]
            yield from set_properties(model, {"value": chosen_values})
        case Select():
            options = values_of(model.options)
            yield from set_properties(model, {"value": options[_only(model, chosen, len(options))]})
        case _:
            raise TypeError(f"nothing can be selected in {shown(model)} by position. Use set.")


class _FromBrowser(Serializable):
    """An event as BokehJS writes it. Bokeh's own Python events write no more than their model."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def to_serializable(self, serializer: Serializer) -> Any:
        parameters = inspect.signature(type(self._event)).parameters
        values = {name: getattr(self._event, name) for name in parameters if hasattr(self._event, name)}
        return {"type": "event", "name": self._event.event_name, "values": serializer.encode(values)}


def _click_item(document: Document, model: Model, item: str) -> None:
    if not isinstance(model, Dropdown):
        raise TypeError(f"{shown(model)} has no items; only a Dropdown has.")
    items: list[tuple[str, Any]] = [
        (entry, entry) if isinstance(entry, str) else entry for entry in model.menu if entry is not None
    ]
    by_value = [value for _, value in items if isinstance(value, str) and value == item]
    found: list[Any] = by_value[:1] or [value for label, value in items if label == item]
    match found:
        case [str(value)]:
            send_event(document, MenuItemClick(cast("Any", model), item=value))
        case [_]:
            raise ValueError(f"{item!r} of {shown(model)} runs JavaScript in the page, and tells the server nothing.")
        case []:
            raise ValueError(f"{shown(model)} has no item {item!r}; it has {', '.join(map(_item_shown, items))}.")
        case _:
            raise ValueError(f"{shown(model)} has {len(found)} items with the label {item!r}; give the value of one.")


def _item_shown(item: tuple[str, Any]) -> str:
    label, value = item
    return repr(label) if label == value or not isinstance(value, str) else f"{label!r} ({value!r})"


def _select_rows(model: Model, source: Any, chosen: list[int]) -> None:
    # What the page loads by itself, Python does not know.
    is_known = isinstance(source, ColumnDataSource) and not isinstance(source, WebDataSource)
    rows = max((len(column) for column in source.data.values()), default=0) if is_known else sys.maxsize
    source.selected.indices = [_checked(model, index, rows) for index in chosen]


def _select_in_group(model: Any, chosen: list[int]) -> Iterator[None]:
    size = len(model.labels)
    several = isinstance(model.active, list)
    active = [_checked(model, index, size) for index in chosen] if several else _only(model, chosen, size)
    yield from set_properties(model, {"active": active})


def _only(model: Model, chosen: list[int], size: int) -> int:
    if len(chosen) != 1:
        raise TypeError(f"in {shown(model)} exactly one can be selected, not {len(chosen)}.")
    return _checked(model, chosen[0], size)


def _checked(model: Model, index: int, size: int) -> int:
    if not 0 <= index < size:
        what = f"{size} to select from, 0 to {size - 1}" if size else "nothing to select from"
        raise IndexError(f"{shown(model)} has {what}; there is no {index}.")
    return index
