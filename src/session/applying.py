"""Applying what the server has changed, or has, to the document: what counts of it, and in spite of what fails."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, cast

from bokeh.core.serialization import DeserializationError, Deserializer
from bokeh.document.callbacks import invoke_with_curdoc

from . import encoding
from .changes import TITLE, key_of_wire_event, replaced_on_the_wire
from .columns import complete_received, misfits
from .conflicts import Conflicts, Doubts, Verdict
from .departures import Departures, refers_to_strangers
from .errors import ApplyError
from .holding import Holding
from .identity import Acquaintance
from .plain import are_plain
from .untold import Untold, is_clear
from .wire_objects import COLUMN_EVENTS, decoded, placed

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.model import Model

    from ..protocol import Buffer, PatchDoc
    from .requests import Key
    from .rereading import Snapshot

__all__ = ["Applier"]

_MANY = 256  # properties


class Applier:
    """Applies to one document. What it changes has it as its setter, which tells it from what the program changes.

    Args:
        acquaintance: Is told of the models that arrive.
        conflicts: Says what counts, and is told of what is in doubt.
        departures: Is told of the models that leave.
        holding: Is told what changes while the program holds its changes back.
        on_trouble: Told of every change that cannot be applied.
        is_pulling: Says whether a pull is just replacing everything.

    Attributes:
        handled: The number of the last message of changes that was taken up, also by others than this.
        replaced: How many times the server's values were taken over, also by others than this.
    """

    def __init__(
        self,
        acquaintance: Acquaintance,
        conflicts: Conflicts,
        departures: Departures,
        holding: Holding,
        on_trouble: Callable[[Exception], None],
        is_pulling: Callable[[], bool],
    ) -> None:
        self.handled = 0
        self.replaced = 0
        self._theirs: dict[Key | None, None] = {}  # what the server was the last to change; the newest, oldest first
        self._thread = 0  # that takes up a message just now
        self._acquaintance = acquaintance
        self._conflicts = conflicts
        self._departures = departures
        self._holding = holding
        self._on_trouble = on_trouble
        self._is_pulling = is_pulling
        self._changes = Untold()

    def begin(self, number: int) -> int:
        """Take up a message of changes, which counts as handled from then on.

        Args:
            number: Its number.

        Returns:
            What has to be given back with `end`.
        """
        before, self._thread = self._thread, get_ident()
        self.handled = number
        return before

    def end(self, before: int) -> None:
        """Have done with a message. A handler of the one before may have made the call in which it was taken up.

        Args:
            before: What `begin` gave.
        """
        self._thread = before

    def changes(self, keys: Iterable[Key | None]) -> None:
        """Take note of what the server's changes change: another thread may not have told yet that it has changed it.

        Args:
            keys: What it is.
        """
        self._theirs.update(dict.fromkeys(keys))
        if len(self._theirs) > _MANY:
            self._theirs = dict.fromkeys([*self._theirs.copy()][-_MANY // 2 :])

    def was_last_to_change(self, key: Key | None) -> bool:
        """Say whether the server was the last to change something, of what it has changed lately.

        Args:
            key: What it is; None for what no change can replace.
        """
        return key is not None and key in self._theirs

    def yields(self, key: Key | None) -> None:
        """Take note that the program has changed something.

        Args:
            key: What it is.
        """
        if self._theirs:
            self._theirs.pop(key, None)

    @property
    def seen(self) -> int:
        """The number of the last message of which the calling thread has seen all. Another may be applying one yet."""
        return self.handled - (self._thread != 0 and self._thread != get_ident())

    def receive(self, document: Document, message: PatchDoc, number: int) -> bool:
        """Apply those changes of a message from the server that count.

        Args:
            document: The document.
            message: The changes.
            number: Which message of changes it is.

        Returns:
            Whether the server is to be asked at once for what has come into doubt.
        """
        events = message.content.get("events") if isinstance(message.content, dict) else None
        if not isinstance(events, list):
            self._apply(document, message.content, message.buffers)
            return self._have_lost_a_place()
        clear = is_clear(document)
        if not clear:
            self._holding.interrupted(document, number - 1)
            self._holding.received(document, (), number - 1)  # all of it may be passed over
        if self._departures.knows_of_any_missing:
            self._departures.came_back(frozenset[str]().union(*map(placed, events)))
        ours = frozenset() if clear else self._untold(document, replacing=True)
        self._pass_over(document, events, message.buffers, number, ours)
        plain = are_plain(document, events)
        ask = not plain and self._leave_out(document, events, number)
        replaced = self.replaced
        with self._conflicts.collecting() as answered:
            applied = not events or self._apply(document, message.content, message.buffers, plain=plain)
        if len(events) > 1 and answered:
            # A handler of one has changed what another one changes, and made a call: the server has that last.
            for key in answered.intersection(map(key_of_wire_event, events)):
                self._conflicts.doubt(key)
                ask = True
        if not applied and (len(events) > 1 or _is_of_columns(events[0])):
            # What came after the one that failed is not applied, nor are rows or a patch that arrays do not take.
            for event in events:
                self._conflicts.doubt(key_of_wire_event(event))
            ask = True
        if len(events) > 1 and (self.handled, self.replaced) != (number, replaced):
            # A handler has made a call, in which something newer has arrived than what came behind its own event.
            self._conflicts.doubt_everything()
            ask = True
        return self._have_lost_a_place() or ask

    def _pass_over(
        self, document: Document, events: list[Any], buffers: tuple[Buffer, ...], number: int, ours: frozenset[Key]
    ) -> None:
        """Take those changes of the server out that a change of ours overwrites, or that are in doubt."""
        if ours or not self._conflicts.is_idle:
            passed_over = [
                event
                for event in events
                if self._is_passed_over(event, buffers, number) or key_of_wire_event(event) in ours
            ]
            coming_back = self._conflicts.coming_back
            if coming_back and any(coming_back & placed(event) for event in events):
                self._conflicts.doubt_everything()  # both sides write the same model out, and one of them in vain
            if passed_over:
                self._conflicts.postpone(ours.intersection(map(key_of_wire_event, passed_over)))
                self._miss(document, passed_over, number)
                if any(map(placed, passed_over)):
                    # As when another client pushes, or puts a model back that it has changed meanwhile: the ids are
                    # here already, and what has become of the models is told this once, and not to everybody.
                    self._conflicts.doubt_everything()
                events[:] = [event for event in events if event not in passed_over]

    def _untold(self, document: Document, *, replacing: bool = False) -> frozenset[Key]:
        """Find what changes of ours have changed that are sent later; of those held, all or those that replace it.

        Of what is held for long, the program is to see what the server makes of what it adds to.
        """
        if self._is_pulling():  # it replaces everything, and tells of that as well
            return frozenset()
        told, held = self._changes.changes(document, self)
        counting = told | {change for change in held if change.replaces or not replacing}
        return frozenset(change.key for change in counting if change.key is not None)

    def _miss(self, document: Document, events: list[Any], number: int) -> None:
        if self._departures.missed(document, events, number):
            returning = self._conflicts.coming_back
            for request in self._conflicts.all_unanswered():
                self._departures.mark(request, returning)

    def _leave_out(self, document: Document, events: list[Any], number: int) -> bool:
        """Take those changes of the server out that do not fit what is here, and say whether there are any."""
        changes = [event for event in events if key_of_wire_event(event) is not None]
        strange = refers_to_strangers(document, changes)
        if strange:
            # What those models are was never said here, or a change that was passed over said it: the server knows.
            self._miss(document, changes, number)
            self._conflicts.doubt_everything()
            events[:] = [event for event in events if event not in changes]
        misfitting = [event for event in events if misfits(document, event)]
        if misfitting:
            for event in misfitting:
                self._conflicts.doubt(key_of_wire_event(event))
            events[:] = [event for event in events if event not in misfitting]
        return strange or bool(misfitting)

    def _is_passed_over(self, event: Any, buffers: tuple[Buffer, ...], number: int) -> bool:
        """Say whether a change from the server is not to be applied."""
        key = key_of_wire_event(event)
        verdict = self._conflicts.judge(key, number)
        if verdict is Verdict.STALE:
            self._conflicts.preceded(key, replaced_on_the_wire(event, buffers), number)
        return verdict is not Verdict.APPLY

    def take_over(self, document: Document, snapshot: Snapshot, buffers: tuple[Buffer, ...], doubts: Doubts) -> bool:
        """Set what is in doubt to what the server has, with what was added here since.

        Args:
            document: The document.
            snapshot: The server's.
            buffers: The buffers that it refers to.
            doubts: What the server was asked for.

        Returns:
            Whether nothing newer has come meanwhile, in a call of a handler.

        Raises:
            ApplyError: The server's document cannot be used.
        """
        self.replaced += 1
        number = self.handled, self.replaced
        if not is_clear(document):
            self._holding.interrupted(document, -1)  # it may be the first to tell of a removal
        try:
            keys = sorted(self._conflicts.resolve(doubts, snapshot.keys(document), self._untold(document)))
            self._holding.received(document, keys, self.handled - 1)
            self.changes(keys)
            linked = [key for key in keys if snapshot.links(document, key)]
            events = snapshot.events_for(document, linked, buffers)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ApplyError(f"what the server answered to a pull cannot be used: {error!r}.") from error
        alone = sorted({*keys}.difference(linked).union(filter(partial(snapshot.is_default, document), linked)))
        made = self._conflicts.made
        with self._conflicts.collecting() as answered:
            # Together, so that a model that has gone from one place to another stays the same object.
            if events and not self._apply(document, {"events": events}, buffers, retried=True):
                self._apply_one_by_one(document, snapshot, buffers, linked)
            # What a handler has changed of these meanwhile may have come before the server's value, or after it.
            self._conflicts.doubt_changed_since(linked, made)
            for key in alone:
                if (self.handled, self.replaced) != number:
                    break
                if key not in answered:
                    self._take_over_one(document, snapshot, buffers, key)
            # And what it has changed before it has made a call, the server has since it was asked.
            for newer in answered.intersection(keys):
                self._conflicts.doubt(newer)
        is_latest = (self.handled, self.replaced) == number
        if not is_latest:
            self._conflicts.doubt_everything()
        self._have_lost_a_place()
        return is_latest

    def _take_over_one(self, document: Document, snapshot: Snapshot, buffers: tuple[Buffer, ...], key: Key) -> None:
        """Set one property to what the server has and what was added here since, unless a handler has replaced it."""
        ours = [request for request in self._conflicts.unanswered(key) if not request.is_doomed]
        if any(request.replaces for request in ours):
            return
        made = self._conflicts.made
        if key == TITLE:
            if document.title != snapshot.title:
                self._apply(document, {"events": [{"kind": "TitleChanged", "title": snapshot.title}]}, ())
        elif snapshot.is_default(document, key):
            self._set(document, key, lambda model: model.lookup(key[1]).instance_default(model))
        elif snapshot.has_other(document, key, buffers):
            value = encoding.to_bokeh(snapshot.attribute(key), buffers)
            self._set(document, key, lambda model: Deserializer().deserialize(value))
        if ours:
            self._acquaintance.introduce_held(document)
        for request in ours:
            if not self._apply(document, {"events": [decoded(request.content)]}, request.buffers, ours=True):
                self._conflicts.doubt(key)
        self._conflicts.doubt_changed_since([key], made)

    def _apply_one_by_one(
        self, document: Document, snapshot: Snapshot, buffers: tuple[Buffer, ...], keys: Iterable[Key]
    ) -> None:
        """Apply what came after a change that has failed, as when a handler has raised, and was not applied."""
        for key in keys:
            last: dict[str, Any] | None = None
            events = snapshot.events_for(document, [key], buffers)
            while events and events[0] != last:
                self._acquaintance.introduce_held(document)
                last = events[0]
                self._apply(document, {"events": [last]}, buffers)
                events = snapshot.events_for(document, [key], buffers)

    def _set(self, document: Document, key: Key, make: Callable[[Model], Any]) -> None:
        """Set a property to a value without models: `apply_json_patch` takes a look at all models for each."""
        setter: Any = self
        identity, attr = key
        model = document.models[cast(Any, identity)]
        try:
            value = make(model)
            invoke_with_curdoc(document, lambda: model.set_from_json(attr, value, setter=setter))
        except (Exception, CancelledError) as error:
            self._report(error, (f"{attr} of model {identity} as it is at the server",))

    def _apply(
        self,
        document: Document,
        content: Any,
        buffers: tuple[Buffer, ...],
        *,
        plain: bool = False,
        retried: bool = False,
        ours: bool = False,
    ) -> bool:
        """Apply changes, and say whether all are applied. Why not is told, unless it will come up once more.

        Args:
            document: The document.
            content: The decoded content of a PATCH-DOC.
            buffers: The buffers that it refers to.
            plain: Whether the changes bring nothing in and take nothing out.
            retried: Whether each change will be tried by itself if one cannot be read.
            ours: Whether they were made here, over what the server has changed: its answer says whether they fit that.
        """
        setter: Any = self  # Bokeh only compares it with the setter of the events that follow
        events = content.get("events") if isinstance(content, dict) else None
        keys = [*map(key_of_wire_event, events)] if isinstance(events, list) else []
        self._holding.received(document, keys, self.handled - 1)
        self.changes(keys)
        serialized = encoding.to_bokeh(content, buffers)

        def apply() -> None:
            document.apply_json_patch(serialized, setter=setter)

        try:
            if plain:
                self._forget_departures(document)
                apply()  # Bokeh makes the document the current one for each callback, and nothing is built here
            else:
                serialized.buffers.extend(complete_received(document, content))
                with self._acquaintance.receiving(document, content), self._noting_departures(document, content):
                    invoke_with_curdoc(document, apply)
        except (Exception, CancelledError) as error:
            applied_all = False
            if not ours and not (retried and isinstance(error, DeserializationError)):
                self._report(error, _describe_patch(content))
        else:
            applied_all = True
        return applied_all

    def _have_lost_a_place(self) -> bool:
        """Put everything in doubt if the server has taken a model out of a place and may not have it in another."""
        unclear = self._departures.take_unclear()
        if unclear:
            self._conflicts.doubt_everything()
        return unclear

    def _report(self, error: BaseException, changes: tuple[str, ...]) -> None:
        what = f"{type(error).__name__}: {error}"
        if isinstance(error, ApplyError):  # of another change, which arrived in it: its text would grow with each
            what = "a call that a handler made raised the ApplyError that is the cause of this one"
        text = f"applying a change from the server failed ({'; '.join(changes)}): {what}"
        if "can't resolve type" in str(error):
            text += ". Import the module that defines it, and pull."
        trouble = ApplyError(text, changes=changes)
        trouble.__cause__ = error
        self._on_trouble(trouble)

    def _noting_departures(self, document: Document, content: Any) -> AbstractContextManager[None]:
        if self._forget_departures(document) and not self._departures.is_awaited:
            return nullcontext()
        return self._departures.noting(document, content, self.handled)

    def _forget_departures(self, document: Document) -> bool:
        """Let go of what has left the document before all that is under way was made, and say whether that is all."""
        if not is_clear(document):
            return False
        nothing = not self._conflicts.has_unanswered
        if nothing:
            self._departures.forget()
        elif self._departures.are_many:
            self._departures.forget(self._conflicts.oldest_made_after())
        return nothing


def _describe_patch(content: Any) -> tuple[str, ...]:
    events = content.get("events") if isinstance(content, dict) else None
    if not isinstance(events, list):
        return ("a patch without a list of events",)
    return tuple(encoding.describe_wire_event(event) for event in events)


def _is_of_columns(event: Any) -> bool:
    return isinstance(event, dict) and event.get("kind") in COLUMN_EVENTS
