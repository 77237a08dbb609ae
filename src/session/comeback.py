"""What a sync engine does from the loss of a connection until all goes on over another one.

The documents are compared first: only then is it known what became of the changes that were under way, and whether the
server still has the session.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..protocol import Error, PullDocReply
from .conflicts import Conflicts, Doubts
from .errors import ApplyError
from .evidence import Evidence, applied
from .holding import let_go
from .reconnecting import Reconnection
from .requests import Ask, Group, Reconnected, Reply, Request
from .rereading import Snapshot
from .wire_objects import readdressed

if TYPE_CHECKING:
    from bokeh.document import Document

    from .applying import Applier
    from .departures import Departures
    from .identity import Acquaintance
    from .judging import Judge
    from .recognition import Recognition
    from .recovery import Recovery

__all__ = ["Comeback"]

_EVERYTHING = Doubts(frozenset(), everything=True)


class Comeback:
    """The way back of one session.

    Args:
        recovery: What to do of the session's; None if a loss is final.
        post: Sends a request in its turn.
        resume: Goes on with sending.
        push: Makes the request that pushes a document.
        alone: Does something while no other thread's changes are sent, as while a push is written.
        was_overwritten: Says whether a pull has overwritten changes here that were under way.
        echoes: Has the pushes that are not answered; one that another push makes unnecessary is taken out.
        conflicts: Knows what is under way, and what is in doubt.
        departures: Is told that the server may have taken models out.
        acquaintance: Is told of a document that goes into a new session.
        recognition: Knows the session again.
        applier: Takes the server's values over.
        judge: Acts on what has become of the changes that were under way.

    Attributes:
        untold: The number of what the server has changed in an outage, until the documents are compared; None outside.
    """

    def __init__(
        self,
        recovery: Recovery | None,
        post: Callable[[Request], None],
        resume: Callable[[Sequence[Group], Group, int], None],
        push: Callable[[Document], Request],
        alone: Callable[[Callable[[], None]], None],
        was_overwritten: Callable[[], bool],
        echoes: dict[Request, Any],
        conflicts: Conflicts,
        departures: Departures,
        acquaintance: Acquaintance,
        recognition: Recognition,
        applier: Applier,
        judge: Judge,
    ) -> None:
        self._recovery = recovery
        self._post = post
        self._resume = resume
        self._push = push
        self._alone = alone
        self._was_overwritten = was_overwritten
        self._echoes = echoes
        self._conflicts = conflicts
        self._departures = departures
        self._acquaintance = acquaintance
        self._recognition = recognition
        self._applier = applier
        self._judge = judge
        self.untold: int | None = None
        self._comparison: Request | None = None  # of the documents
        self._unclear_reply: Reply | None = None  # to changes that were in doubt when the connection was lost
        self._is_taking_over = False  # after a comparison; a handler may make a call then
        self._overtaken: set[Request] = set()  # pushes that were written out before a comparison, and are sent after it
        self._starting_over: Request | None = None  # the push of our document into a new session
        self._stood_for: dict[Request, list[Request]] = {}  # the program's pushes that it makes unnecessary

    @property
    def is_comparing(self) -> bool:
        """Whether nothing is known yet of what the server has; not while it is taken over, and handlers are called."""
        return self._comparison is not None and not self._is_taking_over

    def has_asked(self, request: Request) -> bool:
        """Say whether a request is one without which there is no way back.

        Args:
            request: The request.
        """
        return request is self._comparison or request is self._starting_over

    def has_overtaken(self, request: Request) -> bool:
        """Say whether a push has what was here before the server's values were taken over. It is forgotten then.

        Args:
            request: The push.
        """
        overtaken = request in self._overtaken
        self._overtaken.discard(request)
        return overtaken

    def stood_for(self, request: Request) -> list[Request]:
        """Give the pushes of the program that are answered with another push. They are forgotten then.

        Args:
            request: The push.
        """
        return self._stood_for.pop(request, [])

    def lost(self, number: int, arrived: int, document: Document | None, unclear: Mapping[Request, Reply]) -> None:
        """Prepare for another connection: what the server changes until there is one, nobody tells us.

        Args:
            number: The number of the loss.
            arrived: How many changes have arrived from the server.
            document: The document that is followed, if one is.
            unclear: What the server was just asked to find out about changes, with its answer to these.
        """
        self._judge.losses = number
        self.untold = arrived
        for request, reply in unclear.items():
            request.on_answer = None
            self._unclear_reply = reply
        self._comparison = None
        if document is not None:
            self._conflicts.begin_comparing()

    def begin(self, inbound: Reconnected, document: Document | None, *, in_sync: bool) -> None:
        """Find out what became of the document at the server before anything else is sent.

        Args:
            inbound: What is known of the connection.
            document: The document that is followed, if one is.
            in_sync: Whether the server was known to have it.
        """
        if document is None or inbound.pushing or not (in_sync or self._starting_over):
            # There is nothing to compare, or a push overwrites what is there, which may not be sent yet.
            self._unclear_reply = None
            self._conflicts.end_comparing()
            self._take_note_of_outage(removing=False)
            if not inbound.pushing:
                self._judge.leave(self._recovery.doubted() if self._recovery is not None else ())
            if self._starting_over is None:
                self._recovered(inbound, pushed=False)
            return
        # What the server has got over the old connection it may not have read yet when it accepts the new one.
        fence = Request(Ask.ROUND_TRIP, urgent=True)
        request = Request(Ask.PULL, urgent=True)

        def ask(answer: Reply) -> None:
            if self._comparison is fence:
                self._comparison = request
                self._post(request)

        def compare(answer: Reply) -> None:
            if self._comparison is request:
                self._conflicts.end_comparing()
                goes_on = self._compare(inbound, document, answer)
                if self._comparison is request:  # unless the connection was lost again, in a call of a handler
                    self._comparison = self._unclear_reply = None
                    if goes_on:
                        self._recovered(inbound, pushed=False)

        fence.on_answer, request.on_answer = ask, compare
        self._comparison = fence
        self._post(fence)

    def _compare(self, inbound: Reconnected, document: Document, answer: Reply) -> bool:
        """Go on where the lost connection has left off, if the server still has the session, and say whether it has."""
        assert self._recovery is not None
        if not isinstance(answer, PullDocReply):
            raise ApplyError(f"the server answered a pull with {type(answer).__name__}, not with a document.")
        snapshot = Snapshot(answer.content)
        forgotten = self._starting_over is not None or not inbound.same_process
        if forgotten or not self._recognition.recognises(snapshot, document):
            if self._recovery.push_into_new_session:
                self._start_over(inbound, document)
            else:
                self._recovery.give_up(None, ())
            return False
        self._recognition.config_id = snapshot.config_id
        self._take_note_of_outage(removing=True)
        self._overtaken.update(self._echoes)
        requests, reply = self._recovery.doubted(), self._unclear_reply
        if not requests:
            self._resume((), (), self._judge.losses)
        else:
            evidence = Evidence(
                document, self._conflicts, snapshot, answer.buffers, overwritten=self._was_overwritten()
            )
            found = applied(requests, evidence, whole=reply is not None and not isinstance(reply, Error))
            if reply is None:
                self._judge.judge_lost(requests, found)
            else:
                self._judge.judge(requests, reply, evidence, found)
        self._conflicts.answered_doubts(self._conflicts.take_doubts())
        self._is_taking_over = True
        self._recovery.reached()
        try:
            self._applier.take_over(document, snapshot, answer.buffers, _EVERYTHING)
        finally:
            self._is_taking_over = False
        # What changes of the outage have replaced stays as it is here, with models that the server has taken out.
        self._departures.may_be_missing([str(model.id) for model in document.models], self._applier.handled)
        self._departures.found(document, snapshot.identities)
        return True

    def _take_note_of_outage(self, *, removing: bool) -> None:
        """Count what the server has changed meanwhile as a change that was handled, which may have taken models out."""
        if self.untold is not None:
            if removing:
                self._departures.may_have_lost(self.untold)
            self._applier.handled = max(self._applier.handled, self.untold)
            self.untold = None

    def _start_over(self, inbound: Reconnected, document: Document) -> None:
        """Push our document into the session that the server has made anew."""
        assert self._recovery is not None
        self._take_note_of_outage(removing=False)
        messages: list[Request] = []
        with let_go(document):
            self._alone(lambda: self._replace_changes(document, messages))
        self._conflicts.answered_doubts(self._conflicts.take_doubts())

        def note(reply: Reply) -> None:
            self._starting_over = None
            self._recognition.config_id = str(document.config.id)
            self._recovered(inbound, pushed=True)

        assert self._starting_over is not None
        self._starting_over.on_answer = note
        unsent = [request for request in messages if request.sent_after is None]
        unclear = tuple(request for request in messages if request not in unsent)
        self._resume([(self._starting_over,), *((request,) for request in unsent)], (), self._judge.losses)
        if unclear:
            self._judge.forsake(unclear)

    def _replace_changes(self, document: Document, messages: list[Request]) -> None:
        """Write our document out, and drop what it carries: all changes, also those of another thread meanwhile.

        Args:
            document: Our document.
            messages: Is given those that were waiting or under way, which the push does not carry.
        """
        assert self._recovery is not None
        new_ids = self._acquaintance.introduce_anew(document)
        self._recognition.config_id = None
        request = self._push(document)
        carried: list[Request] = []
        pushes: list[Request] = []
        for dropped in self._recovery.drop_changes():
            if dropped.is_message:
                dropped.content = readdressed(dropped.content, new_ids)
                messages.append(dropped)
                continue
            carried += [*dropped.carries] if dropped.ask is Ask.PUSH else [dropped]
            if dropped.ask is Ask.PATCH:
                self._conflicts.answered(dropped)
                dropped.settle()
            else:
                self._echoes.pop(dropped, None)
                # One that was to start over was never sent, because of another loss.
                pushes += self.stood_for(dropped) if dropped is self._starting_over else [dropped]
        request.carries = tuple(carried)
        self._stood_for[request] = pushes
        self._starting_over = request

    def _recovered(self, inbound: Reconnected, *, pushed: bool) -> None:
        assert self._recovery is not None
        self._recovery.reached()
        self._recovery.recovered(Reconnection(attempts=inbound.attempts, seconds=inbound.seconds, pushed=pushed))

    def failed(self, error: Exception, changes: tuple[str, ...]) -> None:
        """Give the session up, because what it has asked has failed.

        Args:
            error: Why.
            changes: Those that are lost with a push.
        """
        assert self._recovery is not None
        self._comparison = self._starting_over = None
        self._recovery.give_up(error, changes)

    def end(self) -> list[Request]:
        """Forget everything, and give the pushes of the program that nobody answers any more."""
        self._comparison = self._starting_over = None
        self._overtaken.clear()
        pushes = [*itertools.chain.from_iterable(self._stood_for.values())]
        self._stood_for.clear()
        return pushes
