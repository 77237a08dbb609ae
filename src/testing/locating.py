"""Finding models as a person would name them: by name, kind, label, or Bokeh's own selectors."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from bokeh.document import Document
from bokeh.model import Model

from .errors import AmbiguousModel, ModelNotFound

__all__ = ["Query", "Selector", "label_of", "shown"]

Selector: TypeAlias = "Model | str | type[Model] | Mapping[str, Any]"
"""A model itself, a name, a class, or a selector as `Document.select` takes it, such as `{"type": Slider}`."""

_LISTED = 40


@dataclass(frozen=True)
class Query:
    """What is looked for. All that is given must hold.

    Attributes:
        selector: A model, a name, a class, or a selector of Bokeh's.
        name: The model's `name`.
        type: The model's class, or one that it derives from; or its name, such as "Slider".
        label: The text that a person reads on it; see `label_of`.
    """

    selector: Selector | None = None
    name: str | None = None
    type: type[Model] | str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        """Refuse what nothing can be found by.

        Raises:
            TypeError: Nothing is given, or the selector is nothing that finds models.
        """
        if self.selector is None and self.name is None and self.type is None and self.label is None:
            raise TypeError("say what to find: a name, a type, a label, a selector, or a model.")
        is_class = isinstance(self.selector, type) and issubclass(self.selector, Model)
        if self.selector is not None and not is_class and not isinstance(self.selector, Model | str | Mapping):
            raise TypeError(
                f"a model is found by a name, a class, a selector dict or itself, not by {self.selector!r}."
            )

    def all(self, document: Document | None) -> list[Model]:
        """Find all models that match, in the order that the document gives them.

        Args:
            document: Where to look.
        """
        if document is None:
            return []
        match self.selector:
            case None:
                found = list(document.models)
            case Model():
                found = [self.selector] if self.selector.document is document else []
            case str():
                found = [model for model in document.models if model.name == self.selector]
            case type():
                found = [model for model in document.models if isinstance(model, self.selector)]
            case _:
                found = list(document.select(cast("Any", self.selector)))
        return [model for model in found if self._holds_for(model)]

    def one(self, document: Document | None) -> Model:
        """Find the one model that matches.

        Args:
            document: Where to look.

        Returns:
            The model.

        Raises:
            ModelNotFound: There is none.
            AmbiguousModel: There are several.
        """
        match self.all(document):
            case [model]:
                return model
            case []:
                raise ModelNotFound(self._not_found(document))
            case found:
                raise AmbiguousModel(f"{len(found)} models are {self}; say more, or use find_all:\n{_listed(found)}")

    def __str__(self) -> str:
        return ", ".join(self._parts())

    def _parts(self) -> list[str]:
        parts: list[str] = []
        match self.selector:
            case None:
                pass
            case Model():
                parts.append(shown(self.selector))
            case str():
                parts.append(f"named {self.selector!r}")
            case type():
                parts.append(f"of type {self.selector.__name__}")
            case _:
                parts.append(f"selected by {dict(self.selector)!r}")
        if self.name is not None:
            parts.append(f"named {self.name!r}")
        if self.type is not None:
            parts.append(f"of type {self.type if isinstance(self.type, str) else self.type.__name__}")
        if self.label is not None:
            parts.append(f"labelled {self.label!r}")
        return parts

    def _holds_for(self, model: Model) -> bool:
        if self.name is not None and model.name != self.name:
            return False
        if self.label is not None and label_of(model) != self.label:
            return False
        if isinstance(self.type, str):
            return any(kind.__name__ == self.type for kind in type(model).__mro__)
        return self.type is None or isinstance(model, self.type)

    def _not_found(self, document: Document | None) -> str:
        if document is None:
            return f"no model is {self}: the session has no document before pull() or push()."
        if isinstance(self.selector, Model):
            return (
                f"{shown(self.selector)} is not in the session's document. It may have been removed, or be the "
                f"app's own object rather than the session's. The document has:\n{_listed(document.models)}"
            )
        return f"no model is {self}.{self._guess(document)} The document has:\n{_listed(document.models)}"

    def _guess(self, document: Document) -> str:
        name = self.name if self.name is not None else self.selector
        known = [str(model.name) for model in document.models if model.name]
        close = difflib.get_close_matches(name, known, 1) if isinstance(name, str) else []
        if not close and isinstance(name, str):
            labelled = [model for model in document.models if label_of(model) == name]
            return f" Did you mean label={name!r}?" if labelled else ""
        return f" Did you mean {close[0]!r}?" if close else ""


def label_of(model: Model) -> str | None:
    """Give the text that a person reads on a model: its `label`, or its `title`, or the text of that.

    Args:
        model: The model.

    Returns:
        The text, None when there is none.
    """
    for attribute in ("label", "title"):
        value = getattr(model, attribute, None)
        text = value if isinstance(value, str) else getattr(value, "text", None)
        if isinstance(text, str) and text:
            return text
    return None


def shown(model: Model) -> str:
    """Show a model in one line: its class, name and label.

    Args:
        model: The model.
    """
    label = label_of(model)
    parts = [f"name={model.name!r}" if model.name else "", f"label={label!r}" if label else ""]
    return f"{type(model).__name__}({', '.join(filter(None, parts)) or f'id={model.id!r}'})"


def _listed(models: Any) -> str:
    """List models, those first that a test can name."""
    lines = [line for _, line in sorted((not (model.name or label_of(model)), shown(model)) for model in models)]
    if len(lines) > _LISTED:
        lines = [*lines[:_LISTED], f"and {len(lines) - _LISTED} more"]
    return "\n".join(f"  {line}" for line in lines) or "  nothing"
