"""One server session and its clients, whose frames are delivered when the test says so, and what has to hold of them.

Nothing here knows how the sessions work inside: it drives their public face, and looks at documents and errors.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakSet

from bokeh import __version__
from bokeh.document import Document
from bokeh.document.events import (
    ColumnDataChangedEvent,
    ColumnsStreamedEvent,
    ModelChangedEvent,
    RootAddedEvent,
    RootRemovedEvent,
    TitleChangedEvent,
)
from bokeh.events import ButtonClick
from bokeh.model import Model
from bokeh.models import Column
from bokeh.models.widgets import Button, Div, Slider

from bokehwire import AsyncClientSession, PatchRejected, UsageError
from bokehwire.session.requests import Request
from bokehwire.session.sync import SyncEngine

from ..session.faces import Contents, contents, differences
from .edits import Edit, Side, Written, models_of, seed
from .link import Link, MemoryTransport
from .loop import SteppedLoop
from .peer import Peer

__all__ = ["Client", "World"]

# What a handler can be told of, of the models that edits are about.
_OBSERVED = ("children", "data", "icon", "icon_name", "label", "name", "source", "styles", "tags", "text", "value")
_WRITTEN_ONCE = ("text", "label", "icon_name")
# Bokeh 3.9 forgets what it has to tell the other clients when the message of a client fails (specs/sync.md).
WITHHOLDS = __version__.startswith("3.9.")


class Client:
    """One of our sessions, and what became of its calls."""

    def __init__(self, world: World, label: str, *, reacts: bool) -> None:
        self.side = Side(label)
        self.link = Link()
        self.errors: list[Exception] = []
        self.session = AsyncClientSession(
            "machine", "ws://memory/ws", transport=MemoryTransport(self._accept), token="token", on_error=self._note
        )
        self.session._engine.push = self._write_push  # type: ignore[method-assign]  # another call may have to end first
        self.known: dict[str, Model] = {}
        self.heard: Counter[str] = Counter()
        self.called: Counter[tuple[str, str]] = Counter()  # with which values handlers are called
        self.has_pushed = False
        self.may_overwrite_itself = False  # with what a pull had brought before its own changes were applied
        self.has_pulled = False  # again
        self.has_waited = False  # with telling the session of a change, until something else was done
        self._is_inside = False  # a change of which the session has not been told
        self._world = world
        self._reacts = reacts
        self._pulls = 0  # under way
        self._calls: list[asyncio.Task[Any]] = []

    @property
    def document(self) -> Document:
        assert self.session.document is not None
        return self.session.document

    @property
    def is_busy(self) -> bool:
        return any(not call.done() for call in self._calls)

    @property
    def named(self) -> Counter[str]:
        """The changes that errors have named as rejected."""
        return Counter(change for error in self.rejections for change in error.changes)

    @property
    def named_for_certain(self) -> Counter[str]:
        """Those of them of which an error does not leave open whether the server has applied them."""
        certain = [error for error in self.rejections if "cannot be told" not in str(error)]
        return Counter(change for error in certain for change in error.changes)

    @property
    def rejections(self) -> list[PatchRejected]:
        return [error for error in self.errors if isinstance(error, PatchRejected)]

    def call(self, operation: Coroutine[Any, Any, Any]) -> None:
        """Start a call of the session; it goes on when the loop runs."""

        async def run() -> None:
            try:
                await operation
            except Exception as error:
                self._note(error)

        self._calls = [call for call in self._calls if not call.done()]
        self._calls.append(self._world.loop.create_task(run()))

    def watch(self) -> None:
        """Follow the models there are now, and look whether any has become another object."""
        if self._pulls or self._is_inside or self.document.callbacks.hold_value is not None:
            return  # new objects are expected; what is held, or not told yet, has not been given ids of its own
        present = {str(model.id): model for model in self.document.models}
        for identity, model in present.items():
            known = self.known.get(identity)
            assert known in (None, model) or identity in self._world.gone_once, f"{model} is another object now"
            if self._reacts and known is not model and isinstance(model, Div):
                self._react_to(model)
        self.known = present

    def listen(self) -> None:
        """Count how often handlers are called with each value that is written once."""

        def changed(event: Any) -> None:
            match event:
                case ModelChangedEvent() if event.attr in _WRITTEN_ONCE:
                    self.called[event.attr, str(event.new)] += 1
                case TitleChangedEvent():
                    self.called["title", event.title] += 1

        self.document.on_change(changed)

    def hear(self, data: dict[str, str]) -> None:
        """Take note of a message."""
        self.heard[data["text"]] += 1

    def pull(self) -> None:
        """Pull again, which puts other objects into the document."""

        async def pull() -> None:
            try:
                await self.session.pull()
            finally:
                self._pulls -= 1
                self.known.clear()

        self._pulls += 1
        self.has_pulled |= self.session.document is not None
        self.call(pull())

    def push(self) -> None:
        """Overwrite the server's document with the client's own."""

        self.has_pushed = True
        self.may_overwrite_itself = self.has_pulled
        self.call(self.session.push(self.document))

    def _write_push(self, document: Document) -> Request:
        # What the document has by now is part of the push, whatever becomes of the changes that made it so.
        self.side.written[:] = [written for written in self.side.written if written.what == "note"]
        return SyncEngine.push(self.session._engine, document)

    def _react_to(self, div: Div) -> None:
        def answer(attr: str, old: str, new: str) -> None:
            if not new.startswith(self.side.label):
                div.name = f"{self.side.label} saw {new}"

        div.on_change("text", answer)

    def edit(self, edit: Edit) -> None:
        """Have the client's program change its document."""
        written = len(self.side.written)
        edit.apply(self.document, self.side)
        if self.document.callbacks.hold_value is not None:
            del self.side.written[written:]  # may be combined with later ones

    @contextmanager
    def interposing(self, meanwhile: Callable[[], None]) -> Iterator[None]:
        """Do something once a property is set, and before the session is told of it: a handler, or another thread."""
        waiting = [meanwhile]
        self.has_waited = True

        def handler(attr: str, old: object, new: object) -> None:
            if waiting:
                before, self._is_inside = self._is_inside, True
                waiting.pop()()
                self._is_inside = before

        observed = [(model, attr) for model in self.document.models for attr in _OBSERVED if attr in model.properties()]
        for model, attr in observed:
            model.on_change(attr, handler)
        try:
            yield
        finally:
            for model, attr in observed:
                model.remove_on_change(attr, handler)

    def _accept(self, link: Link) -> None:
        self.link = link
        self._world.peer.accept(link)

    def _note(self, error: Exception) -> None:
        if not any(error is known for known in self.errors):
            self.errors.append(error)


