"""Hears of a document's models and its changes before anybody else does.

Bokeh looks through the models of a document as soon as a change may have brought some in or taken some out, and only
then calls the handlers of the change. It has no hook there; so the method that does it is replaced, of one document
alone, by one that calls it, like those of `Telling`. So is the one that puts it off while roots come and go: when
a handler raises meanwhile, Bokeh (3.9.2, 3.10.2 and 4.0.0.dev8) would put it off for ever.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from .telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from bokeh.document import Document
    from bokeh.model import Model

__all__ = ["unwatch", "watch"]


def watch(
    document: Document,
    looked: Callable[[Document, set[Model], set[Model]], None],
    looking: AbstractContextManager[object],
) -> Telling:
    """Have something called whenever the models of a document were looked through, and note of which changes it tells.

    Args:
        document: The document.
        looked: Is given the document, the models that have come in, and those that have left. It may have the models
            looked through again.
        looking: Entered while they are, and while it is given that. One thread at a time: of two, the one that has
            begun first and ends last would forget what the other has brought in.

    Returns:
        Of which changes it tells, from here on.
    """
    models = document.models
    manager, followed = weakref.ref(models), weakref.ref(document)
    recompute = type(models).recompute

    def look() -> None:
        there, document = manager(), followed()
        if there is None:
            return
        with looking:
            before = set(there)
            recompute(there)
            if document is not None:
                after = set(there)
                looked(document, after - before, before - after)

    @contextmanager
    def freeze() -> Iterator[None]:
        there, is_frozen = manager(), False
        try:
            if there is not None:
                with looking:
                    there._freeze_count += 1
                    is_frozen = True
            yield
        finally:
            if there is not None and is_frozen:
                with looking:
                    there._freeze_count -= 1
                    if there._freeze_count == 0:
                        there.recompute()

    cast(Any, models).recompute = look
    cast(Any, models).freeze = freeze
    telling, manager_of_changes = Telling(document), cast(Any, document.callbacks)
    manager_of_changes.trigger_on_change = telling.trigger_on_change
    manager_of_changes.unhold = telling.unhold
    return telling


def unwatch(document: Document) -> None:
    """Undo it.

    Args:
        document: The document.
    """
    for method in "recompute", "freeze":
        vars(document.models).pop(method, None)
    for method in "trigger_on_change", "unhold":
        vars(document.callbacks).pop(method, None)
