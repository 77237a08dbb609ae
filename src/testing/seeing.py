"""What a condition looked at: the properties of models that its code reads, with their values now."""

from __future__ import annotations

import dis
import inspect
import reprlib
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any

from bokeh.core.has_props import HasProps
from bokeh.document import Document
from bokeh.model import Model

from .locating import shown

__all__ = ["seen_by", "short"]

_DOCUMENT_ATTRIBUTES = ("roots", "title")
_reprs = reprlib.Repr()
_reprs.maxstring = _reprs.maxother = 120
_reprs.maxlist = _reprs.maxtuple = _reprs.maxarray = _reprs.maxdict = 10


def seen_by(condition: Callable[[], object], found: Sequence[Model] = ()) -> list[str]:
    """Say what a condition reads of models, such as "text.text is '4 clicks'".

    It is read off the condition's code: attributes of the variables that it names, as far as they are properties of
    models, or the roots or title of a document. Of what a call in it gives, those models are taken that it has found.
    What is worked out in other functions does not show.

    Args:
        condition: The condition; nothing of it is run.
        found: The models that it looked up when it was run last.

    Returns:
        One text for each property, in the order of the code.
    """
    function = inspect.unwrap(condition)
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return []
    variables = {**getattr(function, "__globals__", {}), **_closure_of(function, code)}
    return list(dict.fromkeys(_reads(code, variables, found)))


def short(value: object) -> str:
    """Show a value in one line of bearable length.

    Args:
        value: The value.
    """
    return shown(value) if isinstance(value, Model) else " ".join(_reprs.repr(value).split())


def _closure_of(function: Any, code: CodeType) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _reads(code: CodeType, variables: dict[str, Any], found: Sequence[Model]) -> Iterator[str]:
    value: Any = None
    path = ""
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        match instruction.opname:
            case "LOAD_GLOBAL" | "LOAD_DEREF" | "LOAD_NAME" | "LOAD_CLASSDEREF" if name in variables:
                value, path = variables[name], name
            case "LOAD_ATTR" if path and _is_readable(value, name):
                value, path = getattr(value, name), f"{path}.{name}"
                if not isinstance(value, Model):
                    yield f"{path} is {short(value)}"
                    path = ""
            case "LOAD_ATTR" if not path:
                readable = [model for model in found if _is_readable(model, name)]
                yield from (f"{shown(model)}.{name} is {short(getattr(model, name))}" for model in readable)
            case _:
                path = ""


def _is_readable(owner: Any, name: str) -> bool:
    """Say whether reading an attribute has no effects: only then it is read."""
    if isinstance(owner, Document):
        return name in _DOCUMENT_ATTRIBUTES
    return isinstance(owner, HasProps) and name in owner.properties()
