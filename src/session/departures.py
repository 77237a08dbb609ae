"""Which models changes of the server have taken out of a document, and after which change.

A server drops a message that refers to a model which was in its document and is gone, and answers OK as if nothing had
happened (`Document.apply_json_patch` of 3.9.2, 3.10.2 and 4.0.0.dev8). That the model is gone, it has told us before
that OK. So an answer is believed unless such a model is among those that the message refers to.

A server that holds tells it only at `unhold()`, after that OK. So a model that we have given another place, by a
reference, is looked at once more when the server takes it out of the one that it had.

And a change of the server that is passed over here leaves models in the document that the server may have no more. As
long as they are, no OK is believed to a change that refers to one, whenever it was made.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from bokeh.model.util import visit_value_and_its_immediate_references

from .changes import key_of_wire_event
from .holding import is_held
from .plain import may_hold_models
from .wire_objects import COLUMN_EVENTS, decoded, objects

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.model import Model

    from .requests import Group, Request

__all__ = ["Departures", "dangling", "may_remove", "models_in", "refers_to_strangers"]

_FEW = 100  # models of which it is not worth looking whether they can be forgotten
_NEVER = sys.maxsize  # instead of the number of a change: it is not known of a model that it was taken out


class Departures:
    """The models that the server has taken out, by the number of the change that did it."""

    def __init__(self) -> None:
        self._gone: dict[str, int] = {}
        self._untold = 0  # the number of the last change that was not applied here and may have removed anything
        self._missing: dict[str, int] = {}  # the models here that the server may have no more, by the change's number
        self._lacking: set[Request] = set()  # the changes under way that refer to one
        self._placing: Request | None = None  # the last change that gives models a place, and may take others out
        self._placed_anew: set[str] = set()  # the models that changes of ours have given a place by a reference
        self._unclear = False

    @property
    def is_awaited(self) -> bool:
        """Whether it matters what the server takes out, although none of our changes is under way."""
        return bool(self._placed_anew)

    @property
    def are_many(self) -> bool:
        """Whether it is worth looking which of them can be forgotten."""
        return len(self._gone) > _FEW

    def forget(self, up_to: int | None = None) -> None:
        """Forget those that none of our changes under way may refer to, because it was made later.

        Args:
            up_to: The number of the last change from the server before all that is under way; None if nothing is.
        """
        if up_to is None:
            self._gone.clear()
        else:
            self._gone = {identity: number for identity, number in self._gone.items() if number > up_to}

    def place(self, document: Document, request: Request) -> None:
        """Take note of the models that a change of ours gives a place.

        Args:
            document: The document.
            request: The request that carries the change.
        """
        if len(self._placed_anew) > 2 * len(document.models) + _FEW:
            # Another thread may take some out meanwhile.
            self._placed_anew = {name for name in tuple(self._placed_anew) if cast(Any, name) in document.models}
        self._placing = request
        event = decoded(request.content)
        value = event.get("new") if event["kind"] == "ModelChanged" else event["model"]
        self._placed_anew.update(node["id"] for node in objects(value) if len(node) == 1 and "id" in node)

    def take_unclear(self) -> bool:
        """Say whether the server has taken out a model that has another place here, which it may not have there."""
        unclear, self._unclear = self._unclear, False
        return unclear

    def missed(self, document: Document, events: list[Any], number: int) -> bool:
        """Take note of a change that is not applied here: what it has removed on the server, nobody can tell.

        Args:
            document: The document.
            events: The events that are passed over.
            number: The number of the change.

        Returns:
            Whether it may have removed anything that is still here.
        """
        missing: set[str] = set()
        for event in events:
            if _may_remove(document, event):
                self.may_have_lost(number)
                kept = {node.get("id") for node in objects(event.get("new"))}
                missing |= _inside(_placed(document, _place(event))) - kept
        self.may_be_missing(missing, number)
        return bool(missing)

    def may_have_lost(self, number: int) -> None:
        """Take note that a change may have removed anything on the server.

        Args:
            number: Its number.
        """
        self._untold = number

    def may_be_missing(self, identities: Iterable[str], number: int) -> None:
        """Take note of models that the server may have no more, or soon will not have, though the document here has.

        Args:
            identities: Their ids.
            number: The number of the change that may have taken them out.
        """
        self._missing = {**self._missing, **dict.fromkeys(identities, number)}  # another thread may be looking

    def taken_out_here(self, identities: Iterable[str], number: int) -> None:
        """Take note of models that a change of ours takes out while others are being told that may refer to them.

        Args:
            identities: Their ids.
            number: How many changes of the server had been handled.
        """
        gone = dict.fromkeys(identities, number)
        self._gone.update(gone)
        self.may_be_missing(gone, number)

    def found(self, document: Document, there: Container[str]) -> None:
        """Take note of what the server has, of all that it has been told to take out.

        Args:
            document: The document here.
            there: The ids of the models of the server's.
        """
        self._missing = {
            name: number
            for name, number in self._missing.items()
            if name not in there and cast(Any, name) in document.models
        }
        self._lacking.difference_update([request for request in tuple(self._lacking) if request.done])

    def came_back(self, identities: Iterable[str]) -> None:
        """Take note of models to which the server gives a place: it may have had them again when it got our changes.

        Args:
            identities: Their ids.
        """
        identities = set(identities)
        if not identities.isdisjoint(self._missing):
            self._missing = {name: _NEVER if name in identities else number for name, number in self._missing.items()}
        for request in tuple(self._lacking):  # another thread may add one
            if request.missing and not identities.isdisjoint(request.missing):
                request.missing = {name: at for name, at in request.missing.items() if name not in identities}
                request.is_doomed = False

    def left(self, document: Document) -> None:
        """Take note that a change made here may have taken models out: then it may be that which the server has done.

        Args:
            document: The document.
        """
        for request in tuple(self._lacking):
            if request.missing and not request.is_doomed:
                present = document.models
                request.missing = {name: at for name, at in request.missing.items() if cast(Any, name) in present}

    def doom(self, document: Document, there: Container[str]) -> None:
        """Find the changes that the server has probably dropped, or will: it had taken a model out, and has it not.

        Args:
            document: The document here, before the server's is taken over.
            there: The ids of the models of the server's.
        """
        for request in tuple(self._lacking):
            after = request.sent_after
            request.is_doomed |= not is_held(document) and any(
                name not in there and cast(Any, name) in document.models and (after is None or number <= after)
                for name, number in (request.missing or {}).items()
            )

    @property
    def knows_of_any_missing(self) -> bool:
        """Whether there are models that the server may have no more, here or in changes of ours."""
        return bool(self._missing or self._lacking)

    def mark(self, request: Request, returning: Container[str]) -> bool:
        """Mark a change that refers to models which the server may have no more: it would drop it with an OK.

        Args:
            request: The request that carries the change.
            returning: The ids of the models that changes under way write out for the server.

        Returns:
            Whether it refers to any.
        """
        missing = self._missing
        referred, _ = models_in([decoded(request.content)])
        found = {name: missing[name] for name in referred if name in missing and name not in returning}
        if found:
            request.missing = {**found, **(request.missing or {})}
            self._lacking.add(request)
        return bool(found)

    @contextmanager
    def noting(self, document: Document, content: Any, number: int) -> Iterator[None]:
        """Take note of what a change removes while it is applied.

        Args:
            document: The document.
            content: The decoded content of the change.
            number: Its number.
        """
        events = content.get("events") if isinstance(content, dict) else None
        removing = [event for event in events if _may_remove(document, event)] if isinstance(events, list) else []
        if removing and self._placing is not None and not self._placing.done:
            # What was in it at the server, those under way may have taken out here.
            self.may_have_lost(number)
        places = {place for event in removing if (place := _place(event)) is not None}
        before = {model: _inside({model}) for models in map(partial(_placed, document), places) for model in models}
        inside = set[str]().union(*before.values())
        known = {name: self._gone[name] for name in inside & self._gone.keys()}
        # At once, since a handler may make a call in which the answer to a change arrives that refers to one of them.
        self._gone.update(dict.fromkeys(inside, number))
        try:
            yield
        finally:
            after = {model for models in map(partial(_placed, document), places) for model in models}
            left = set[str]().union(*(identities for model, identities in before.items() if model not in after))
            for name in inside - left:
                if self._gone.get(name) == number:
                    del self._gone[name]
                    self._gone.update({name: known[name]} if name in known else {})
            # Our change that has given one a place may have come too late, and been dropped: a server that holds tells
            # of what it has removed only after its answer to that.
            self._unclear |= not self._placed_anew.isdisjoint(left)
            self._placed_anew -= left

    def concern(self, requests: Group) -> bool:
        """Say whether any of some changes may refer to a model that was removed since the earliest of them was made.

        Args:
            requests: The changes.
        """
        made_after = min(request.made_after for request in requests)
        if self._untold > made_after:
            return True
        gone = {identity for identity, number in self._gone.items() if number > made_after}
        return bool(gone) and any(_refers_to(request, gone) for request in requests)


def may_remove(document: Document | None, content: Any) -> bool:
    """Say whether a change from the server may take a model out of a document. Any thread may ask.

    Args:
        document: The document, which is only looked at.
        content: The decoded content of the change, which is not applied yet.
    """
    events = content.get("events") if isinstance(content, dict) else None
    if document is None or not isinstance(events, list):
        return False
    return any(_may_remove(document, event) for event in events)


def _may_remove(document: Document, event: Any) -> bool:
    # As in key_of_wire_event, a pattern of mappings would be slow.
    kind = event.get("kind") if isinstance(event, dict) else None
    if kind == "RootRemoved":
        return True
    key = key_of_wire_event(event) if kind == "ModelChanged" else None
    if key is None:
        return False
    identity, attr = key
    model = document.models.get_by_id(cast(Any, identity))
    return model is None or may_hold_models(type(model), attr)


def _place(event: Any) -> tuple[str, str | None] | None:
    """Give what a change takes models out of: a model's property, or with no name a root itself."""
    match event:
        case {"kind": "RootRemoved", "model": {"id": str(identity)}}:
            return identity, None
        case {"model": {"id": str(identity)}, "attr": str(attr)}:
            return identity, attr
        case _:
            return None


