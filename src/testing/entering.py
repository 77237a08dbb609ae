"""Which values a person can enter into a widget: what lies outside of its limits or options, its page does not make.

The limits and options of Bokeh's own widgets count, and those of widgets that derive from them. The step of a slider
does not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from bokeh.core.properties import List
from bokeh.model import Model
from bokeh.models.layouts import Tabs
from bokeh.models.widgets.groups import CheckboxButtonGroup, CheckboxGroup, RadioButtonGroup, RadioGroup
from bokeh.models.widgets.inputs import (
    AutocompleteInput,
    MultiChoice,
    MultiSelect,
    NumericInput,
    PaletteSelect,
    Select,
    TextLikeInput,
)
from bokeh.models.widgets.pickers import BaseDatePicker, BaseDatetimePicker
from bokeh.models.widgets.sliders import CategoricalSlider, NumericalSlider

from .locating import shown
from .seeing import short

__all__ = ["check_values", "values_of"]

Limit: TypeAlias = Callable[[str], Any]
"""Gives a property of the widget, as it will be once everything is set."""

Fault: TypeAlias = Callable[[Limit, Any], str | None]
"""Says what there is instead of a value that cannot be entered; None of one that can."""

_LISTED = 20


def check_values(model: Model, properties: Mapping[str, Any]) -> None:
    """Refuse values that a person could not enter into a widget.

    Args:
        model: The widget. Of other models everything passes.
        properties: What is to be set, by name.

    Raises:
        ValueError: A value is outside of the widget's limits or options, which the message names, or is none that the
            property takes.
    """

    def limit(name: str) -> Any:
        if name in properties:
            return _prepared(model, name, properties[name])
        try:
            return getattr(model, name)
        except ValueError:  # a limit that the app has not set
            return None

    for kinds, names, fault in _RULES:
        for name in names if isinstance(model, kinds) else ():
            there_is = fault(limit, limit(name)) if name in properties else None
            if there_is is not None:
                raise ValueError(
                    f"a person could not enter {name}={short(properties[name])} into {shown(model)}: {there_is}. If "
                    f"the test is about a value that the page cannot make, assign it to the model's {name} itself."
                )


def values_of(options: Any) -> list[Any]:
    """Give the values of a widget's options, which may be in groups.

    Args:
        options: As a Select or a MultiChoice has them.
    """
    if isinstance(options, dict):
        options = [option for group in options.values() for option in group]
    return [option[0] if isinstance(option, tuple | list) else option for option in options]


def _prepared(model: Model, name: str, value: Any) -> Any:
    """Give a value as the property will hold it, such as a date as text."""
    kind = type(model).lookup(name).property
    prepared = kind.prepare_value(model, name, value)
    # Bokeh leaves the items of a list as they are.
    return [kind.item_type.transform(item) for item in prepared] if isinstance(kind, List) else prepared


def _between(low: str, high: str) -> Fault:
    def fault(limit: Limit, value: Any) -> str | None:
        least, most = limit(low), limit(high)
        if any((least is not None and one < least) or (most is not None and one > most) for one in _each(value)):
            ends = ((low, least), (high, most))
            return " and ".join(f"its {name} is {short(end)}" for name, end in ends if end is not None)
        if isinstance(value, tuple) and value[0] > value[1]:
            return "the lower end comes first"
        return None

    return fault


def _on_its_days(limit: Limit, value: Any) -> str | None:
    enabled, disabled = limit("enabled_dates"), limit("disabled_dates")
    for day in _each(value):
        if disabled is not None and _is_among(day, disabled):
            return f"{day} is one of its disabled_dates"
        if enabled is not None and not _is_among(day, enabled):
            return f"{day} is none of its enabled_dates"
    return None


def _one_of(source: str, choices: Callable[[Any], Sequence[Any]]) -> Fault:
    """Make the rule for a value that is one of several, or a list of such values, each once."""

    def fault(limit: Limit, value: Any) -> str | None:
        there_are = choices(limit(source))
        chosen = value if isinstance(value, list) else [value]
        if all(one in there_are for one in chosen) and not any(one in chosen[:at] for at, one in enumerate(chosen)):
            return None
        return f"there {_listed(there_are)} to choose from{', each once' if isinstance(value, list) else ''}"

    return fault


def _positions(items: Sequence[Any] | None) -> Sequence[int]:
    return range(len(items or ()))


def _restricted(limit: Limit, value: Any) -> str | None:
    return _one_of("completions", list)(limit, value) if limit("restrict") else None


def _no_more_than_fit(limit: Limit, value: Any) -> str | None:
    most = limit("max_items")
    return None if most is None or len(value) <= most else f"its max_items is {most}"


def _no_longer_than_fits(limit: Limit, value: Any) -> str | None:
    most = limit("max_length")
    return None if most is None or len(value) <= most else f"its max_length is {most}"


_RULES: tuple[tuple[type[Model] | tuple[type[Model], ...], tuple[str, ...], Fault], ...] = (
    (NumericalSlider, ("value", "value_throttled"), _between("start", "end")),
    (CategoricalSlider, ("value", "value_throttled"), _one_of("categories", list)),
    (NumericInput, ("value", "value_throttled"), _between("low", "high")),
    ((BaseDatePicker, BaseDatetimePicker), ("value",), _between("min_date", "max_date")),
    (BaseDatePicker, ("value",), _on_its_days),
    ((Select, MultiSelect, MultiChoice), ("value",), _one_of("options", values_of)),
    (MultiChoice, ("value",), _no_more_than_fit),
    (PaletteSelect, ("value",), _one_of("items", values_of)),
    (AutocompleteInput, ("value",), _restricted),
    (TextLikeInput, ("value", "value_input"), _no_longer_than_fits),
    ((RadioGroup, RadioButtonGroup, CheckboxGroup, CheckboxButtonGroup), ("active",), _one_of("labels", _positions)),
    (Tabs, ("active",), _one_of("tabs", _positions)),
)


def _each(value: Any) -> Iterable[Any]:
    """Give the values in a value: of a range both ends, and of an emptied input none."""
    if value is None:
        return ()
    return value if isinstance(value, tuple | list) else (value,)


def _is_among(day: str, days: Iterable[Any]) -> bool:
    """Say whether a day is one of several, where a tuple is a span of days."""
    spans = (span if isinstance(span, tuple | list) else (span, span) for span in days)
    return any(_iso(first) <= day <= _iso(last) for first, last in spans)


def _iso(day: str | dt.date) -> str:
    return day if isinstance(day, str) else day.isoformat()


def _listed(choices: Sequence[Any]) -> str:
    if not choices:
        return "is nothing"
    if isinstance(choices, range):
        return f"are the positions 0 to {len(choices) - 1}"
    more = f" and {len(choices) - _LISTED} more" if len(choices) > _LISTED else ""
    return f"are {', '.join(map(short, choices[:_LISTED]))}{more}"