class World:
    """A server with one session, and its clients.

    Args:
        clients: How many.
        figure: Whether the document has a figure.
        reactions: Whether the server's callbacks change something in reaction to a change.
        answers: Whether the clients' handlers do.
    """

    def __init__(
        self, clients: int = 1, *, figure: bool = False, reactions: bool = False, answers: bool = False
    ) -> None:
        self.loop = SteppedLoop()
        self.side = Side("s")
        self.gone_once: set[str] = set()
        self._there: set[str] = set()
        self.poisoned: dict[Link | None, Counter[str]] = {}
        self.applied: Counter[tuple[str, str]] = Counter()
        self._server_combined = False
        self._told_again: set[tuple[str, str]] = set()
        self.clicks = 0
        self._writers: defaultdict[tuple[str | None, str], set[str]] = defaultdict(set)
        self._observed: WeakSet[Model] = WeakSet()  # the models at whose changes the server's callbacks do something
        self._server_held = False
        self._reactions = reactions
        document = self._served = Document()
        seed(document, self.side, figure=figure)
        self._install_callbacks(document)
        self.peer = Peer(self.loop, document)
        self.clients = [Client(self, label, reacts=answers) for label in "abc"[:clients]]
        for client in self.clients:
            client.pull()
            self.drain()
            client.watch()
            client.document.on_message("note", client.hear)
            client.listen()

    def edit_here(self, number: int, edit: Edit) -> None:
        """Have a client's program change its document."""
        self._client(number).edit(self._possible(edit))
        self._look()

    def edit_here_while(self, number: int, edit: Edit, meanwhile: Callable[[], None]) -> None:
        """Have a client's program change its document, and something else happen before the session is told of it."""
        client = self._client(number)
        before = client.side.written.copy()
        try:
            with client.interposing(meanwhile):
                self.edit_here(number, edit)
        except RuntimeError as error:
            # Bokeh's containers cannot stand that they are replaced by a handler that is told of a change in them.
            if "changed size during iteration" not in str(error):
                raise
        # Rows may be told of together with what was done to them meanwhile, or be replaced by it.
        client.side.written[:] = [item for item in client.side.written if item in before or item.what != "x"]
        # What has replaced a value before that was told is sent before it, and once more behind it.
        self._told_again.update((item.what, item.value) for item in client.side.written if item not in before)

    def edit_there(self, edit: Edit) -> None:
        """Have a callback of the server's application change its document."""
        possible = self._possible(edit)
        self.peer.edit(lambda document: possible.apply(document, self.side))
        self._look()

    def _possible(self, edit: Edit) -> Edit:
        """Leave out what no client can bring across to the others: rows for empty arrays (specs/sync.md)."""
        is_empty = edit.kind == "array_data" and edit.what == 0 and len(self.clients) > 1
        return replace(edit, what=1) if is_empty else edit

    def hold(self, number: int | None, policy: Any) -> None:
        """Hold the changes of a client's document, or of the server's."""
        if number is None:
            self._server_held = True
            self._server_combined |= policy == "combine"
            self.peer.edit(lambda document: document.hold(policy))
        elif (document := self._client(number).document).callbacks.hold_value is None:
            document.hold(policy)

    def unhold(self, number: int | None) -> None:
        """Let go of what was held."""
        if number is None:
            self.peer.edit(lambda document: document.unhold())
        else:
            self._client(number).document.unhold()

    def pull(self, number: int) -> None:
        self._client(number).pull()

    def push(self, number: int) -> None:
        self._client(number).push()

    def round_trip(self, number: int) -> None:
        client = self._client(number)
        client.call(client.session.force_roundtrip())

    def turn(self) -> None:
        """Let the loop run once through what is ready."""
        self.loop.turn()
        self._look()

    def settle(self) -> None:
        """Let the loop run until nothing is ready."""
        self.loop.settle()
        self._look()

    def deliver_here(self, number: int, count: int) -> None:
        """Let frames arrive at a client, which looks at them when the loop runs."""
        self._client(number).link.deliver(count)

    def deliver_there(self, number: int, count: int) -> None:
        """Let frames arrive at the server, which acts on each message at once."""
        self.peer.receive(self._client(number).link, count)
        self._look()

    def drain(self) -> None:
        """Deliver everything, until nobody has anything to say any more."""
        self.loop.settle()
        while any(client.link.to_server or client.link.to_client for client in self.clients):
            for client in self.clients:
                self.peer.receive(client.link, len(client.link.to_server))
                client.link.deliver(len(client.link.to_client))
                self.loop.settle()
                if client.session.document is not None:
                    self._look()

    def quiet(self) -> None:
        """Come to rest, and check everything that has to hold then."""
        self.unhold(None)
        for number, client in enumerate(self.clients):
            self.unhold(number)
            client.call(client.session.force_roundtrip())
        self.drain()
        for client in self.clients:
            others = [other for other in self.clients if other is not client]
            withholds = WITHHOLDS and any(self.peer.refusals(other.link) for other in others)
            if withholds or self._server_combined:  # with which nobody can end equal (specs/sync.md)
                client.pull()
        self.drain()
        theirs = contents(self.peer.document, defaults=False)
        for client in self.clients:
            assert not client.is_busy, "a call is waiting although nothing is under way"
            self._check_errors(client)
            self._check_equal(client, theirs)
            self._check_heard(client)
            self._check_called(client)
        twice = {
            change: count
            for change, count in self.applied.items()
            if count > 1 + (change in self._told_again) and not self._may_recur(change[0])
        }
        assert not twice, f"applied more than once on the server: {twice}"

    def _may_recur(self, what: str) -> bool:
        """Whether a push may have overwritten what was applied, so that it is sent again, or have brought a title."""
        return what != "note" and any(client.has_pushed for client in self.clients)

    def close(self) -> None:
        """End every session, and check that nothing is left over."""
        try:
            for client in self.clients:
                client.call(client.session.close())
            self.drain()
            assert not any(client.is_busy for client in self.clients), "a close is waiting"
            assert not asyncio.all_tasks(self.loop), "tasks are left behind"
        finally:
            self.loop.close()

    def _client(self, number: int) -> Client:
        return self.clients[number % len(self.clients)]

    def _look(self) -> None:
        """Take note of models that have gone anywhere, and of whether those that stayed are the same objects."""
        self._look_there()
        there = self._there
        for client in self.clients:
            if client.session.document is not None:
                here = {str(model.id) for model in client.document.models}
                self.gone_once.update(client.known.keys() - here, client.known.keys() - there)
        for client in self.clients:
            if client.session.document is not None:
                client.watch()

    def _look_there(self) -> None:
        there = {str(model.id) for model in self._served.models}
        self.gone_once.update(self._there - there)
        self._there = there

    def _check_heard(self, client: Client) -> None:
        """Check that every message of the server has arrived once; those of clients it passes on to nobody."""
        sent = Counter(written.value for written in self.side.written if written.what == "note")
        assert client.heard == sent, f"{client.heard} heard of {sent}"

    def _check_called(self, client: Client) -> None:
        """Check that no handler was called twice with a change of somebody else's, where nothing was taken back."""
        if not any(other.errors or other.has_pushed or other.has_pulled for other in self.clients):
            twice = {
                change: count
                for change, count in client.called.items()
                if count > 1 + (change in self._told_again)
                and not change[1].removeprefix("poison ").startswith(client.side.label)
            }
            assert not twice, f"handlers were called more than once: {twice}"

    def _check_errors(self, client: Client) -> None:
        unapplied = [written for written in client.side.written if not self.applied[written.what, written.value]]
        usage = [error for error in client.errors if isinstance(error, UsageError)]
        unsent = [error for error in usage if "was not sent" in str(error)]
        if client.has_waited or any(other.has_pushed for other in self.clients):  # and the model has been replaced
            overwritten = [error for error in usage if "was overwritten by what the server has" in str(error)]
            applied = {written.name for written in client.side.written if self.applied[written.what, written.value]}
            names = {str(error).partition(" was overwritten")[0] for error in overwritten}
            assert client.has_pushed or not names & applied - {written.name for written in unapplied}, (
                f"{names} were applied, and yet named"
            )
            unsent += overwritten
        others = [error for error in client.errors if not isinstance(error, PatchRejected) and error not in unsent]
        if others:
            raise AssertionError(f"a session raised {others[0]!r}") from others[0]
        poisoned = self.poisoned.get(client.link, Counter())
        # Of two changes in one message at which the server's callbacks raise, only the second is known to be one.
        assert not poisoned or client.named & poisoned, f"{client.named} named, {poisoned} rejected"
        if self._server_held or self.peer.hides_removals_from(client.link):
            return  # when it lets go, it combines changes; and what refers to a model it has hidden it drops
        # Whether the server took a model away before or after it applied a change of it, nobody can tell.
        unclear = Counter(
            written.name
            for written in unapplied
            if self._has_gone(written.model) or self._is_contested(written, client)
        )
        missing = Counter(written.name for written in unapplied) - unclear
        assert not missing - client.named, f"{missing - client.named} were lost, and only {client.named} named"
        about = {written.name for written in client.side.written}
        named = Counter({name: count for name, count in client.named_for_certain.items() if name in about})
        if client.may_overwrite_itself or any(other.has_pushed for other in self.clients if other is not client):
            return  # what was applied may be overwritten again, and then it is lost
        strange = named - missing - unclear - poisoned
        assert not strange, f"{strange} were applied, and yet named"

    def _is_contested(self, written: Written, client: Client) -> bool:
        """Whether somebody else has replaced the same: what an OK was worth cannot be seen then, nor does it matter."""
        identity = None if written.model is None else str(written.model.id)
        return bool(self._writers[identity, written.what] - {client.side.label})

    def _has_gone(self, model: Model | None) -> bool:
        return model is not None and (model.document is None or str(model.id) in self.gone_once)

    def _check_equal(self, client: Client, theirs: Contents) -> None:
        if theirs != contents(client.document, defaults=False):
            theirs, ours = contents(self.peer.document), contents(client.document)
            ours = self._without_poison(client, theirs, ours)
            assert theirs == ours, differences(theirs, ours)

    def _without_poison(self, client: Client, theirs: Contents, ours: Contents) -> Contents:
        """Leave out the texts at which the server's callback raised: the server has them and tells nobody else.

        It sets the property, runs the callback, and passes the change on only after that (specs/sync.md).
        """
        title, roots, models = ours
        for identity, (kind, there) in theirs[2].items():
            text = str(there.get("text", ""))
            poison = kind == "Div" and text.startswith("poison ")
            if poison and not text.startswith(f"poison {client.side.label}") and identity in models:
                models[identity][1]["text"] = there["text"]
        return title, roots, models

    def _install_callbacks(self, document: Document) -> None:
        document.on_change(self._applied)
        document.on_message("note", self._received)
        self._observe(document)

    def _observe(self, document: Document) -> None:
        for model in models_of(document):
            if model in self._observed:
                continue
            self._observed.add(model)
            match model:
                case Div():
                    self._install_on_div(model)
                case Slider():
                    model.on_change("value", partial(self._clamp, model))
                case Button():
                    model.on_event(ButtonClick, partial(self._clicked, model))
                    document.callbacks.subscribe(
                        ButtonClick.event_name, model
                    )  # Bokeh 3.9 only does so when it comes in

    def _received(self, data: dict[str, str]) -> None:
        self.applied["note", data["text"]] += 1

    def _applied(self, event: Any) -> None:
        self._look_there()  # what goes with one message may come back with the next
        match event:
            case ModelChangedEvent() if event.attr in _WRITTEN_ONCE:
                self._writers[str(event.model.id), event.attr].add(event.new.removeprefix("poison ")[0])
                self.applied[event.attr, str(event.new)] += 1
            case TitleChangedEvent():
                self._writers[None, "title"].add(event.title[0])
                self.applied["title", event.title] += 1
            case ColumnsStreamedEvent():
                self.applied.update(("x", str(value)) for value in event.data["x"])
            case ColumnDataChangedEvent() | ModelChangedEvent(attr="data"):
                columns: Any = event.model  # which may have rows that were never sent as such
                self.applied |= Counter({("x", str(value)): 1 for value in columns.data.get("x", ())})
            case RootRemovedEvent():
                self.gone_once.update(str(model.id) for model in event.model.references())  # as in a push
            case RootAddedEvent():
                self._observe(event.document)  # of a push, every model is another object

    def _install_on_div(self, div: Div) -> None:
        def changed(attr: str, old: str, new: str) -> None:
            if new.startswith("poison "):
                self._poison(div, new)
            if self._reactions and not new.startswith("s"):
                self._react(div, new)

        div.on_change("text", changed)

    def _poison(self, div: Div, text: str) -> None:
        self._writers[str(div.id), "text"].add(text.removeprefix("poison ")[0])
        named = self.poisoned.setdefault(self.peer.link_being_served(), Counter())
        named[f"Div(id={div.id!r}).text changed"] += 1
        raise ValueError("the application does not want this")

    def _react(self, div: Div, text: str) -> None:
        document = self.peer.document
        match len(text) + int(text[-1]) % 3:
            case 2:
                document.title = self.side.value()
            case 3:
                div.name = self.side.value()
            case 4 if len(self.clients) == 1 and document.callbacks.hold_value is None:  # F1 in test_regressions.py
                for box in document.roots:
                    if isinstance(box, Column):
                        box.children.append(self.side.make(Div, text=self.side.value()))
                        return

    def _clamp(self, slider: Slider, attr: str, old: float, value: float) -> None:
        # Bokeh tells all clients but the sender of the value that was set last before the one set first
        # (specs/sync.md); so this is about one client, and what it has sent.
        if self._reactions and value > 1 and len(self.clients) == 1 and self.peer.link_being_served():
            slider.value = 1

    def _clicked(self, button: Button, event: ButtonClick) -> None:
        self.clicks += 1
        button.label = self.side.value()
