"""Assertions that wait: what is expected of a model has until a deadline to come true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bokeh.document import Document
from bokeh.model import Model

from .errors import AmbiguousModel, ExpectationFailed, ModelNotFound
from .locating import Query, shown
from .seeing import short

__all__ = ["check_gone", "check_properties", "check_there"]


def check_properties(query: Query, document: Document | None, expected: dict[str, Any]) -> Model:
    """Compare properties of the model that is looked for.

    Args:
        query: The model.
        document: Where it is.
        expected: Values by the properties' names; a function is called with the value and says whether it is right.

    Returns:
        The model.

    Raises:
        ExpectationFailed: The model is not there, or not as expected; it says how it is.
        AttributeError: The model has no such property.
    """
    model = check_there(query, document)
    wrong = [
        f"{name} is {short(actual)}, {_wanted(value)}"
        for name, value in expected.items()
        for actual in [getattr(model, name)]
        if not _is_as(model, name, actual, value)
    ]
    if wrong:
        raise ExpectationFailed(f"of {shown(model)}, {'; '.join(wrong)}.")
    return model


def check_there(query: Query, document: Document | None) -> Model:
    """Find the model that is looked for.

    Args:
        query: The model.
        document: Where it is.

    Returns:
        The model.

    Raises:
        ExpectationFailed: It is not there, or there are several.
    """
    try:
        return query.one(document)
    except (ModelNotFound, AmbiguousModel) as error:
        raise ExpectationFailed(str(error)) from None


def check_gone(query: Query, document: Document | None) -> None:
    """Demand that nothing is there of what is looked for.

    Args:
        query: What.
        document: Where.

    Raises:
        ExpectationFailed: There is something.
    """
    found = query.all(document)
    if found:
        raise ExpectationFailed(f"there still is {', '.join(map(shown, found))}.")


def _is_as(model: Model, name: str, actual: Any, expected: Any) -> bool:
    if isinstance(expected, Callable) and not isinstance(expected, type):  # type: ignore[arg-type]
        return bool(expected(actual))
    # Bokeh's own comparison, which knows arrays and data frames, also inside of dicts.
    descriptor = type(model).lookup(name, raises=False)
    if descriptor is None:
        return bool(actual == expected)
    return bool(descriptor.property.matches(actual, expected))


def _wanted(expected: Any) -> str:
    if callable(expected):
        return f"which is not what {getattr(expected, '__qualname__', expected)} accepts"
    return f"expected {short(expected)}"
