"""What is still to be sent, and what is sent and not answered: the order, the joining, the waiting. No I/O.

Changes are joined while the one before is under way: as long as the server has not answered a PATCH-DOC, further
changes wait, and then leave in one message. So a lone change is sent at once, and many are sent as fast as the server
takes them: a server spends about 0.3 ms on each PATCH-DOC message, and some 0.02 ms on each event in it (Bokeh 3.9.2).

Joining must not widen a failure. A server drops or refuses a whole message for one bad reference, and stops at the
first event that fails (`Document.apply_json_patch` of 3.9.2, 3.10.2 and 4.0.0.dev8). When an answer leaves open what
was applied, everything waits until the engine has found out; with one PATCH-DOC under way at a time, it can.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ..protocol import Error, Ok, PatchDoc, Reply
from .requests import Ask, Group, Request

__all__ = ["Outbox"]

T = TypeVar("T")

_MAX_EVENTS = 512
"""Events of one message. More gain nothing, and the session's other viewers wait while the server applies them."""
_MAX_SIZE = 1024 * 1024
"""Bytes of one message of several events: far below what any server accepts. A single event may be larger."""


class Outbox:
    """The requests of one session, from being posted until they are answered, over one connection after the other.

    Any thread may `post` and `resume`; everything else belongs to the thread that sends.

    Args:
        may_remove: Says whether a change from the server may take a model out of the document.
    """

    def __init__(self, may_remove: Callable[[PatchDoc], bool]) -> None:
        self._may_remove = may_remove
        self._posted: deque[Request] = deque()
        self._again: deque[Group] = deque()
        self._urgent: list[Request] = []  # few
        self._sent: dict[str, Group] = {}
        self._patch: str | None = None  # the message of patches that is under way
        self._doubted: Group = ()
        self._held = False  # while there is a doubt
        self._losses = 0
        self._arrived = 0  # the server's changes so far
        self._removal = 0  # the number of the last of them that may have removed a model

    @property
    def holds_changes(self) -> bool:
        """Whether anything that changes the server's document is not sent, or not answered, or in doubt."""
        return any(request.ask in (Ask.PATCH, Ask.PUSH) for request in self.requests())

    @property
    def waits(self) -> bool:
        """Whether further changes wait for an answer. Any thread may ask, after it has posted."""
        return self._patch is not None or self._held

    def requests(self) -> Iterator[Request]:
        """Give all requests that are not answered, in the order in which they were sent or will be."""
        yield from self._doubted
        for group in (*self._sent.values(), *self._again):
            yield from group
        yield from tuple(self._urgent)
        yield from tuple(self._posted)

    def post(self, request: Request) -> None:
        """Take up a request.

        Args:
            request: What to send in its turn, or at once if it is urgent.
        """
        (self._urgent if request.urgent else self._posted).append(request)

    def take(self) -> Group:
        """Give out what is to be sent next, as one message.

        Returns:
            Its requests; empty when nothing may be sent now.
        """
        if self._urgent:
            return (self._urgent.pop(0),)
        if self._held:
            return ()
        if self._again:
            return () if self._patch is not None else self._again.popleft()
        if not self._posted:
            return ()
        if self._posted[0].ask is not Ask.PATCH:
            return (self._posted.popleft(),)
        return () if self._patch is not None else self._join()

    def _join(self) -> Group:
        first = self._posted.popleft()
        change = first.change
        if not self._posted or change is None or change.alone:
            return (first,)
        group = [first]
        content = bytes(first.content)
        size = len(content) + first.buffers_size
        # The same change of the same thing twice in one message could not be told apart later.
        contents = {content}
        ended = {change.key} if change.replaces or change.becomes else set()
        while self._posted and len(group) < _MAX_EVENTS:
            request = self._posted[0]
            change = request.change
            if change is None or change.alone:
                break
            if request.returns:
                break  # the server reads the whole message first: it would have the model yet, and keep it as it is
            if not change.replaces and change.key in ended:
                # Bokeh 3.10 and 4.0 write out for the other clients what a message has changed when all is applied: the
                # new data of a source with the rows that are streamed to it, which then follow once more.
                break
            if change.replaces or change.becomes:
                ended.add(change.key)
            content = bytes(request.content)
            size += len(content) + request.buffers_size
            if size > _MAX_SIZE or (not request.buffers and content in contents and change.replaces):
                break
            contents.add(content)
            group.append(self._posted.popleft())
        return tuple(group)

    def sent(self, msgid: str, group: Group) -> None:
        """Note that requests are being sent.

        Args:
            msgid: The id of their message.
            group: What `take` gave.
        """
        for request in group:
            request.sent_after = self._arrived
        self._sent[msgid] = group
        if group[0].ask is Ask.PATCH:
            self._patch = msgid

    def changed(self, patch: PatchDoc) -> int:
        """Note a change from the server.

        Args:
            patch: The change.

        Returns:
            Its number, counted from 1.
        """
        self._arrived += 1
        if self._may_remove(patch):
            self._removal = self._arrived
        return self._arrived

    def answered(self, reqid: str, reply: Reply) -> tuple[Group, bool]:
        """Note the answer to a message.

        Args:
            reqid: Its id.
            reply: The answer.

        Returns:
            Its requests; and whether the answer leaves open which of them were applied. Then everything waits for
            `resume`.
        """
        group = self._sent.pop(reqid)
        if reqid != self._patch:
            return group, False
        self._patch = None
        match reply:
            case Error():
                doubtful = len(group) > 1
            case Ok():
                # What refers to a model that is gone is dropped without a word, with all that came with it.
                earliest = min(request.made_after for request in group)
                doubtful = earliest < self._removal and group[0].key is not None
            case _:
                doubtful = False
        if doubtful:
            self._doubted, self._held = group, True
        return group, doubtful

    def interrupt(self) -> tuple[Group, Group]:
        """Note that the connection was lost; another one may follow.

        What was asked is asked again, before anything else, except urgent requests, which are forgotten. Everything
        waits for `resume`, and changes that were under way are in doubt. But a push that was under way is sent again at
        once, with all that came after it; what came before it is part of it.

        Returns:
            The changes that are answered thereby, being part of the push; and the messages that were under way: nobody
            can tell what has become of them.
        """
        groups = [group for group in self._sent.values() if not group[0].urgent]
        if any(group[0].ask is Ask.PUSH for group in tuple(self._again)):
            # Lost once before, and not sent again since. The engine's thread may add groups meanwhile.
            while self._again:
                groups.append(self._again.popleft())
        self._losses += 1
        # What the server takes out until there is another connection it does not tell.
        self._arrived += 1
        self._removal = self._arrived
        self._sent.clear()
        self._urgent.clear()
        self._patch = None
        pushed = next((index for index, group in enumerate(groups) if group[0].ask is Ask.PUSH), None)
        before = groups if pushed is None else groups[:pushed]
        changes = [group for group in before if group[0].ask is Ask.PATCH]
        in_doubt = tuple(request for group in changes for request in group)
        if pushed is None:
            self._again.extendleft(reversed([group for group in groups if group not in changes]))
            self._doubted, self._held = self._doubted or in_doubt, True
            return (), ()
        carried = tuple(request for request in (*self._doubted, *in_doubt) if not request.is_message)
        unclear = [request for request in (*self._doubted, *in_doubt) if request.is_message]
        unclear += [request for group in groups[pushed:] for request in group if request.is_message]
        unclear = [request for request in unclear if request.sent_after is not None]
        (push, *_) = groups[pushed]
        push.carries = (*carried, *push.carries)
        again = [group for group in groups if group[0] not in carried and group[0] not in unclear]
        self._again.extendleft(reversed(again))
        self._doubted, self._held = (), False
        return carried, tuple(unclear)

    def hold(self) -> None:
        """Have everything but urgent requests wait for `resume`: what a push was made for may be no more."""
        self._held = True

    @property
    def arrived(self) -> int:
        """How many changes have arrived from the server; what it may have changed during an outage counts as one."""
        return self._arrived

    @property
    def losses(self) -> int:
        """How many connections have been lost."""
        return self._losses

    @property
    def doubted(self) -> Group:
        """The changes that may have been applied or not; everything waits until the engine knows."""
        return self._doubted

    @property
    def is_held(self) -> bool:
        """Whether everything but urgent requests waits for `resume`."""
        return self._held

    def drop_changes(self) -> Group:
        """Forget all changes and pushes of the document, because a push carries them. Any thread may call.

        Returns:
            The changes and pushes, oldest first, also messages, which the push does not carry.
        """
        again = _take_changes(self._again, lambda group: group[0].ask)
        posted = _take_changes(self._posted, lambda request: request.ask)
        doubted, self._doubted = self._doubted, ()
        return (*doubted, *(request for group in again for request in group), *posted)

    def resume(self, again: Sequence[Group], doubted: Group, losses: int) -> None:
        """Go on after a doubt. Any thread may call.

        Args:
            again: What has to be sent again, before anything else; each as one message.
            doubted: The changes that were in doubt. If others are by now, or none any more, nothing is done.
            losses: How many losses whoever decided that has heard of. If there was another one since, everything goes
                on waiting; and if a push is being sent again after it, what was in doubt is part of that.
        """
        current = losses == self._losses
        if doubted != self._doubted:
            return
        if current or self._held:
            self._again.extendleft(reversed(again))
            self._doubted = ()
        if current:
            self._held = False

    def clear(self) -> Group:
        """Forget everything.

        Returns:
            The requests that will not be answered, oldest first.
        """
        unanswered = tuple(self.requests())
        self._sent.clear()
        for waiting in (self._again, self._urgent, self._posted):
            waiting.clear()
        self._patch, self._doubted, self._held = None, (), False
        return unanswered


def _take_changes(waiting: deque[T], ask: Callable[[T], Ask]) -> list[T]:
    """Take the changes out of a queue, at whose end another thread may add some meanwhile."""
    taken: list[T] = []
    kept: list[T] = []
    for _ in range(len(waiting)):
        item = waiting.popleft()
        (taken if ask(item) in (Ask.PATCH, Ask.PUSH) else kept).append(item)
    waiting.extendleft(reversed(kept))
    return taken
