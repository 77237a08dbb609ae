"""Hears of a document's models before anybody else does.

Bokeh looks through the models of a document as soon as a change may have brought some in or taken some out, and only
then calls the handlers of the change. It has no hook for that; so the method that does it is replaced, of one document
alone, by one that calls it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document

__all__ = ["unwatch", "watch"]


def watch(document: Document, looked: Callable[[Document], None]) -> None:
    """Have something called whenever the models of a document were looked through.

    Args:
        document: The document.
        looked: Is given the document. It may have its models looked through once more.
    """
    models = document.models
    manager, followed = weakref.ref(models), weakref.ref(document)
    recompute = type(models).recompute

    def look() -> None:
        there, document = manager(), followed()
        if there is not None:
            recompute(there)
            if document is not None:
                looked(document)

    cast(Any, models).recompute = look


def unwatch(document: Document) -> None:
    """Undo it.

    Args:
        document: The document.
    """
    vars(document.models).pop("recompute", None)
