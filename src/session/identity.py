"""Ids that nobody else has: every process numbers its models alike, and sessions bring models of several together.

Bokeh counts p1001, p1002, ... in each process. A model made here after a pull can have the id of one that the server
made, and the server then takes the one for the other, without an error: of 150 Divs added to a pulled document, 5
vanished. So a model whose id was counted gets a globally unique one before the server first hears of it. Any other id
is left alone, and so are all ids when BOKEH_SIMPLE_IDS is set; a collision is then an error.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from bokeh.document.events import MessageSentEvent, ModelChangedEvent, RootAddedEvent, RootRemovedEvent
from bokeh.model import Model
from bokeh.model.util import visit_immediate_value_references, visit_value_and_its_immediate_references
from bokeh.util.serialization import make_globally_unique_id

from .errors import DuplicateModelId
from .holding import held_behind, is_held, is_letting_go
from .plain import PLAIN
from .sparse import SparseSet
from .telling import being_told, tells_nothing
from .wire_objects import COLUMN_EVENTS, comparable, decoded, objects

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent, DocumentPatchedEvent

    from .requests import Before, Encoded, Key

__all__ = ["Acquaintance", "defined_ids", "is_generated", "reachable"]

_COUNTED = re.compile(r"p\d{4,}")  # Bokeh's counter starts at 1000
_UNIQUE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # made by Bokeh as well, or here


class Acquaintance:
    """The models of one document that its server knows, by id.

    Bokeh's own record is not enough: it is kept by id alone, so that of two models with the same id it forgets one.
    And whatever it applies, `Document.apply_json_patch` takes every model of the document for known to both sides.

    Attributes:
        looking: Held by the thread that looks through the models or gives them ids: each gets one once.
    """

    def __init__(self) -> None:
        self.looking = threading.RLock()
        self._untold: SparseSet[Model] = SparseSet()  # that held changes have brought in
        self._restless: SparseSet[Model] = SparseSet()  # that were taken out and came back
        self._removed: SparseSet[Model] = SparseSet()  # of which that was sent while other changes were being told
        self._attached: SparseSet[Model] = SparseSet()  # that have come in, by changes of which nothing is written yet
        self._implied: SparseSet[DocumentChangedEvent] = SparseSet()  # held changes of what was written out with them
        self._fresh: dict[str, dict[str, Any]] = {}  # as they were written out, since anything arrived
        self._known: WeakValueDictionary[str, Model] = WeakValueDictionary()
        self._arriving: frozenset[str] = frozenset()
        self._telling = 0  # how many changes were being told of when they came
        self._taken_out: set[str] = set()  # of what arrives, by handlers

    @contextmanager
    def receiving(self, document: Document, content: Any) -> Iterator[None]:
        """Take note of the models that the server sends, while they are built and handlers may use them already.

        Args:
            document: The document they become part of.
            content: The decoded wire content, a document or some events.
        """
        before, arriving = self._arriving, defined_ids(content)
        telling = self._telling
        self._arriving = before | arriving  # a handler may make a call, in which others arrive
        if arriving:
            self._telling = len(being_told(document))
        try:
            yield
        except Exception:  # and not after Ctrl-C, when the document has some of them and may take them up later
            self._arrived(document, arriving, before, telling)
            raise
        self._arrived(document, arriving, before, telling)

    def is_sent_any(self, models: Iterable[Model]) -> bool:
        """Say whether the server has any of some models, by their ids, in what it sends and is just being built.

        Args:
            models: The models.
        """
        return not self._arriving.isdisjoint(str(model.id) for model in models)

    def _arrived(self, document: Document, arriving: frozenset[str], before: frozenset[str], telling: int) -> None:
        self._meet(document, arriving)
        self._arriving, self._telling = before, telling
        if not before:
            self._taken_out.clear()

    def met(self, document: Document, content: Any) -> None:
        """Take note of the models of a document that was built from what the server has sent.

        Args:
            document: The document.
            content: The decoded wire content.
        """
        self._meet(document, defined_ids(content))

    def _meet(self, document: Document, identities: Iterable[str]) -> None:
        for identity in identities:
            model = document.models.get_by_id(cast(Any, identity))
            if model is not None:
                self._known[identity] = model
                self._attached.difference_update((model,))

    def introduce_document(self, document: Document) -> None:
        """Make sure of the ids of all models of a document, before it is pushed.

        Args:
            document: The document.

        Raises:
            DuplicateModelId: Two models have the same id, and the program chose it.
        """
        everything = reachable(document.roots)
        self._attached.clear()
        self._introduce(document, everything, everything)
        self._untold.clear()

    def introduce_configuration(self, document: Document) -> None:
        """Give the configuration of a document that is pushed a unique id, by which the document is recognised later.

        Args:
            document: The document.
        """
        if "BOKEH_SIMPLE_IDS" not in os.environ:
            counted = {model for model in reachable(document.config) if _COUNTED.fullmatch(str(model.id))}
            for model in counted:
                cast(Any, model)._id = make_globally_unique_id()
            if not counted.isdisjoint(document.models):  # the roots refer to one, too
                document.models.recompute()

    def introduce_anew(self, document: Document) -> dict[str, str]:
        """Make sure of the ids of all models of a document that is pushed into a new session of the server.

        The server may be another process, which counts from the beginning: ids that it has not given yet are no use.

        Args:
            document: The document.

        Returns:
            The new ids by the old ones.

        Raises:
            DuplicateModelId: Two models have the same id, and the program chose it.
        """
        before = {model: str(model.id) for model in tuple(document.models)}
        self._known.clear()
        self.introduce_document(document)
        self._restless.clear()  # whatever has come back, all is written out
        return {identity: str(model.id) for model, identity in before.items() if model.id != identity}

    def introduce_held(self, document: Document) -> None:
        """Make sure of the ids of the models that held changes have brought in, before anything is looked up by id.

        Args:
            document: The document. Where its changes are not held, nothing is done.
        """
        if not is_held(document):
            return
        everything = reachable(document.roots)
        with suppress(DuplicateModelId):  # raised when the change that brought it in is let go
            self._introduce(document, everything, everything)
        new = self._new_models(document)
        self._untold.update(new)
        self._attached.update(new)

    def looked(self, document: Document, attached: set[Model], detached: set[Model]) -> None:
        """Take note of models as soon as Bokeh has taken them up, before anybody else hears of them, and give them ids.

        The server may know, or make, another model by the id that one was counted. Of two with the same id, Bokeh takes
        one for gone, and would tell of nothing that a handler or another thread does to it; and what the server says of
        the other one would be found to concern this one.

        Args:
            document: The document, whose models were just looked through.
            attached: Those that have come in.
            detached: Those that have left. What arrives and is taken out by a handler is the server's no more.
        """
        if self._arriving and detached and len(being_told(document)) > self._telling:
            for model in detached:
                if model.id in self._arriving:
                    self._known[str(model.id)] = model
                    self._taken_out.add(str(model.id))
        self._give_ids(document, {model for model in tuple(document.models) if not self._is_known(model)})
        if attached:
            self._removed.difference_update(attached)
            self._attached.update(attached & self._new_models(document))

    def _give_ids(self, document: Document, models: set[Model]) -> None:
        if "BOKEH_SIMPLE_IDS" in os.environ:
            return
        with self.looking:
            counted = {model for model in models if _COUNTED.fullmatch(str(model.id))}
            if not counted:
                return
            for model in counted:
                if document.models.seen(model.id):
                    self._restless.add(model)
                cast(Any, model)._id = make_globally_unique_id()
            new = models | self._new_models(document)
            manager = document.models
            type(manager).recompute(manager)  # with nobody watching: what its namesake has hidden has not just come in
            manager.flush_synced(lambda model: model in new)

    def shared(self, document: Document) -> set[Model]:
        """Give the models of a document that its server has, too.

        Args:
            document: The document.
        """
        return set(document.models).difference(self._new_models(document), self._untold, self._restless)

    def told(self, document: Document, written: Iterable[Model], content: Any) -> frozenset[str]:
        """Take note of the models that a change which is about to be sent writes out.

        Those that have come back are written out in each change until the session has heard from the server. Of changes
        that are let go together, one that follows may take such a model out, and another bring it in again. And as long
        as the server has such a model it passes over what is written of it, with what is new in that.

        Args:
            document: The document.
            written: The models.
            content: How they are written.

        Returns:
            The ids of those that have come back.
        """
        written = set(written)
        back = {model for model in written if model in self._restless or document.models.seen(model.id)}
        back = reachable([*back]) & written if back else back
        self._restless.update(back)
        new = written - back
        if new and is_letting_go(document):
            self._implied.update(other for other in held_behind(document) if _is_inside(other, new))
        self._untold.difference_update(written)
        self._removed.difference_update(written)
        if written:
            ids = {str(model.id) for model in written}
            whole = (node for node in objects(content) if len(node) > 1)
            self._fresh.update((node["id"], node) for node in whole if node.get("id") in ids)
        return frozenset(str(model.id) for model in back)

    def may_leave(self, document: Document, models: Iterable[Model]) -> None:
        """Take it that the server lets go of some models, which may be here: what keeps them has not been told.

        They are written out once more, which tells a server nothing new that has them still. Of those that are not here
        nothing more is sent, although what has taken them out here may come yet, where threads have done it at once.

        Args:
            document: The document.
            models: The models.
        """
        models = {*models}
        self._removed.update(models)
        self._restless.update(model for model in models if model.document is document and self._is_known(model))

    def disown(self, document: Document, identities: Iterable[str]) -> None:
        """Take it that the server does not know some models, since it has not applied what wrote them out.

        Args:
            document: The document.
            identities: Their ids.
        """
        models = (document.models.get_by_id(cast(Any, identity)) for identity in identities)
        self._untold.update(model for model in models if model is not None)

    def heard(self, document: Document) -> None:
        """Take note that something arrives from the server: what was let go together has been taken up.

        Args:
            document: The document.
        """
        if self._arriving and tells_nothing(document):  # Ctrl-C has come meanwhile
            document.models.recompute()
            self._arrived(document, self._arriving, frozenset(), 0)
        waits = bool(self._restless or self._fresh) and document.callbacks.hold_value is None
        if waits and not being_told(document):
            self._restless.clear()
            self._fresh.clear()

    def has_written(self, event: DocumentPatchedEvent) -> bool:
        """Say whether a held change has come with its model, which another one that was let go with it has brought in.

        What it made may be older than what was written, and lack models that the server would let go of.

        Args:
            event: The change.
        """
        return event in self._implied

    def has_come_with(self, key: Key | None, encoded: Encoded) -> bool:
        """Say whether a change is of a model that has just been written out with what the change makes of it.

        Args:
            key: What the change changes.
            encoded: The change. Of columns, it is not looked into.
        """
        written = self._fresh.get(key[0]) if self._fresh and key is not None else None
        if written is None or key is None:
            return False
        event = decoded(encoded.content)
        if "new" not in event:
            return True
        try:
            return bool(comparable(written.get("attributes", {}).get(key[1]), ()) == comparable(event["new"], ()))
        except KeyError:  # it refers to buffers
            return True

    def is_about_stranger(
        self, event: DocumentPatchedEvent, is_yet_to_leave: Callable[[Document, Model], bool]
    ) -> bool:
        """Say whether a change is of a model that the server does not know, or will have no more when it gets it.

        A change of one of which it has not heard comes before the one that brings the model in and writes it out as it
        is by then: where changes were held back, or a handler of the second one has made it. The server may know
        another one by that id. And one that has left the document has done so before the change of it was told, as
        where a handler of the change has taken it out: the removal has been sent, or come from the server. Of what is
        held, it may come behind.

        Args:
            event: The change.
            is_yet_to_leave: Says whether a model was taken out of a document by a change that has not been told yet.
        """
        if type(event) is ModelChangedEvent:  # as most are
            model: Any = event.model
        else:
            model = getattr(event.msg_data if isinstance(event, MessageSentEvent) else event, "model", None)
            if not isinstance(model, Model) or isinstance(event, RootAddedEvent):
                return False
        if not self._is_known(model):
            return True
        if model in self._attached and model not in self.shared(event.document):
            has_been_there = event.document.models.seen(model.id)
            return not (has_been_there and is_yet_to_leave(event.document, model))
        if model.document is event.document or isinstance(event, RootRemovedEvent):
            return False
        may_be_there = is_letting_go(event.document) and model not in self._removed
        return not (may_be_there and is_yet_to_leave(event.document, model))

    def has_another(self, model: object) -> bool:
        """Say whether the server has brought in another model in the place of one, which is in no document any more.

        Args:
            model: The model, or anything else.
        """
        if not isinstance(model, Model) or model.document is not None:
            return False
        return self._known.get(str(model.id), model) is not model

    def introduce_event(
        self, event: DocumentPatchedEvent, replaced: Callable[[DocumentPatchedEvent], Before | None]
    ) -> None:
        """Make sure of the ids of the models that a change brings into its document, before it is sent.

        Args:
            event: The change.
            replaced: Gives the value that a change has replaced.

        Raises:
            DuplicateModelId: Two models have the same id, and the program chose it.
        """
        match event:
            case RootAddedEvent(model=model):
                brought, before = reachable(model, self._settled(event.document)), None
            case ModelChangedEvent(new=value) if type(value) not in PLAIN:
                brought, before = reachable(value, self._settled(event.document)), replaced(event)
            case _:
                return
        self._attached.difference_update(brought)
        self._introduce(event.document, brought, before=before)

    def _introduce(
        self, document: Document, models: Iterable[Model], present: Iterable[Model] = (), before: Before | None = None
    ) -> None:
        newcomers = {model for model in models if not self._is_known(model)}
        if not newcomers:
            return
        self._give_ids(document, newcomers)
        taken: dict[str, Model] = {}
        for model in newcomers:
            other = taken.setdefault(str(model.id), model)
            known = self._known.get(str(model.id))
            if other is model and known is not None:
                # The server reads a change with the models that it has, also with those that the change takes out.
                present = present or reachable([document.roots, None if before is None else before.value])
                other = known if known in present else model
            if other is not model:
                raise DuplicateModelId(
                    f"{model!r} and {other!r} both have the id {model.id!r}, and the server would take one for the "
                    "other. Give each model an id of its own, or unset BOKEH_SIMPLE_IDS. Is one of them from before a "
                    "pull? Take the one that is in the document now."
                )
        self._known.update({str(model.id): model for model in newcomers})
        self._untold.update(newcomers)  # what Bokeh takes for new, the change of another thread may have it forget

    def _settled(self, document: Document) -> set[Model]:
        """Give the models whose own changes bring in what is new in them, and do so by themselves."""
        return {model for model in self.shared(document) if self._is_known(model)}

    def _new_models(self, document: Document) -> set[Model]:
        """Give the models that changes made here have brought into a document and that have not been sent since."""
        new = set(document.models).difference(document.models.synced_references)
        return {model for model in new if not self._is_arriving(model)}

    def _is_known(self, model: Model) -> bool:
        return self._known.get(str(model.id)) is model or self._is_arriving(model)

    def _is_arriving(self, model: Model) -> bool:
        return model.id in self._arriving and model.id not in self._taken_out


def reachable(value: Any, without: AbstractSet[Model] = frozenset()) -> set[Model]:
    """Find all models in a value, and in them; Bokeh's own functions miss the second of two that have the same id.

    Args:
        value: A value of a property, or several.
        without: Models that are left out, with what is in them alone: to look into all of a plot takes a while.
    """
    found: set[Model] = set()
    waiting: list[Model] = []
    visit_value_and_its_immediate_references(value, waiting.append)
    while waiting:
        model = waiting.pop()
        if model not in found and model not in without:
            found.add(model)
            visit_immediate_value_references(model, waiting.append)
    return found


def _is_inside(event: DocumentChangedEvent, models: AbstractSet[Model]) -> bool:
    return not isinstance(event, RootAddedEvent | RootRemovedEvent) and getattr(event, "model", None) in models


def is_generated(identity: str) -> bool:
    """Say whether no two models of one process can have an id, because it was not chosen by a program.

    Args:
        identity: The id.
    """
    return bool(_COUNTED.fullmatch(identity) or _UNIQUE.fullmatch(identity))


def defined_ids(content: Any) -> frozenset[str]:
    """Find the ids of the models that wire content writes out whole. Columns of data hold none, and are passed over.

    Args:
        content: Decoded wire content, a document or events.

    Returns:
        The ids.
    """
    found: set[str] = set()
    stack: list[Any] = [content]
    # Decoded JSON has exactly these types, and their names are the quickest test: every patch comes through here.
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack += [item for item in node if type(item) is dict or type(item) is list]
            continue
        kind = node.get("type")
        if kind == "object" and type(node.get("id")) is str:
            found.add(node["id"])
        if kind != "ndarray" and node.get("kind") not in COLUMN_EVENTS:
            stack += [item for item in node.values() if type(item) is dict or type(item) is list]
    return frozenset(found)
