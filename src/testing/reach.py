"""What a person could get at on the page, and what keeps it away: the way down to a model from the document's roots.

What is followed is what BokehJS does from 3.9 to 4.0. An element that is not visible takes what is in it off the page,
and so do tabs with each panel but the one in front, a drawer that is closed, and Panel's cards when they are collapsed.
`disabled` of a container disables the buttons, inputs and sliders in it, though no other widgets, and only from when it
is changed: not on a page that is opened with it. Of a panel of tabs it disables the tab alone, which cannot be brought
to the front then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from bokeh.document import Document
from bokeh.document.events import DocumentChangedEvent, ModelChangedEvent
from bokeh.model import Model
from bokeh.models.dom import DOMNode
from bokeh.models.layouts import LayoutDOM, Tabs
from bokeh.models.renderers import Renderer
from bokeh.models.ui.floating import Drawer
from bokeh.models.ui.ui_element import UIElement
from bokeh.models.widgets.buttons import AbstractButton
from bokeh.models.widgets.inputs import InputWidget
from bokeh.models.widgets.sliders import AbstractSlider

from .errors import NotInteractive
from .locating import shown

__all__ = ["Page", "check_tab"]

# What has a place on the page, by being in something else that has one. Sources, ranges and tools have none.
_PLACED = (UIElement, DOMNode, Renderer)
# What is shown apart from the element that refers to it, when the mouse rests on it.
_APART = frozenset({"description", "target", "tooltip"})
# What follows `disabled` of the containers around it.
_FOLLOWS = (AbstractButton, InputWidget, AbstractSlider)

_known: dict[type[Model], tuple[str, ...]] = {}
"""What `_layout_properties` has found out."""

_Way: TypeAlias = "tuple[Model, str | None, Model | None]"
"""An element on the way down, what hides it, and the container around it that is disabled."""


class Page:
    """The page of a document, as somebody has it who has opened it now and looks at it from now on.

    Args:
        document: The document.

    Attributes:
        document: As given.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self._without_effect = {model.id for model in document.models if _holds(model, "disabled", True)}
        document.on_change(self._note)

    def check_interactive(self, model: Model) -> None:
        """Refuse what a person could not use.

        A model that is in no layout is not refused: a data source, a tool, or what is shown by code of the page's own.

        Args:
            model: A model of the document.

        Raises:
            NotInteractive: The model is disabled or not visible, or something around it is, which the message names.
        """
        if _holds(model, "disabled", True):
            raise NotInteractive(f"{shown(model)} is disabled.")
        if _holds(model, "visible", False):
            raise NotInteractive(f"{shown(model)} is not visible.")
        if not isinstance(model, _PLACED):
            return
        obstacles: list[str] = []
        for _, hidden, disabled in (way for way in self._ways() if way[0] is model):
            if disabled is not None and isinstance(model, _FOLLOWS):
                hidden = hidden or f"{shown(disabled)}, which is disabled"
            if hidden is None:
                return  # one place where it can be used is enough
            obstacles.append(hidden)
        if obstacles:
            raise NotInteractive(f"{shown(model)} is in {obstacles[0]}.")

    def _note(self, event: DocumentChangedEvent) -> None:
        if isinstance(event, ModelChangedEvent) and event.attr == "disabled":
            self._without_effect.discard(event.model.id)

    def _ways(self) -> Iterator[_Way]:
        """Give the elements of the page, each as often as there are ways to it that differ in what keeps it away."""
        waiting: list[_Way] = [(root, None, None) for root in reversed(self.document.roots)]
        seen: set[tuple[str, bool, bool]] = set()
        while waiting:
            element, hidden, disabled = waiting.pop()
            if (key := (element.id, hidden is None, disabled is None)) in seen:
                continue
            seen.add(key)
            yield element, hidden, disabled
            if not isinstance(element, LayoutDOM):
                disabled = None
            elif element.disabled and element.id not in self._without_effect:
                disabled = element
            # What hides it has to be undone from the outside to the inside.
            inner = [(child, hidden or obstacle, disabled) for child, obstacle in _contents(element)]
            waiting.extend(reversed(inner))


def check_tab(model: Model, active: Any) -> None:
    """Refuse to bring a panel to the front whose tab is disabled.

    Args:
        model: Whatever is used; only tabs can be refused.
        active: The position that is asked for.

    Raises:
        NotInteractive: That panel is disabled.
    """
    if isinstance(model, Tabs) and isinstance(active, int) and 0 <= active < len(model.tabs):
        panel: Any = model.tabs[active]
        if panel.disabled:
            raise NotInteractive(f"{shown(panel)} of {shown(model)} is disabled.")


def _contents(element: Model) -> Iterator[tuple[Model, str | None]]:
    """Give what is in an element, each with what that hides it by."""
    around = _closed(element)
    if isinstance(element, Tabs):
        front = element.active if element.active >= 0 else element.active + len(element.tabs)
        panels: list[Any] = list(element.tabs)
        for index, panel in enumerate(panels):
            behind = None if index == front else f"{shown(panel)} of {shown(element)}, which is not in front"
            yield panel.child, around or behind
        return
    collapsed = f"{shown(element)}, which is collapsed" if _holds(element, "collapsed", True) else None
    for name in _layout_properties(element):
        for index, child in enumerate(_placed(getattr(element, name))):
            # A card's first child is its header, which stays.
            yield child, around or (collapsed if name == "children" and index else None)


def _layout_properties(element: Model) -> tuple[str, ...]:
    """Name the properties that may hold elements. What every element has holds none: styles, callbacks, a menu."""
    kind = type(element)
    if kind not in _known:
        general = UIElement.properties_with_refs().keys() | _APART
        _known[kind] = tuple(name for name in kind.properties_with_refs() if name not in general)
    return _known[kind]


def _closed(element: Model) -> str | None:
    if _holds(element, "visible", False):
        return f"{shown(element)}, which is not visible"
    if isinstance(element, Drawer) and not element.open:
        return f"{shown(element)}, which is closed"
    return None


def _holds(model: Model, name: str, value: bool) -> bool:
    """Say whether a model has a property, and it is as given."""
    # Bokeh looks for similar names when there is no such attribute, which takes a while.
    return name in model.properties() and getattr(model, name) is value


def _placed(value: Any) -> Iterator[Model]:
    """Give the elements in a property's value, such as the tuples of a grid or the structures of a box."""
    if isinstance(value, _PLACED):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _placed(inner)
    elif isinstance(value, dict):
        yield from _placed(list(value.values()))
