"""Overwrites a document with one that was pulled, in the name of whoever asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from bokeh.document import Document

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.core.serialization import Serialized
    from bokeh.model import Model

__all__ = ["overwrite"]

_ATTEMPTS = 3  # to take out what a listener puts in again, as it may do for ever


def overwrite(document: Document, serialized: Serialized[Any], setter: object, stays: Callable[[Model], bool]) -> None:
    """Do what `Document.replace_with_json` does, and leave the roots that have come in since that was asked for.

    Bokeh's changes name nobody as their setter, so that they look like those that a handler or another thread makes at
    the same time. And it takes out whatever has come in meanwhile.

    Args:
        document: The document.
        serialized: What it is to hold.
        setter: Who the changes are to name.
        stays: Says of a root whether it is left.

    Raises:
        bokeh.core.serialization.DeserializationError: The document cannot be built. Nothing is changed.
        BaseException: What a handler raises. A part is changed.
    """
    Document.replace_with_json(cast(Document, _InTheNameOf(document, setter, stays)), cast(Any, serialized))


class _InTheNameOf:
    """A document, as `replace_with_json` sees it."""

    def __init__(self, document: Document, setter: object, stays: Callable[[Model], bool]) -> None:
        vars(self).update(_document=document, _setter=setter, _stays=stays)

    def clear(self) -> None:
        document: Document = self._document
        with document.models.freeze():
            for _ in range(_ATTEMPTS):
                for root in document.roots:
                    if not self._stays(root):
                        document.remove_root(root, self._setter)

    def add_root(self, root: Model) -> None:
        self._document.add_root(root, self._setter)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_document"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "title":
            self._document.set_title(value, self._setter)
        else:
            setattr(self._document, name, value)
