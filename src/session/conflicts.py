"""Both sides changing the same thing at once: which change from the server counts, and which nobody can tell.

The server applies what it receives in the order in which it receives it. So a change from the server that reached us
before we sent a replacement of the same property is overwritten there by ours, and stale here. One that arrives between
our change and the server's answer to it may have been made before or after ours was applied; then the server is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from enum import Enum
from functools import wraps
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from .changes import ROOTS, replaced_on_the_wire
from .requests import Before, Group, Key, Request
from .wire_objects import decoded

__all__ = ["Conflicts", "Doubts", "Verdict"]


P = ParamSpec("P")
T = TypeVar("T")


def _locked(method: Callable[Concatenate[Conflicts, P], T]) -> Callable[Concatenate[Conflicts, P], T]:
    @wraps(method)
    def locked(self: Conflicts, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked


class Verdict(Enum):
    """What is to be done with a change from the server."""

    APPLY = "apply it"
    STALE = "pass it over: a change of ours overwrites it on the server"
    DOUBT = "pass it over, and ask the server for its value once it has answered our changes"


class Doubts(NamedTuple):
    """What the server is asked for.

    Attributes:
        keys: The properties.
        everything: Whether all others are in doubt too.
        asked_after: How many changes had been made here when the server was asked; None if that does not matter.
    """

    keys: frozenset[Key]
    everything: bool
    asked_after: int | None = None

    def __bool__(self) -> bool:
        return self.everything or bool(self.keys)


class Conflicts:
    """The changes made here that the server has not answered, and what is in doubt because of them.

    Any thread may call: one may change the document while another handles what arrives.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._unanswered: dict[Key, dict[Request, int]] = {}  # with how many were made up to each
        self._made = 0
        self._threads: dict[Key, int] = {}  # that have made the last of them
        self._bringing_back: set[Request] = set()  # those that set every property of models that the server knew
        self._contested: set[Key] = set()  # by a change of the server that came after one of ours was made
        self._doubts: set[Key] = set()
        self._postponed: set[Key] = set()  # in doubt as soon as a change is sent that is made already
        self._crossed: set[Key] = set()  # those of them that the server has changed
        self._collecting: list[set[Key | None]] = []  # the keys of what is answered
        self._asked: set[Key] = set()
        self._everything_doubted = False
        self._everything_asked = 0
        self._comparing = False

    @property
    def is_idle(self) -> bool:
        """Whether every change from the server is to be applied."""
        return not (
            self._unanswered or self._doubts or self._asked or self._everything_doubted or self._everything_asked
        )

    @property
    def made(self) -> int:
        """How many changes have been made here."""
        return self._made

    @property
    def has_doubts(self) -> bool:
        """Whether something is in doubt that the server has not been asked for yet."""
        return bool(self._doubts) or self._everything_doubted

    @property
    def has_unanswered(self) -> bool:
        """Whether a change made here is under way."""
        return bool(self._unanswered)

    @_locked
    def is_answered_up_to(self, made: int) -> bool:
        """Say whether none of the changes that had been made here up to a certain moment is under way.

        Args:
            made: How many had been made at that moment (`made`).
        """
        return all(number > made for requests in self._unanswered.values() for number in requests.values())

    def changed(self, request: Request) -> None:
        """Take up a change made here.

        Args:
            request: The request that carries it.
        """
        with self._lock:
            change = request.change
            key, replaces = (None, False) if change is None else (change.key, change.replaces)
            self._made += 1
            if key is not None:
                self._unanswered.setdefault(key, {})[request] = self._made
                if replaces:
                    self._doubts.discard(key)  # whatever the server has, this will take its place
                thread = threading.get_ident()
                if self._threads.setdefault(key, thread) != thread:
                    # The other thread may have made its change later, and told of it before.
                    self._doubts.add(key)
                    self._threads[key] = thread
            if key in self._postponed:
                self._postponed.discard(key)
                if not replaces:
                    self._doubts.add(key)
            if key in self._crossed:
                self._crossed.discard(key)
                self._contested.add(key)
            if request.returns:
                self._bringing_back.add(request)

    def answered(self, request: Request) -> None:
        """Let go of a change that the server has applied, or rejected, or will never see.

        Args:
            request: The request that carried it.
        """
        key = request.key
        with self._lock:
            for answered in self._collecting:
                answered.add(key)
            self._bringing_back.discard(request)
            if key is None:
                return
            self._contested.discard(key)
            requests = self._unanswered.get(key)
            if requests is not None:
                requests.pop(request, None)
                if not requests:
                    del self._unanswered[key]
                    self._threads.pop(key, None)

    @_locked
    def unanswered(self, key: Key) -> Group:
        """Give the changes of a property that the server has not answered, in order."""
        return tuple(self._unanswered.get(key, ()))

    def value_under_way(self, key: Key | None) -> Before | None:
        """Give what the last unanswered change of a property makes of it, None where that is not told by itself.

        Args:
            key: The property.
        """
        ours = self.unanswered(key) if key is not None else ()
        return replaced_on_the_wire(decoded(ours[-1].content), ours[-1].buffers) if ours else None

    @property
    def coming_back(self) -> frozenset[str]:
        """The ids of the models that changes under way put back, with all their properties."""
        with self._lock:
            return frozenset(identity for request in self._bringing_back for identity in request.returns)

    @_locked
    def all_unanswered(self) -> Group:
        """Give all changes that the server has not answered."""
        return tuple(request for requests in self._unanswered.values() for request in requests)

    @_locked
    def oldest_made_after(self) -> int | None:
        """Give how many changes of the server had been handled when the oldest change under way was made."""
        unanswered = (request.made_after for requests in self._unanswered.values() for request in requests)
        return min(unanswered, default=None)

    @_locked
    def preceded(self, key: Key | None, before: Before | None, number: int) -> None:
        """Take note of what the server has made of a property before a change of ours, which is not sent yet.

        Args:
            key: The property.
            before: The value.
            number: How many changes had arrived from the server with this one.
        """
        for request in self._unanswered.get(key, ()) if key is not None else ():
            if request.sent_after is None or request.sent_after >= number:
                request.before = before
            break

    def is_contested(self, key: Key) -> bool:
        """Say whether the server has changed a property at the same time as we have, as far as is known."""
        return key in self._contested

    @_locked
    def judge(self, key: Key | None, number: int) -> Verdict:
        """Say what is to be done with a change from the server.

        Args:
            key: What it changes; None for what cannot conflict.
            number: How many changes had arrived from the server with it.

        Returns:
            The verdict. A doubt is remembered.
        """
        if key is None:
            return Verdict.APPLY
        ours = self._unanswered.get(key)
        if not ours and any(key[0] in request.returns for request in self._bringing_back):
            self._doubts.add(key)
        if not ours:
            doubted = key in self._doubts or key in self._asked or self._everything_doubted or self._everything_asked
            return Verdict.DOUBT if doubted else Verdict.APPLY
        latest = next(reversed(ours))
        if latest.replaces and (latest.sent_after is None or latest.sent_after >= number):
            oldest = next(iter(ours)).sent_after
            if oldest is not None and oldest < number and not self._comparing:
                self._contested.add(key)
            return Verdict.STALE
        if not self._comparing:
            self._doubts.add(key)
            self._contested.add(key)
        return Verdict.DOUBT

    @_locked
    def doubt(self, key: Key | None) -> None:
        """Put a property in doubt, because it is not known what the server has.

        Args:
            key: What the change concerned, None for what cannot be asked for.
        """
        if key is not None:
            self._doubts.add(key)

    @_locked
    def doubt_changed_since(self, keys: Iterable[Key], made: int) -> None:
        """Put those of some properties in doubt that were changed here since a certain change.

        Args:
            keys: The properties.
            made: How many changes had been made here.
        """
        for key in keys:
            ours = self._unanswered.get(key)
            if ours and next(reversed(ours.values())) > made:
                self._doubts.add(key)

    @_locked
    def doubt_everything(self) -> None:
        """Put the whole document in doubt, because changes of the server may never have reached us."""
        self._everything_doubted = True

    def begin_comparing(self) -> None:
        """Put everything in doubt until the documents have been compared, because the connection was lost.

        What the server changes meanwhile contests nothing: the comparison will show it, and it may be what was under
        way, which the server has taken late and tells us of as of anybody's change.
        """
        self._everything_doubted = self._comparing = True

    def end_comparing(self) -> None:
        """Note that the documents have been compared; what is in doubt stays so until the server has been asked."""
        self._comparing = False

    @_locked
    def take_doubts(self) -> Doubts:
        """Give out what is in doubt and can be asked for now.

        The server's answer has everything that is sent before the question. So it does not matter what is under way,
        and a program that changes something all the time is told all the same; but of what is replaced here, the
        replacement is waited for, and of the roots, every change.

        That is nothing while the documents wait to be compared, which answers everything.
        """
        if self._comparing:
            return Doubts(frozenset(), everything=False)
        ready = frozenset(key for key in self._doubts if self._can_ask(key))
        everything, self._everything_doubted = self._everything_doubted, False
        self._doubts -= ready
        self._asked |= ready
        self._everything_asked += everything
        return Doubts(ready, everything, self._made)

    def _can_ask(self, key: Key) -> bool:
        ours = self._unanswered.get(key, ())
        return not ours or (key != ROOTS and not any(request.replaces for request in ours))

    @_locked
    def answered_doubts(self, doubts: Doubts) -> None:
        """Note that the server has answered the question, whatever it said: what it changes from now on counts again.

        Args:
            doubts: What `take_doubts` gave out.
        """
        self._asked -= doubts.keys
        if doubts.everything:
            self._everything_asked -= 1

    @_locked
    def ask_again(self) -> None:
        """Note that it is not known whether the server is asked for what is in doubt, and for what."""
        self._everything_doubted = True
        self._asked.clear()
        self._everything_asked = 0

    @contextmanager
    def collecting(self) -> Iterator[set[Key | None]]:
        """Collect the keys of changes that are answered meanwhile, as where a handler makes a call.

        Yields:
            The keys so far.
        """
        answered: set[Key | None] = set()
        self._collecting.append(answered)
        try:
            yield answered
        finally:
            self._collecting = [other for other in self._collecting if other is not answered]

    @_locked
    def postpone(self, keys: Iterable[Key]) -> None:
        """Put properties that the server has changed in doubt, once a change of them is sent that is made already.

        Args:
            keys: The properties.
        """
        keys = {*keys}
        self._postponed |= keys
        self._crossed |= keys

    @property
    def has_postponed(self) -> bool:
        """Whether any property waits for a change to be sent, to be in doubt then."""
        return bool(self._postponed)

    @_locked
    def release(self) -> None:
        """Put in doubt what waits for changes to be sent, since there are none: as when a handler has raised."""
        self._doubts |= self._postponed
        self._postponed.clear()
        self._crossed.clear()

    @_locked
    def resolve(self, doubts: Doubts, present: frozenset[Key], untold: AbstractSet[Key]) -> frozenset[Key]:
        """Say for which keys the server's values count, now that they have arrived.

        Args:
            doubts: What `take_doubts` gave out.
            present: All keys that the document and the server's have; used where everything was in doubt.
            untold: The keys of changes that were made here and not told of yet. They are in doubt once these are sent.

        Returns:
            The keys to set. A key that was replaced here since is not among them: our value is on its way, unless the
            server will drop it. To the value of one that was added to since, all its unanswered changes have to be
            added once more.
        """
        keys = doubts.keys | present if doubts.everything else doubts.keys
        coming_back = self.coming_back
        settled: set[Key] = set()
        self._postponed |= keys & untold
        for key in keys - untold:
            ours = self._unanswered.get(key)
            if not ours and key[0] in coming_back:
                self._doubts.add(key)  # a change under way sets every property of it
                continue
            if not ours or (key != ROOTS and all(request.is_doomed for request in ours)):
                settled.add(key)
                continue
            since = doubts.asked_after is None or next(reversed(ours.values())) > doubts.asked_after
            if since and next(reversed(ours)).replaces:
                continue
            if self._are_added_since(key, doubts.asked_after):
                settled.add(key)
            else:
                self._doubts.add(key)
        return frozenset(settled)

    def _are_added_since(self, key: Key, asked_after: int | None) -> bool:
        """Say whether our changes of a property all add to it, and the server had none of them when it was asked."""
        ours = self._unanswered[key]
        if asked_after is None or next(iter(ours.values())) <= asked_after:
            return False
        return key != ROOTS and not any(request.replaces for request in ours)

    @_locked
    def clear(self) -> None:
        """Forget everything: the connection has ended."""
        self._unanswered.clear()
        self._threads.clear()
        self._bringing_back.clear()
        self._contested.clear()
        self._doubts.clear()
        self._postponed.clear()
        self._crossed.clear()
        self._asked.clear()
        self._comparing = False
        self._everything_doubted = False
        self._everything_asked = 0
