"""Both sides changing the same thing at once: which change from the server counts, and which nobody can tell.

The server applies what it receives in the order in which it receives it. So a change from the server that reached us
before we sent a replacement of the same property is overwritten there by ours, and stale here. One that arrives between
our change and the server's answer to it may have been made before or after ours was applied; then the server is asked.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .requests import Before, Group, Key, Request

__all__ = ["Conflicts", "Doubts", "Verdict"]


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
    """

    keys: frozenset[Key]
    everything: bool

    def __bool__(self) -> bool:
        return self.everything or bool(self.keys)


class Conflicts:
    """The changes made here that the server has not answered, and what is in doubt because of them."""

    def __init__(self) -> None:
        self._unanswered: dict[Key, dict[Request, None]] = {}
        self._bringing_back: set[Request] = set()  # those that set every property of models that the server knew
        self._contested: set[Key] = set()  # by a change of the server that came after one of ours was sent
        self._doubts: set[Key] = set()
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
    def has_doubts(self) -> bool:
        """Whether something is in doubt that the server has not been asked for yet."""
        return bool(self._doubts) or self._everything_doubted

    @property
    def has_unanswered(self) -> bool:
        """Whether a change made here is under way."""
        return bool(self._unanswered)

    def changed(self, request: Request) -> None:
        """Take up a change made here.

        Args:
            request: The request that carries it.
        """
        key = request.key
        if key is not None:
            self._unanswered.setdefault(key, {})[request] = None
        if request.returns:
            self._bringing_back.add(request)

    def answered(self, request: Request) -> None:
        """Let go of a change that the server has applied, or rejected, or will never see.

        Args:
            request: The request that carried it.
        """
        key = request.key
        self._bringing_back.discard(request)
        if key is not None:
            self._contested.discard(key)
        requests = self._unanswered.get(key) if key is not None else None
        if requests is not None and key is not None:
            requests.pop(request, None)
            if not requests:
                del self._unanswered[key]

    def unanswered(self, key: Key) -> Group:
        """Give the changes of a property that the server has not answered, in order."""
        return tuple(self._unanswered.get(key, ()))

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

    def doubt(self, key: Key | None) -> None:
        """Put a property in doubt, because it is not known what the server has.

        Args:
            key: What the change concerned, None for what cannot be asked for.
        """
        if key is not None:
            self._doubts.add(key)

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

    def take_doubts(self) -> Doubts:
        """Give out what is in doubt and can be asked for now, because none of our changes to it is under way.

        That is nothing while the documents wait to be compared, which answers everything.
        """
        if self._comparing:
            return Doubts(frozenset(), everything=False)
        ready = frozenset(key for key in self._doubts if key not in self._unanswered)
        everything = self._everything_doubted and not self._unanswered
        self._doubts -= ready
        self._asked |= ready
        if everything:
            self._everything_doubted = False
            self._everything_asked += 1
        return Doubts(ready, everything)

    def answered_doubts(self, doubts: Doubts) -> None:
        """Note that the server has answered the question, whatever it said: what it changes from now on counts again.

        Args:
            doubts: What `take_doubts` gave out.
        """
        self._asked -= doubts.keys
        if doubts.everything:
            self._everything_asked -= 1

    def resolve(self, doubts: Doubts, present: frozenset[Key]) -> frozenset[Key]:
        """Say for which keys the server's values count, now that they have arrived.

        Args:
            doubts: What `take_doubts` gave out.
            present: All keys that the document and the server's have; used where everything was in doubt.

        Returns:
            The keys to set. A key that was replaced here since is not among them: our value is on its way.
        """
        keys = doubts.keys | present if doubts.everything else doubts.keys
        contested = {key for key in keys if key in self._unanswered}
        self._doubts |= {key for key in contested if not next(reversed(self._unanswered[key])).replaces}
        return keys - contested

    def overwritten(self) -> None:
        """Put every unanswered change in doubt: a pull has overwritten it here, and the server applies it yet."""
        self._doubts |= self._unanswered.keys()

    def clear(self) -> None:
        """Forget everything: the connection has ended."""
        self._unanswered.clear()
        self._bringing_back.clear()
        self._contested.clear()
        self._doubts.clear()
        self._asked.clear()
        self._comparing = False
        self._everything_doubted = False
        self._everything_asked = 0