def _placed(document: Document, place: tuple[str, str | None] | None) -> set[Model]:
    """Give the models that are in a place, without those that are in them."""
    if place is None:
        return set()
    identity, attr = place
    model = document.models.get_by_id(cast(Any, identity))
    models: set[Model] = set()
    if model is not None and attr is not None:
        visit_value_and_its_immediate_references(getattr(model, attr, None), models.add)
    elif model in document.roots:
        models.add(model)
    return models


def _inside(models: set[Model]) -> set[str]:
    """Give the ids of some models and of all that are in them."""
    return {str(part.id) for model in models for part in model.references()}


def refers_to_strangers(document: Document, events: list[Any]) -> bool:
    """Say whether changes from the server refer to a model that the document does not have.

    A server that has several viewers tells only the first of them what a new model is, and gives the others its id
    (3.9.2: of any new model; 3.10.2 and 4.0.0.dev8: of one that another viewer has made).

    Args:
        document: The document.
        events: The changes of one message, not yet applied. The models that come with them are known.
    """
    defined: set[str] = set()
    referred: set[str] = set()
    for event in events:
        match event.get("model"):
            # Its own change may write it out, as where a model is a tag of itself, and cannot be applied all the same.
            case {"id": str(changed)} as reference if len(reference) == 1 and changed not in defined:
                if cast(Any, changed) not in document.models:
                    return True
        referred_here, defined_here = models_in([event])
        referred |= referred_here
        defined |= defined_here
    return any(cast(Any, name) not in document.models for name in referred - defined)


