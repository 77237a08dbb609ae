"""What a person does to a widget, as changes of its model and events: what BokehJS would send for it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, TypeAlias, cast

from bokeh.core.serialization import Serializable, Serializer
from bokeh.document import Document
from bokeh.document.events import MessageSentEvent
from bokeh.events import ButtonClick, Event, MenuItemClick
from bokeh.model import Model
from bokeh.models.layouts import Tabs
from bokeh.models.renderers import GlyphRenderer
from bokeh.models.sources import ColumnDataSource
from bokeh.models.widgets.buttons import AbstractButton, Dropdown, Toggle
from bokeh.models.widgets.groups import AbstractGroup
from bokeh.models.widgets.inputs import Checkbox, MultiChoice, MultiSelect, Select, Switch
from bokeh.models.widgets.tables import DataTable

from .errors import NotInteractive
from .locating import shown

__all__ = ["Indices", "check_interactive", "click", "select", "send_event", "set_properties"]

Indices: TypeAlias = "int | Iterable[int]"


def check_interactive(model: Model) -> None:
    """Refuse what a person could not use.

    Args:
        model: The model.

    Raises:
        NotInteractive: The model is disabled, or not visible.
    """
    if getattr(model, "disabled", False) is True:
        raise NotInteractive(f"{shown(model)} is disabled.")
    if getattr(model, "visible", True) is False:
        raise NotInteractive(f"{shown(model)} is not visible.")


def click(document: Document, model: Model, item: str | None) -> None:
    """Click a button, a toggle, a checkbox, a switch, or an item of a dropdown.

    Args:
        document: The model's document.
        model: The model.
        item: Of a dropdown: the value of the item, or its label where it has no value of its own.

    Raises:
        TypeError: The model is nothing to click, or `item` is given for something without items.
        ValueError: The dropdown has no such item.
    """
    if item is not None:
        _click_item(document, model, item)
    elif isinstance(model, Checkbox | Switch):
        model.active = not model.active
    elif isinstance(model, AbstractButton):
        if isinstance(model, Toggle):
            model.active = not model.active
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


def set_properties(model: Model, properties: dict[str, Any]) -> None:
    """Set properties, and with a `value` what follows it in a browser.

    A slider that is let go of has a new `value_throttled` as well, and a text that has been typed in a new
    `value_input` before its `value`.

    Args:
        model: The model.
        properties: Their values by name.

    Raises:
        TypeError: There are none.
        AttributeError: The model has no such property; similar ones are named.
        ValueError: A value is none that the property takes.
    """
    if not properties:
        raise TypeError("say what to set, such as set(slider, value=3).")
    known = model.properties()
    for name in properties:
        if name not in known:
            setattr(model, name, properties[name])  # Bokeh's own error names similar properties
    if "value" in properties and "value_input" in known and "value_input" not in properties:
        model.update(value_input=properties["value"])
    model.update(**{name: value for name, value in properties.items() if name != "value_throttled"})
    for name in ("value", "value_throttled"):
        if name in properties and "value_throttled" in known:
            # It is read-only to programs: only a browser writes it.
            model.set_from_json("value_throttled", properties[name])
            break


def select(model: Model, indices: Indices) -> None:
    """Select by position: rows of a source, a table or a glyph, options of a widget, tabs.

    Args:
        model: A data source, a table, a glyph renderer, a group of checkboxes, buttons or radio buttons, a select with
            options, or tabs.
        indices: The positions, from 0; what was selected before is not any more.

    Raises:
        TypeError: Nothing can be selected in the model, or several positions where only one can be.
        IndexError: There is no such option or tab.
    """
    chosen = [indices] if isinstance(indices, int) else list(indices)
    match model:
        case ColumnDataSource():
            model.selected.indices = chosen
        case DataTable():
            cast("Any", model.source).selected.indices = chosen
        case GlyphRenderer():
            cast("Any", model.data_source).selected.indices = chosen
        case Tabs():
            model.active = _only(model, chosen, len(model.tabs))
        case AbstractGroup():
            _select_in_group(model, chosen)
        case MultiChoice() | MultiSelect():
            options = _values_of(model.options)
            model.value = [options[_checked(model, index, len(options))] for index in chosen]
        case Select():
            options = _values_of(model.options)
            set_properties(model, {"value": options[_only(model, chosen, len(options))]})
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
    items = [entry if isinstance(entry, str) else entry[1] for entry in model.menu if entry is not None]
    if item not in items:
        raise ValueError(f"{shown(model)} has no item {item!r}; it has {', '.join(map(repr, items))}.")
    send_event(document, MenuItemClick(cast("Any", model), item=item))


def _select_in_group(model: Any, chosen: list[int]) -> None:
    size = len(model.labels)
    several = isinstance(model.active, list)
    model.active = [_checked(model, index, size) for index in chosen] if several else _only(model, chosen, size)


def _only(model: Model, chosen: list[int], size: int) -> int:
    if len(chosen) != 1:
        raise TypeError(f"in {shown(model)} exactly one can be selected, not {len(chosen)}.")
    return _checked(model, chosen[0], size)


def _checked(model: Model, index: int, size: int) -> int:
    if not 0 <= index < size:
        raise IndexError(f"{shown(model)} has {size} to select from, 0 to {size - 1}; there is no {index}.")
    return index


def _values_of(options: Any) -> list[Any]:
    """Give the values of a widget's options, which may be in groups."""
    if isinstance(options, dict):
        options = [option for group in options.values() for option in group]
    return [option[0] if isinstance(option, tuple | list) else option for option in options]
