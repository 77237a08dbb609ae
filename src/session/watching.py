"""Hears of a document's models before anybody else does, and of all changes that were held back.

Bokeh looks through the models of a document as soon as a change may have brought some in or taken some out, and only
then calls the handlers of the change. And it lets go of held changes in one loop, which ends when a handler raises: of
those that follow nobody would ever be told. It has no hook for either; so the methods that do it are replaced, of one
document alone, by some that call them.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from .holding import begin, letting_go

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from bokeh.document import Document
    from bokeh.document.callbacks import DocumentCallbackManager
    from bokeh.document.events import DocumentChangedEvent
    from bokeh.model import Model

__all__ = ["unwatch", "watch"]


def watch(document: Document, looked: Callable[[Document, set[Model], set[Model]], None]) -> None:
    """Have something called whenever the models of a document were looked through, and all held changes let go of.

    Args:
        document: The document.
        looked: Is given the document, the models that have come in, and those that have left. It may have the models
            looked through again.
    """
    begin(document)
    models = document.models
    manager, followed = weakref.ref(models), weakref.ref(document)
    recompute = type(models).recompute

    def look() -> None:
        there, document = manager(), followed()
        if there is not None:
            before = set(there)
            recompute(there)
            if document is not None:
                after = set(there)
                looked(document, after - before, before - after)

    cast(Any, models).recompute = look
    cast(Any, document.callbacks).unhold = partial(_unhold, weakref.ref(document.callbacks))


def unwatch(document: Document) -> None:
    """Undo it.

    Args:
        document: The document.
    """
    vars(document.models).pop("recompute", None)
    vars(document.callbacks).pop("unhold", None)


def _unhold(followed: weakref.ref[DocumentCallbackManager]) -> None:
    """Let go of all that is held.

    Raises:
        BaseException: What handlers have raised, with the others as notes; one that is to end the program goes first.
    """
    manager = followed()
    if manager is None:
        return
    unhold = type(manager).unhold
    failures: list[BaseException] = []
    while True:
        try:
            with letting_go():
                unhold(manager)
            break
        except BaseException as error:
            failures.append(error)
            policy = manager.hold_value  # which a handler may have set
            manager.hold(policy or "collect")
            for event in _behind(error, unhold.__code__):
                manager.trigger_on_change(event)  # and so they are held again
            if policy is not None:
                break
    if failures:
        failure = next((raised for raised in failures if not isinstance(raised, Exception)), failures[0])
        failures.remove(failure)
        for other in failures:
            failure.add_note(f"Also: {type(other).__name__}: {other}")
        try:
            raise failure
        finally:
            del failure, failures  # which would be in a cycle with the stack that it holds


def _behind(error: BaseException, letting_go: CodeType) -> list[DocumentChangedEvent]:
    """Give the changes that were not let go of, because that of one before them has failed."""
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code is letting_go and "event" in frame.f_locals:
            events, last = frame.f_locals["events"], frame.f_locals["event"]
            place = next(number for number, event in enumerate(events, 1) if event is last)
            return list(events[place:])
        traceback = traceback.tb_next
    return []
