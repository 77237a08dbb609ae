"""What goes out of a document: the changes that the program makes, each as it is told of, and the whole document.

A document tells of a change only after it was made, and after handlers were called. Until then a handler, another
thread or a push may have come between, so what has become of the change is looked at first.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bokeh.core.serialization import SerializationError
from bokeh.document.events import (
    ColumnDataChangedEvent,
    ColumnsPatchedEvent,
    ColumnsStreamedEvent,
    DocumentPatchedEvent,
    MessageSentEvent,
    ModelChangedEvent,
    RootAddedEvent,
    RootRemovedEvent,
    SessionCallbackAdded,
    SessionCallbackRemoved,
    TitleChangedEvent,
)

from . import encoding
from .changes import ROOTS, classify, may_place, replaced, take_back
from .columns import SentColumns, are_level, complete_sent, may_be_converted, whole
from .errors import DuplicateModelId, UsageError
from .holding import as_if_told, held_behind, is_letting_go
from .identity import reachable
from .late import LateChanges
from .plain import PLAIN
from .pushed import Pushed
from .requests import Ask, Before, Request
from .sparse import SparseSet
from .telling import being_told, letting_go, under_way
from .threads import Threads, is_overtaken, is_undone, present
from .watching import unwatch, watch

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent
    from bokeh.model import Model

    from .applying import Applier
    from .callbacks import CallbackSchedule
    from .conflicts import Conflicts
    from .departures import Departures
    from .holding import Holding
    from .identity import Acquaintance
    from .recognition import Recognition
    from .requests import Change, Encoded
    from .telling import Telling

__all__ = ["Outgoing"]

T = TypeVar("T")

_MANY = 256  # changes of which it is worth looking whether they can be forgotten
_FAR = 256  # held changes further behind than that were not made at the same time
_COLUMN_CHANGES = (ColumnDataChangedEvent, ColumnsStreamedEvent, ColumnsPatchedEvent)


class Outgoing:
    """The changes of one session's document on their way to becoming requests.

    Args:
        post: Sends a request in its turn; must not wait and must not call back.
        schedule: Takes up the document's periodic, timeout and next-tick callbacks.
        on_trouble: Told of every error that the change itself does not raise.
        made_after: Says up to which change of the server's one of ours knows what the server has.
        reread: Asks the server for what has come into doubt.
        acquaintance: Knows which models the server has.
        conflicts: Is told of each change, and which of them cannot be trusted to arrive as they are.
        departures: Knows which models the server may have lost.
        holding: Knows which changes were held back.
        applier: Makes the server's changes, which are not sent back.
        recognition: Knows the configuration that the server has.
    """

    def __init__(
        self,
        post: Callable[[Request], None],
        schedule: CallbackSchedule,
        on_trouble: Callable[[Exception], None],
        made_after: Callable[[DocumentPatchedEvent], int],
        reread: Callable[[], None],
        acquaintance: Acquaintance,
        conflicts: Conflicts,
        departures: Departures,
        holding: Holding,
        applier: Applier,
        recognition: Recognition,
    ) -> None:
        self._post = post
        self._schedule = schedule
        self._on_trouble = on_trouble
        self._made_after = made_after
        self._reread = reread
        self._acquaintance = acquaintance
        self._conflicts = conflicts
        self._departures = departures
        self._holding = holding
        self._applier = applier
        self._recognition = recognition
        self._title = ""  # before a change of it that is just being made
        self._sent_columns = SentColumns()
        self._threads = Threads()
        self._pushed = Pushed()
        self._late: LateChanges | None = None  # since the connection was lost for good, or the program has ended
        self._taken_up: dict[DocumentChangedEvent, object] = {}  # which the document may be telling others yet
        self._many = _MANY
        self._removed: SparseSet[Model] = SparseSet()  # roots, by the server
        self._telling: Telling | None = None
        self._deferred: list[MessageSentEvent] = []  # to models of which the document has not told yet

    def follow(self, document: Document) -> None:
        """Take up what is changed in a document from here on.

        Args:
            document: The document.
        """
        self._title = document.title
        # `on_change_dispatch_to` asks for each event which methods a receiver has: 7 us (3.10.2, Python 3.13).
        document.on_change(self._changed)
        self._telling = watch(document, self._acquaintance.looked, self._acquaintance.looking)

    def leave(self, document: Document) -> None:
        """Leave a document alone.

        Args:
            document: The document that was followed.
        """
        self._late = None
        self._deferred.clear()
        document.remove_on_change(self._changed)
        unwatch(document)
        self._telling = None

    def end(self) -> None:
        """Send nothing more: until the program has been told of the loss, it may go on changing the document."""
        if self._late is None:
            self._late = LateChanges()

    @property
    def late_changes(self) -> tuple[str, ...]:
        """The changes made since the end, until the document is left."""
        return () if self._late is None else self._late.names

    def alone(self, push: Callable[[], T]) -> T:
        """Write and post a push while no other thread's changes are sent.

        Args:
            push: Does it.

        Returns:
            What it returned.
        """
        return self._threads.alone(push)

    def written(self, document: Document) -> Encoded:
        """Write a whole document out, with every change that was begun.

        Args:
            document: The document.

        Raises:
            DuplicateModelId: Two models have the same id.
            SerializationError: Something in it cannot be written as JSON.
        """
        return self._threads.written(lambda: self._write(document))

    def tell_early(self, document: Document, *, anywhere: bool = False) -> None:
        """Send what this thread has made and the document has not told of yet: there is no later.

        A handler pulls, or closes the session, or what was pulled is about to overwrite the document.

        Args:
            document: The document.
            anywhere: Whether to send as well what other threads have made.
        """
        for told, behind in under_way(document, anywhere=anywhere):
            for event in [*told[:1], *behind, *told[1:]]:  # as they were made
                if isinstance(event, DocumentPatchedEvent):
                    try:
                        with as_if_told(document, event):
                            self._document_patched(event)
                    except (SerializationError, DuplicateModelId) as error:
                        self._on_trouble(error)

    def arrived(self, document: Document | None) -> None:
        """Take note that something has arrived while nothing is being told: what was sent before is the past.

        Args:
            document: The document, None if there is none yet.
        """
        self._sent_columns.forget()
        if document is not None:
            self._forget_told(document)

    def name_deferred(self) -> None:
        """Name the messages that still wait for their models: there is no later."""
        while self._deferred:
            self._name_unsent(self._deferred.pop(0))

    def _write(self, document: Document) -> Encoded:
        self._acquaintance.introduce_document(document)
        if str(document.config.id) != self._recognition.config_id:
            self._acquaintance.introduce_configuration(document)
        while True:
            self._pushed.note(document)
            encoded = encoding.encode_document(document)
            if self._pushed.note(document):
                return encoded

    def _changed(self, event: DocumentChangedEvent) -> None:
        """Take up a change of the document: Bokeh calls this for each, at once and in the changing thread.

        One that was made before the document was followed is in what was pushed.
        """
        if self._telling is None or not self._telling.tells_of(event):
            return
        if isinstance(event, DocumentPatchedEvent):
            self._document_patched(event)
        elif isinstance(event, SessionCallbackAdded):
            self._schedule.add(event.callback)
        elif isinstance(event, SessionCallbackRemoved):
            self._schedule.remove(event.callback)

    def _document_patched(self, event: DocumentPatchedEvent) -> None:
        mine = object()
        if self._taken_up.setdefault(event, mine) is not mine:
            return  # it was sent early
        if len(self._taken_up) > self._many:
            self._forget_told(event.document)
        try:
            self._take_up(event)
        except (SerializationError, DuplicateModelId) as error:
            if not is_letting_go(event.document):
                raise
            self._on_trouble(error)
        except BaseException:  # as by Ctrl-C: whether it will be sent nobody knows
            self._conflicts.doubt(classify(event).key)
            raise

    def _forget_told(self, document: Document) -> None:
        taken_up = tuple(self._taken_up)  # before the others, since another thread may just take one up
        if taken_up:
            left = {event for told, behind in under_way(document, anywhere=True) for event in (*told, *behind)}
            for event in taken_up:
                if event not in left:
                    self._taken_up.pop(event, None)
            self._many = max(_MANY, 2 * len(self._taken_up))

    def _take_up(self, event: DocumentPatchedEvent) -> None:
        setter: object = event.setter
        before = self._title_before(event) if isinstance(event, TitleChangedEvent) else None
        is_property = type(event) is ModelChangedEvent  # as most are
        # First, since it has to hear of every root, whoever has added it.
        is_pushed = not is_property and self._pushed.has(event)
        if setter is self._applier and isinstance(event, RootRemovedEvent):
            self._removed.add(event.model)
        if is_pushed or setter is self._applier:
            return
        of_columns = not is_property and isinstance(event, _COLUMN_CHANGES)
        if self._acquaintance.has_written(event) or (of_columns and self._sent_columns.include(event)):
            return
        if self._late is not None:
            self._late.add(event)
            return
        if of_columns and isinstance(event, ColumnsStreamedEvent | ColumnsPatchedEvent):
            event = whole(event) if self._sent_columns.are_overtaken(event) and are_level(event) else event
        places = may_place(event)
        alone = places or (not is_property and isinstance(event, RootRemovedEvent))
        self._threads.begin(event, places=alone)
        try:
            self._send(event, before, places, alone)
        finally:
            self._threads.end(event)

    def _send(self, event: DocumentPatchedEvent, before: Before | None, places: bool, alone: bool) -> None:
        if self._is_pushed(event):
            return
        try:
            if not alone:
                self._tell_if_known(event, before, places)
                return
            self._threads.place(lambda: self._tell_if_known(event, before, places))
            deferred, self._deferred = self._deferred, []
            for message in deferred:
                self._take_up(message)
        except DuplicateModelId:
            take_back(event, self._applier)  # here, since it has handlers called
            raise

    def _tell_if_known(self, event: DocumentPatchedEvent, before: Before | None, places: bool) -> None:
        is_stranger = self._acquaintance.is_about_stranger(event, self._is_yet_to_leave)
        if is_stranger and isinstance(event, MessageSentEvent):
            self._defer(event)
        elif is_stranger:
            if self._acquaintance.has_another(getattr(event, "model", None)):
                self._name_overwritten(event)
        elif type(event) is not ModelChangedEvent and is_undone(event):
            if isinstance(event, RootAddedEvent) and event.model in self._removed:
                self._name_overwritten(event)
            self._conflicts.doubt(ROOTS)  # their order may be another one
        else:
            self._tell(event, before, places)

    def _name_overwritten(self, event: DocumentPatchedEvent) -> None:
        """Name a change that was taken back before anybody heard of it, as where another thread has made a call."""
        text = f"{classify(event)} was overwritten by what the server has, before the document told of the change"
        self._on_trouble(UsageError(f"{text}. Make it again, if it is to stay."))

    def _defer(self, event: MessageSentEvent) -> None:
        """Keep a message to a model, as a click, until the change that brings the model in is told of and sent."""
        model: Any = cast(Any, event.msg_data).model
        if model.document is not event.document:
            self._name_unsent(event)  # and raise nothing: in a handler, that would keep the removal from being sent
            return
        self._deferred.append(event)

    def _name_unsent(self, event: MessageSentEvent) -> None:
        model = cast(Any, event.msg_data).model
        text = f"message {event.msg_type!r} to {model!r} was not sent, since that is not in the session's document"
        self._on_trouble(UsageError(f"{text}, or the change that brings it in was not. Add the model first."))

    def _tell(self, event: DocumentPatchedEvent, before: Before | None, places: bool) -> None:
        """Post a change; and what is there by now, where that was sent before it, since that is to stay."""
        if not (places or isinstance(event, ColumnDataChangedEvent)):  # as most are
            if self._write_and_post(event, event, before, places):
                self._write_and_post(event, _as_it_is(event), None, places)
        elif not is_overtaken(event):
            self._write_and_post(event, event, before, places)
        elif self._applier.was_last_to_change(classify(event).key):
            self._name_overwritten(event)
        else:
            now = _as_it_is(event)
            # What such a change made may lack models of which the server has been told since: it would take them out,
            # and drop what refers to them. And columns are always written as they are.
            if not (isinstance(event, ColumnDataChangedEvent) or _may_bring(event) or _may_bring(now)):
                self._write_and_post(event, event, before, places)
            if now is not event:
                self._write_and_post(event, now, None, places)

    def _write_and_post(
        self, told: DocumentPatchedEvent, event: DocumentPatchedEvent, before: Before | None, places: bool
    ) -> bool:
        """Post a change in the place of one that is told, and say whether something of ours is there instead by now."""
        known = self._applier.handled, self._applier.replaced
        if places or isinstance(event, RootRemovedEvent):
            self._note_what_leaves(told, event)
        change, implied, encoded = self._encode(event, is_as_told=event is told)
        made_after = self._made_after(told)
        if before is None and event is told:
            before = replaced(event)
        if before is not None and made_after < 0:  # a pull may have overwritten here what the server is to have by then
            before = self._conflicts.value_under_way(change.key) or before
        content, buffers, returns = encoded
        request = Request(Ask.PATCH, change, content, buffers, made_after, before, returns=returns, implied=implied)
        if self._departures.knows_of_any_missing:
            self._departures.left(event.document)
            if self._departures.mark(request, self._conflicts.coming_back):
                request.made_after = -1
        is_plain = type(event) is ModelChangedEvent and type(event.new) in PLAIN  # as most are
        if not is_plain:
            self._sent_columns.note(event, encoded)
        try:
            self._conflicts.changed(request)
            overtaken = is_overtaken(event)
            is_theirs = overtaken and self._applier.was_last_to_change(change.key)
            self._applier.yields(change.key)
            is_crossed = known != (self._applier.handled, self._applier.replaced)  # by another thread, unaware of this
            if is_crossed and (places or isinstance(event, RootRemovedEvent)):
                # What this takes out on the server, that may have brought back here.
                self._departures.may_be_missing([str(model.id) for model in tuple(event.document.models)], known[0])
            if (
                overtaken
                or is_crossed
                or self._holding.concerns(change.key)
                or (not is_plain and (self._sent_columns.are_overtaken(event) or may_be_converted(event)))
            ):
                self._conflicts.doubt(change.key)
            if request.returns and is_letting_go(event.document):
                # Where changes were combined, the server has not been told that the models were gone.
                self._conflicts.doubt_everything()
            if places:
                self._departures.place(event.document, request)
            if self._is_pushed(event):
                self._conflicts.answered(request)
                return False
            self._post(request)
        except BaseException:
            self._conflicts.answered(request)
            raise
        if self._is_pushed(event):
            self._conflicts.doubt(change.key)
        return overtaken and not is_theirs

    def _note_what_leaves(self, event: DocumentPatchedEvent, sent: DocumentPatchedEvent) -> None:
        """Take note of models that a change takes out on the server, and which one not told of yet keeps here."""
        ours: Any = self._applier
        told = any(other is not event and other.setter is not ours for other in being_told(event.document))
        if told or letting_go(event.document, anywhere=True):
            left: set[Model] = set()
            if isinstance(event, RootRemovedEvent):
                left = reachable(event.model)
            elif isinstance(event, ModelChangedEvent):
                # Another thread may have taken something out before, and tell of it later.
                behind = held_behind(event.document, anywhere=True)
                same = [
                    other
                    for other in chain(being_told(event.document), islice(behind, _FAR))
                    if isinstance(other, ModelChangedEvent) and (other.model, other.attr) == (event.model, event.attr)
                ]
                before = [getattr(replaced(other), "value", None) for other in (event, *same)]
                left = reachable([*before, event.new]) - reachable(getattr(sent, "new", None))
            self._acquaintance.may_leave(event.document, left)
            self._departures.taken_out_here([str(model.id) for model in left], self._applier.handled)

    def _is_yet_to_leave(self, document: Document, model: Model) -> bool:
        """Say whether the change that has taken a model out, which may be here again, is one of which we tell later."""
        ours: Any = self._applier
        told = [other for other in being_told(document) if other.setter is not ours]
        before: Any
        after: Any
        for other in [*told[:1], *held_behind(document), *told[1:]]:  # as they were made
            match other:
                case RootRemovedEvent(model=root):
                    before, after = root, None
                case RootAddedEvent(model=root):
                    before, after = None, root
                case ModelChangedEvent(new=value):
                    before, after = getattr(replaced(other), "value", None), value
                case _:
                    continue
            was_there = model in reachable(before)
            if was_there is not (model in reachable(after)):
                return was_there
        return False

    def _is_pushed(self, event: DocumentPatchedEvent) -> bool:
        """Let the push of another thread go first, and say whether a change must not be sent behind it."""
        if self._threads.writing.holder:
            self._threads.await_push()
        return type(event) is not ModelChangedEvent and self._pushed.has(event)

    def _encode(self, event: DocumentPatchedEvent, *, is_as_told: bool) -> tuple[Change, bool, Encoded]:
        """Write a change, and say what it is and whether the server may have it already."""
        try:
            if not (type(event) is ModelChangedEvent and type(event.new) in PLAIN):  # as most are
                self._acquaintance.introduce_event(event, replaced)
                event = complete_sent(event)
            change = classify(event)
            encoded = encoding.encode_event(event.document, event, self._acquaintance)
            return change, not is_as_told or self._acquaintance.has_come_with(change.key, encoded), encoded
        except Exception as error:
            # It is made here already and never reaches the server, whose value takes its place.
            change = classify(event)
            self._conflicts.doubt(change.key)
            self._reread()
            if isinstance(error, DuplicateModelId):
                raise
            text = f"{change} cannot be written as JSON, and the server's value takes its place: "
            cause = "" if isinstance(error, SerializationError) else f"{type(error).__name__}: "
            raise SerializationError(f"{text}{cause}{error}") from error

    def _title_before(self, event: TitleChangedEvent) -> Before:
        before, self._title = Before(self._title), event.title
        return before


def _may_bring(event: DocumentPatchedEvent) -> bool:
    return isinstance(event, ModelChangedEvent) and type(event.new) not in PLAIN


def _as_it_is(event: DocumentPatchedEvent) -> DocumentPatchedEvent:
    """Make of a change one that tells what is there by now."""
    match event:
        case ColumnDataChangedEvent():
            return whole(event)
        case ModelChangedEvent(document=document, model=model, attr=attr, setter=setter):
            return ModelChangedEvent(document, model, attr, present(model, attr), setter)
        case TitleChangedEvent(document=document, setter=setter):
            return TitleChangedEvent(document, document.title, setter)
        case _:
            return event
