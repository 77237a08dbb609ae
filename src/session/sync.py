"""The sync engine: keeps one Document equal to the server's, and does no I/O.

It decides what is sent and what is done with everything that arrives; a runner gives it what arrived, in order and in
the document's thread, and posts what it decides.
"""

from __future__ import annotations

import weakref
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from functools import partial

from bokeh.core.serialization import DeserializationError
from bokeh.document import Document
from bokeh.document.callbacks import invoke_with_curdoc
from bokeh.document.events import DocumentPatchedEvent
from bokeh.model import Model

from ..protocol import Error, LocalProtocolError, Ok, PatchDoc, PullDocReply
from . import encoding
from .applying import Applier
from .callbacks import CallbackSchedule
from .changes import TITLE, classify
from .comeback import Comeback
from .conflicts import Conflicts, Doubts
from .departures import Departures, may_remove, models_in
from .echo import PushEcho
from .errors import (
    ApplyError,
    ConnectionLost,
    DocumentInUse,
    PendingLimitExceeded,
    SessionClosed,
)
from .evidence import Evidence, applied
from .holding import Holding, is_held, is_letting_go, let_go
from .identity import Acquaintance, reachable
from .judging import Judge
from .outgoing import Outgoing
from .overwriting import overwrite
from .recognition import Recognition
from .recovery import Recovery
from .refusals import not_sent, refusal, undecided
from .requests import (
    Answered,
    Ask,
    Disconnected,
    Doubted,
    Group,
    Inbound,
    Lost,
    Patched,
    Reconnected,
    Reply,
    Request,
)
from .rereading import Snapshot, config_id
from .telling import being_told
from .untold import is_clear
from .wire_objects import decoded

__all__ = ["SyncEngine"]

_owners: weakref.WeakKeyDictionary[Document, weakref.ref[SyncEngine]] = weakref.WeakKeyDictionary()