def dangling(requests: Sequence[Request], there: Container[str]) -> Group:
    """Give those of some changes that refer to a model which the server has not: it drops them, with an OK.

    Args:
        requests: The changes, in order. What one of them writes out, those behind it may refer to.
        there: The ids of the models that the server has.
    """
    defined: set[str] = set()
    dropped: list[Request] = []
    for request in requests:
        referred_here, defined_here = models_in([decoded(request.content)])
        if any(name not in there and name not in defined for name in referred_here - defined_here):
            dropped.append(request)
        else:
            defined |= defined_here
    return tuple(dropped)


def models_in(events: Iterable[Any]) -> tuple[set[str], set[str]]:
    """Give the ids of the models that changes refer to, and of those that they write out. Columns hold none.

    Args:
        events: Elements of a PATCH-DOC's "events".
    """
    referred: set[str] = set()
    defined: set[str] = set()
    for event in events:
        for node in objects(event["model"] if event.get("kind") in COLUMN_EVENTS else event):
            identity = node.get("id")
            if isinstance(identity, str):
                (referred if len(node) == 1 else defined).add(identity)
    return referred, defined


def _refers_to(request: Request, models: set[str]) -> bool:
    referred, defined = models_in([decoded(request.content)])
    return not models.isdisjoint(referred | defined)
