"""What is done about changes once it is known which of them the server has applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..protocol import Error, Ok
from .conflicts import Conflicts
from .evidence import Evidence, applied
from .identity import Acquaintance, defined_ids
from .refusals import dropped, in_doubt, raised_after, undecided
from .requests import Group, Reply, Request
from .wire_objects import decoded

if TYPE_CHECKING:
    from bokeh.document import Document

__all__ = ["Judge"]


class _Refusal(NamedTuple):
    """Changes of one message that was refused, none of which seems to have been applied, and those not answered yet."""

    requests: Group
    reply: Error
    unanswered: set[Request]


class Judge:
    """Sends again what is missing on the server, and names what it has refused.

    Args:
        conflicts: Is told of the changes that are answered, and of what is in doubt.
        resume: Goes on with sending, with what has to be sent again, each group as one message, what was in doubt, and
            the number of the last loss of the connection that was handled.
        on_trouble: Told of every error.
        acquaintance: Is told of the models that the server does not know after all.

    Attributes:
        losses: The number of the last loss of the connection that was handled.
    """

    def __init__(
        self,
        conflicts: Conflicts,
        resume: Callable[[Sequence[Group], Group, int], None],
        on_trouble: Callable[[Exception], None],
        acquaintance: Acquaintance,
    ) -> None:
        self.losses = 0
        self._conflicts = conflicts
        self._resume = resume
        self._on_trouble = on_trouble
        self._acquaintance = acquaintance
        self._blamed: dict[Request, tuple[Request, Error]] = {}
        self._suspected: dict[Request, _Refusal] = {}

    def judge(self, requests: Group, reply: Reply, evidence: Evidence, found: tuple[int, int]) -> None:
        """Send again what was not applied through no fault of its own, and name what was refused.

        Args:
            requests: The changes of one message.
            reply: The server's answer to it.
            evidence: What its document tells.
            found: How many of them it has applied for certain, and how many at the most.
        """
        certain, most = found
        done, unsure, rest = requests[:most], requests[certain:most], requests[most:]
        troubles: list[Exception] = []
        gone: Group = ()
        if isinstance(reply, Error):
            self._clear_of_suspicion(requests)
        if not isinstance(reply, Error):
            unclear = evidence.unclear(unsure)
            if unclear:
                troubles.append(undecided(unclear, reply))
            gone = evidence.dangling(rest) or (rest if len(rest) == 1 else ())
            for request in gone:
                self.disown(request, evidence.document)
            missed = evidence.worth_naming(gone)
            if missed:
                troubles.append(dropped(missed))
        elif (certain := applied(requests, evidence, whole=False, repeating=True)[0]) < most:
            # The last one that was certainly applied may be the one at whose callbacks it failed.
            troubles.append(undecided(requests[max(certain - 1, 0) : most], reply))
        elif not rest:
            troubles.append(raised_after(done[-1], reply))
        elif done:
            # Either the last one that was applied has failed after all, or the next one has: its own answer tells.
            self._blamed[rest[0]] = (done[-1], reply)
        else:
            # One of them fails again when they are sent in parts; if none does, the server has not what it seems to.
            self._suspected.update(dict.fromkeys(rest, _Refusal(rest, reply, {*rest})))
        self._conflicts.doubt_everything()
        self._conclude_and_tell(requests, (*done, *gone), reply, *troubles, unsure=(*unsure, *gone))

    def judge_overwritten(self, requests: Group, reply: Reply) -> None:
        """Let go of changes that were refused, and that a push which has them has followed since.

        Which of them the server had applied before, its document does not tell any more.

        Args:
            requests: The changes of one message.
            reply: The server's answer to it.
        """
        self._conflicts.doubt_everything()
        self._conclude_and_tell(requests, requests, reply, undecided(requests, reply))

    def judge_lost(self, requests: Group, found: tuple[int, int]) -> None:
        """Send again what has not reached the server before the connection was lost, and name what may have.

        Args:
            requests: The changes of one message, which was not answered.
            found: How many of them it has applied for certain, and how many at the most.
        """
        certain, most = found
        troubles = [in_doubt(requests[certain:most])] if certain < most else []
        self._conclude_and_tell(requests, requests[:most], None, *troubles)

    def disown(self, request: Request, document: Document) -> None:
        """Take it that the server does not know the models that a change has written out which it has not applied.

        What was made since may refer to them, and be dropped with an OK as well.

        Args:
            request: The change.
            document: The document here.
        """
        identities = defined_ids(decoded(request.content))
        if identities:
            self._acquaintance.disown(document, identities)
            for other in self._conflicts.all_unanswered():
                other.made_after = -1

    def leave(self, requests: Group) -> None:
        """Go on without finding out what became of some changes, because their document is not followed any more.

        Args:
            requests: The changes that were in doubt when the connection was lost.
        """
        self._conclude_and_tell(requests, requests, None, *([in_doubt(requests)] if requests else []))

    def forsake(self, messages: Group) -> None:
        """Name what is no part of a document and may have been sent, since nothing will ever tell what became of it.

        Args:
            messages: What was in doubt when the connection was lost.
        """
        for request in messages:
            request.settle()
        self._on_trouble(in_doubt(messages))

    def _conclude_and_tell(
        self, requests: Group, done: Group, reply: Reply | None, *troubles: Exception, unsure: Group = ()
    ) -> None:
        try:
            self.conclude(requests, done, reply, unsure)
        finally:
            # Whoever is told may make a call, for which the sending must have gone on.
            for trouble in troubles:
                self._on_trouble(trouble)

    def conclude(self, requests: Group, done: Group, reply: Reply | None, unsure: Group = ()) -> None:
        """Settle some changes, and send the others again.

        Args:
            requests: All that were in doubt.
            done: Those of them which are not sent again.
            reply: The server's answer to them, None if there was none.
            unsure: Those that it has dropped, or may have: that tells nothing of others that were in doubt with them.
        """
        troubles: list[Exception] = []
        for request in done:
            self._conflicts.answered(request)
            troubles += self.settled(request, applied=None if request in unsure else True)
            request.settle(reply=reply)
        rest = tuple(request for request in requests if not request.done)
        some_are_done = len(rest) < len(requests)
        groups: tuple[Group, ...]
        if some_are_done and isinstance(reply, Ok):
            groups = (rest,) if rest else ()  # what the message was dropped for is not among them
        else:
            groups = _split(rest, after_some=some_are_done)
        self._resume(groups, requests, self.losses)
        for trouble in troubles:
            self._on_trouble(trouble)

    def settled(self, request: Request, *, applied: bool | None) -> list[Exception]:
        """Note the outcome of a request. One of two changes has failed where it is known that the second has not.

        Args:
            request: The request.
            applied: Whether the server has done what it asks, or refused it; None where it may have dropped it.

        Returns:
            What is to be told by it of the first one.
        """
        troubles: list[Exception] = []
        blamed = self._blamed.pop(request, None)
        if blamed is not None and applied is not False:
            first, reply = blamed
            troubles.append(raised_after(first, reply) if applied else undecided((first, request), reply))
        if applied is False:
            self._clear_of_suspicion((request,))
        refusal = self._suspected.pop(request, None)
        if refusal is not None:
            refusal.unanswered.discard(request)
            if not refusal.unanswered:
                troubles.append(undecided(refusal.requests, refusal.reply))
        return troubles

    def _clear_of_suspicion(self, failed: Group) -> None:
        """Let go of what was refused together with one of some changes, which has been refused once more."""
        found = {id(refusal) for request in failed if (refusal := self._suspected.get(request)) is not None}
        if found:
            self._suspected = {other: it for other, it in self._suspected.items() if id(it) not in found}

    def clear(self) -> None:
        """Forget everything: the connection has ended."""
        self._blamed.clear()
        self._suspected.clear()


def _split(rest: Group, *, after_some: bool) -> tuple[Group, ...]:
    """Divide what has to be sent again, so that what fails again is found."""
    if len(rest) < 2:
        return (rest,) if rest else ()
    if after_some:
        return rest[:1], rest[1:]
    middle = len(rest) // 2
    return rest[:middle], rest[middle:]