class SyncEngine:
    """The document side of one session.

    Args:
        post: Sends a request in its turn; must not wait and must not call back.
        resume: Goes on with sending after a doubt, with what has to be sent again, each group as one message, what was
            in doubt, and the number of the last loss of the connection that was handled.
        schedule: Takes up the document's periodic, timeout and next-tick callbacks.
        on_trouble: Told of every error that no waiting call will raise.
        recovery: What to do when there is a connection again after a loss; None if there never is.
    """

    def __init__(
        self,
        post: Callable[[Request], None],
        resume: Callable[[Sequence[Group], Group, int], None],
        schedule: CallbackSchedule,
        on_trouble: Callable[[Exception], None],
        recovery: Recovery | None = None,
    ) -> None:
        self._post = post
        self._schedule = schedule
        self._on_trouble = on_trouble
        self._document: Document | None = None
        self._is_closed = False
        self._followed: Document | None = None  # set before the answer to a first push, unlike _document
        self._echoes: dict[Request, PushEcho] = {}
        self._is_replacing = False
        self._server_version: str | None = None
        self._acquaintance = Acquaintance()
        self._conflicts = Conflicts()
        self._departures = Departures()
        self._holding = Holding()
        self._applier = Applier(
            self._acquaintance,
            self._conflicts,
            self._departures,
            self._holding,
            on_trouble,
            is_pulling=lambda: self._is_replacing,
        )
        self._judge = Judge(self._conflicts, resume, on_trouble, self._acquaintance)
        self._rereads: dict[Request, Doubts] = {}
        self._answers = 0
        self._investigations: dict[Request, tuple[Group, Reply]] = {}
        self._overwritten: int | None = None  # the questions answered when a pull had overwritten changes under way
        self._recognition = Recognition()
        self._outgoing = Outgoing(
            post,
            schedule,
            on_trouble,
            self._made_after,
            self._reread_doubts,
            self._acquaintance,
            self._conflicts,
            self._departures,
            self._holding,
            self._applier,
            self._recognition,
        )
        self._comeback = Comeback(
            recovery,
            post,
            resume,
            self._pushing,
            self._outgoing.alone,
            self._was_overwritten,
            self._echoes,
            self._conflicts,
            self._departures,
            self._acquaintance,
            self._recognition,
            self._applier,
            self._judge,
        )

    @property
    def document(self) -> Document | None:
        """The document kept in sync, None before the first pull or push has succeeded."""
        return self._document

    @property
    def server_version(self) -> str | None:
        """The Bokeh version named in the last pulled document, None before a pull."""
        return self._server_version

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits for the server's word, on a conflict or on what it has refused."""
        return self.is_settled_since(self._answers)

    def is_settled_since(self, answers: int) -> bool:
        """Say whether nothing that has come into doubt up to a certain moment waits for the server's word.

        Where both sides change the same thing all the time, there is never a moment without a doubt.

        Args:
            answers: The number of questions that had been answered at that moment (`answers`). One may have been
                asked by then, which the next one follows.
        """
        if self._investigations or self._comeback.is_comparing:
            return False
        return not (self._rereads or self._conflicts.has_doubts) or self._answers >= answers + 2

    @property
    def made(self) -> int:
        """How many changes have been made here."""
        return self._conflicts.made

    def is_answered_up_to(self, made: int) -> bool:
        """Say whether it is known of all changes up to a certain moment what has become of them.

        A round trip does not tell: where a message was dropped, its changes are sent again behind it.

        Args:
            made: The number of changes that had been made at that moment (`made`).
        """
        return self._conflicts.is_answered_up_to(made)

    @property
    def answers(self) -> int:
        """How many questions for what was in doubt the server has answered."""
        return self._answers

    @property
    def is_letting_go(self) -> bool:
        """Whether the change that is being made is one of several that were held back, and more of them follow."""
        return self._followed is not None and is_letting_go(self._followed)

    def pull(self) -> Request:
        """Ask for the server's document, to overwrite the contents of ours.

        Returns:
            The request. When it is settled without an error, `document` holds what the server had.
        """
        request = Request(Ask.PULL)
        roots = frozenset(() if self._followed is None else self._followed.roots)

        def replace(reply: Reply) -> None:
            if not request.abandoned:
                self._replace(reply, roots)

        request.on_answer = replace
        if self._followed is not None:
            self._outgoing.tell_early(self._followed)
        self._post(request)
        return request

    def push(self, document: Document) -> Request:
        """Overwrite the server's document with ours.

        Args:
            document: The document; from here on it belongs to this session.

        Returns:
            The request.

        Raises:
            DocumentInUse: The document belongs to another open session.
            DuplicateModelId: Two models have the same id.
            SessionClosed: A handler of a held change, or another thread, has closed the session.
        """
        self._refuse_foreign(document)
        if self._followed is not document:
            self.detach()  # from one whose push was never answered
        newly_followed = self._followed is None

        def adopt(reply: Reply) -> None:
            if self._followed is document:
                self._document = document
                self._recognition.config_id = str(document.config.id)

        def write_and_post() -> Request:
            request = self._pushing(document)
            request.on_answer = adopt
            self._post(request)
            return request

        try:
            with let_go(document):
                self._follow(document)
                request = self._outgoing.alone(write_and_post)
        except BaseException:
            if newly_followed:
                self.detach()
            raise
        return request

    def _pushing(self, document: Document) -> Request:
        request = Request.carrying(Ask.PUSH, self._outgoing.written(document))
        self._echoes[request] = PushEcho([root.id for root in document.roots])
        return request

    def ask(self, ask: Ask, on_answer: Callable[[Reply], None] | None = None) -> Request:
        """Ask something that does not concern the document.

        Args:
            ask: What is wanted.
            on_answer: Called with the reply.

        Returns:
            The request.
        """
        request = Request(ask, on_answer=on_answer)
        self._post(request)
        return request

    def handle(self, inbound: Inbound) -> None:
        """Act on one thing that arrived. Must be called in the order of arrival, in the document's thread.

        Args:
            inbound: What arrived.
        """
        if self._followed is None or is_clear(self._followed):  # a handler may make a call while others wait
            self._outgoing.arrived(self._followed)
            if self._conflicts.has_postponed and (self._followed is None or not being_told(self._followed)):
                self._conflicts.release()
        if self._followed is not None:
            self._acquaintance.heard(self._followed)
            self._acquaintance.introduce_held(self._followed)
        match inbound:
            case Patched(message=message, number=number):
                self._receive(message, number)
            case Answered(requests, reply, error):
                if self._comeback.untold is None:
                    self._recognition.replaced()
                for request in requests:
                    self._settle(request, reply, error)
                self._reread_doubts()
            case Doubted(requests, reply):
                self._investigate(requests, reply)
                self._reread_doubts()
            case Disconnected(number=number, arrived=arrived):
                unclear = {request: reply for request, (_, reply) in self._investigations.items()}
                self._comeback.lost(number, arrived, self._followed, unclear)
                self._investigations.clear()
            case Reconnected():
                self._comeback.begin(inbound, self._followed, in_sync=self._document is not None)
            case Lost(error, unanswered):
                self._lose(error, unanswered)

    def catch_up(self) -> None:
        """Ask for what is in doubt, if nothing has arrived since a change of ours was being told, or since Ctrl-C."""
        if self._conflicts.has_postponed and (self._followed is None or is_clear(self._followed)):
            self._conflicts.release()
        if self._conflicts.has_doubts:
            self._reread_doubts()

    def may_remove(self, patch: PatchDoc) -> bool:
        """Say whether a change from the server may take a model out of the document. Any thread may ask.

        Args:
            patch: The change, not yet applied.
        """
        return may_remove(self._followed, patch.content)

    @property
    def late_changes(self) -> tuple[str, ...]:
        """The changes made since the connection was lost for good, until the document was let go of."""
        return self._outgoing.late_changes

    @property
    def held_changes(self) -> tuple[str, ...]:
        """The changes that the program holds back, each as a short text."""
        document = self._followed
        theirs: object = self._applier
        held = [] if document is None or not is_held(document) else document.callbacks._held_events
        ours = (event for event in held if isinstance(event, DocumentPatchedEvent) and event.setter is not theirs)
        return tuple(str(classify(event)) for event in ours)

    def take_up_all(self) -> None:
        """Take up the changes that are held back (`Document.hold`), or just being told: there is no later."""
        if self._followed is not None:
            self._outgoing.tell_early(self._followed, anywhere=True)
            with let_go(self._followed):
                pass
        self._outgoing.name_deferred()

    def end(self) -> None:
        """Send nothing more, and take note of what is changed, since the program does not know yet (`late_changes`)."""
        self._outgoing.end()
        self._schedule.replace(())

    def close(self) -> None:
        """Stop following the document, and follow none again."""
        self._is_closed = True
        self.detach()

    def detach(self) -> None:
        """Stop following the document, which stays as it is and can be given to another session."""
        document, self._followed = self._followed, None
        self._schedule.replace(())
        if document is not None:
            del _owners[document]
            self._outgoing.leave(document)

    def _refuse_foreign(self, document: Document) -> None:
        owner = _owners.get(document)
        if owner is not None and owner() is not None and owner() is not self:
            raise DocumentInUse(
                "this Document already belongs to another open session. Close that session first, or use a new "
                "Document."
            )

    def _follow(self, document: Document) -> None:
        if self._is_closed:
            raise SessionClosed("the session was closed while its document was pulled or pushed.")
        if self._followed is None:
            self._followed = document
            _owners[document] = weakref.ref(self)
            self._outgoing.follow(document)
            self._schedule.replace(document.session_callbacks)

    def _made_after(self, event: DocumentPatchedEvent) -> int:
        """Say up to which change of the server's one that is made here knows what the server has; -1 for none."""
        if self._overwritten is not None and self._was_overwritten():
            return -1
        made_after = self._holding.made_after(self._applier.seen, event)
        return made_after if self._comeback.untold is None else min(made_after, self._comeback.untold - 1)

    def _was_overwritten(self) -> bool:
        """Say whether a pull has overwritten changes under way, and the server has not told since what it has."""
        if self._overwritten is not None and self.is_settled_since(self._overwritten):
            self._overwritten = None
        return self._overwritten is not None

    def _replace(self, reply: Reply, roots: AbstractSet[Model]) -> None:
        """Overwrite the document with a pulled one, without telling the server that it changed.

        Roots that have come in since it was asked for stay: the server was told of them behind that.
        """
        if not isinstance(reply, PullDocReply):
            raise ApplyError(f"the server answered a pull with {type(reply).__name__}, not with a document.")
        content = reply.content.get("doc") if isinstance(reply.content, dict) else None
        if not isinstance(content, dict):
            raise ApplyError("the server's PULL-DOC-REPLY holds no document.")
        document = self._document
        version = content.get("version")
        before = self._applier.handled

        def stays(root: Model) -> bool:
            return root not in roots and not self._acquaintance.is_sent_any(reachable(root))

        if document is not None:  # what is being told would find its models gone; sent now, it comes back
            self._outgoing.tell_early(document, anywhere=True)
        # Apart: what a handler raises at whose change the program has held back is not the server's fault.
        with self._conflicts.collecting() as answered, nullcontext() if document is None else let_go(document):
            try:
                serialized = encoding.to_bokeh(content, reply.buffers)
                if document is None:
                    document = Document.from_json(serialized)
                    self._acquaintance.met(document, content)
                else:
                    self._applier.replaced += 1
                    self._applier.changes([TITLE])
                    with self._acquaintance.receiving(document, content):
                        self._is_replacing = True
                        invoke_with_curdoc(document, partial(overwrite, document, serialized, self._applier, stays))
            except BaseException as error:
                if self._is_replacing and not isinstance(error, DeserializationError):
                    self._conflicts.doubt_everything()  # as when a handler raises, or by Ctrl-C: a part is replaced
                if not isinstance(error, Exception | CancelledError):  # which a handler gets from a future it looks at
                    raise
                raise ApplyError(
                    f"the pulled document cannot be built here: {type(error).__name__}: {error}. "
                    "If it uses custom models, import the modules that define them first."
                ) from error
            finally:
                self._is_replacing = False
        document.models.flush_synced()
        self._recognition.config_id = config_id(content)
        ours: object = self._applier
        told = any(event.setter is not ours for event in being_told(document))
        if self._conflicts.has_unanswered or answered or told or self._applier.handled != before:
            # What they take out was brought back here, and the server drops what refers to it. A handler may have made
            # a call, in which the server has confirmed what is overwritten here, and another thread be about to send.
            self._conflicts.doubt_everything()
            self._overwritten = self._answers
            self._departures.may_be_missing([str(model.id) for model in document.models], self._applier.handled)
        self._server_version = version if isinstance(version, str) else None
        self._follow(document)
        self._document = document

    def _receive(self, message: PatchDoc, number: int) -> None:
        """Apply those changes from the server that count."""
        if number <= self._applier.handled:
            # An interruption, as by Ctrl-C, has come between; how far it was applied nobody knows.
            self._conflicts.doubt_everything()
            self._reread_doubts()
            return
        before = self._applier.begin(number)
        try:
            document = self._followed
            if document is None:
                return  # before the first pull: what it changed is part of the document that is pulled
            if self._echoes and next(iter(self._echoes.values())).swallows(message.content):
                return
            ask = self._applier.receive(document, message, number)
            self._recognition.received(document, message.content)
        finally:
            self._applier.end(before)
        if ask:
            self._reread_doubts()

    def _reread_doubts(self) -> None:
        """Ask for the server's document where its values are needed to settle a conflict, once at a time."""
        if self._rereads:
            return
        try:
            doubts = self._conflicts.take_doubts()
            if doubts:
                request = Request(Ask.PULL, on_answer=lambda reply: self._resolve(reply, doubts))
                self._rereads[request] = doubts
                self._post(request)
        except BaseException:  # as by Ctrl-C: whether it will be asked nobody knows
            self._rereads.clear()
            self._conflicts.ask_again()
            raise

    def _resolve(self, reply: Reply, doubts: Doubts) -> None:
        """Set what was in doubt to what the server has."""
        document = self._followed
        if document is None or not isinstance(reply, PullDocReply):
            return
        document.models.recompute()  # which Ctrl-C may have kept Bokeh from
        try:
            snapshot = Snapshot(reply.content)
        except ValueError as error:
            raise ApplyError(f"what the server answered to a pull cannot be used: {error!r}.") from error
        if self._echoes:
            return  # a push is on its way behind the question, and overwrites what the server had
        self._recognition.config_id = snapshot.config_id
        self._doom(document, snapshot)
        if self._applier.take_over(document, snapshot, reply.buffers, doubts):
            self._note_what_is_there(document, snapshot)

    def _doom(self, document: Document, snapshot: Snapshot) -> None:
        """Find the changes that the server has dropped, or will, since they refer to what it has not."""
        if self._departures.knows_of_any_missing:
            unsent = [request for request in self._conflicts.all_unanswered() if request.sent_after is None]
            _, written = models_in([decoded(request.content) for request in unsent])  # it will have these by then
            self._departures.doom(document, written.union(snapshot.identities))

    def _note_what_is_there(self, document: Document, snapshot: Snapshot) -> None:
        if not self._was_overwritten():
            self._departures.found(document, snapshot.identities)

    def _note_what_is_lacking(self, document: Document, snapshot: Snapshot) -> None:
        """Find the models that the server has no more, although we have or refer to them: what does so is dropped."""
        unanswered = self._conflicts.all_unanswered()
        referred, written = models_in([decoded(request.content) for request in unanswered])
        ours = referred | {str(model.id) for model in self._acquaintance.shared(document)}
        there = snapshot.identities
        lacking = {identity for identity in ours - written if identity not in there}
        if lacking:
            self._departures.may_be_missing(lacking, self._applier.handled)
            coming_back = self._conflicts.coming_back
            for request in unanswered:
                if self._departures.mark(request, coming_back):
                    request.made_after = -1
                    # What is still to be sent comes too late, unless a push puts the model back.
                    request.is_doomed |= request.sent_after is None and not self._echoes

    def _investigate(self, requests: Group, reply: Reply) -> None:
        """Find out which changes of a message the server has applied, when its answer leaves that open."""
        if any(requests == asked for asked, _ in self._investigations.values()):
            return  # an interruption has come between, and this is the second time
        refused = isinstance(reply, Error)
        behind = [push for push in self._echoes if push.sent_after is not None]
        if not refused and not behind and not self._departures.concern(requests):
            self._judge.conclude(requests, requests, reply)
            return
        has_all = not self._was_overwritten()  # and so have the pushes, once they are applied
        request = Request(Ask.PULL, urgent=True)

        def judge(answer: Reply) -> None:
            if request.abandoned:
                return
            document = self._followed
            if document is None or not isinstance(answer, PullDocReply):
                raise ApplyError(f"the server answered a pull with {type(answer).__name__}, not with a document.")
            if refused and has_all and any(push.done and push.error is None for push in behind):
                self._judge.judge_overwritten(requests, reply)
                return
            snapshot = Snapshot(answer.content)
            self._doom(document, snapshot)
            self._note_what_is_there(document, snapshot)
            self._note_what_is_lacking(document, snapshot)
            evidence = Evidence(
                document, self._conflicts, snapshot, answer.buffers, overwritten=self._was_overwritten()
            )
            self._judge.judge(requests, reply, evidence, applied(requests, evidence, whole=not refused))

        request.on_answer = judge
        try:
            self._investigations[request] = (requests, reply)
            self._post(request)
        except BaseException:  # as by Ctrl-C: whether it will be asked nobody knows
            request.abandoned = True
            self._investigations.pop(request, None)
            raise

    def _settle(self, request: Request, reply: Reply | None, error: Exception | None) -> None:
        if request.done:
            return  # an interruption has come between, and this is the second time
        if request.ask is Ask.PATCH and isinstance(reply, Ok) and error is None:  # as most are; nothing waits for it
            self._conflicts.answered(request)
            failed = self._judge.settled(request, applied=True)
            request.settle(reply=reply)
            for trouble in failed:
                self._on_trouble(trouble)
            return
        doubts = self._rereads.pop(request, None)
        if doubts is not None:
            self._answers += 1
            self._conflicts.answered_doubts(doubts)
        investigated = self._investigations.pop(request, None)
        self._conflicts.answered(request)
        recovering = self._comeback.has_asked(request)
        overtaken = self._comeback.has_overtaken(request)
        troubles = self._judge.settled(request, applied=None if reply is None else not isinstance(reply, Error))
        if isinstance(reply, Error):
            error = refusal(request, reply)
            if request.ask is Ask.PATCH and self._followed is not None:
                self._judge.disown(request, self._followed)
            if request.ask is Ask.PATCH or (request.ask is Ask.PUSH and self._document is not None):
                # It may have been applied in part, and a 3.9 server keeps to itself what its callbacks did meanwhile.
                self._conflicts.doubt_everything()
        elif overtaken:
            self._conflicts.doubt_everything()  # it has what was here before the server's values were taken over
        if reply is not None and error is None and request.on_answer is not None:
            try:
                request.on_answer(reply)
            except Exception as failure:
                error = failure
        elif isinstance(error, LocalProtocolError | PendingLimitExceeded) and request.change is not None:
            # It is made here already and never reaches the server, whose value takes its place.
            if isinstance(error, LocalProtocolError):  # the other one says it itself
                error.add_note(not_sent(request))
            self._conflicts.doubt(request.key)
        echo = self._echoes.pop(request, None)
        if echo is not None and echo.is_unclear:
            self._conflicts.doubt_everything()
        if investigated is not None and error is not None:
            requests, answer = investigated
            self._judge.conclude(requests, requests, answer)
            self._on_trouble(undecided(requests, answer))
        if error is not None and request.ask is Ask.PUSH and self._document is None:
            self.detach()
        request.settle(reply=reply, error=error)
        for trouble in troubles:
            self._on_trouble(trouble)
        for push in self._comeback.stood_for(request):
            self._settle(push, reply, error)
        asked_by_engine = doubts is not None or investigated is not None or recovering
        if asked_by_engine and isinstance(error, ConnectionLost):
            return  # which the session reports itself
        if recovering and error is not None:
            self._comeback.failed(error, request.changes)
            return
        if error is not None and (request.ask is Ask.PATCH or request.abandoned or asked_by_engine):
            self._on_trouble(error)

    def _lose(self, error: Exception | None, unanswered: tuple[Request, ...]) -> None:
        if error is None:
            self.detach()
        else:
            self.end()
        self._echoes.clear()
        self._rereads.clear()
        self._conflicts.clear()
        self._investigations.clear()
        self._judge.clear()
        for request in (*unanswered, *self._comeback.end()):
            request.settle(error=error or SessionClosed("the session was closed before the server had answered."))
