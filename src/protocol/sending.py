"""What a caller can ask a connection to send: intents in, frames out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, count
from typing import Any, NamedTuple

from .errors import InvalidContent, InvalidId, LocalLimitExceeded, NotInGeneration, UnknownRequest
from .limits import Limits
from .machine import Machine
from .messages import REPLIES, Buffer, MessageType, Request
from .table import Generation, Input, Role
from .wire import Encode, Outgoing, check_outgoing, outgoing_buffers

_EMPTY: dict[str, Any] = {}
_NO_ID = object()


class _Intent(NamedTuple):
    given: Input
    kind: str
    request: Request | None


_ACK = _Intent(Input.SEND_ACK, MessageType.ACK.value, None)
_CLIENT_PATCH = _Intent(Input.SEND_PATCH, MessageType.PATCH_DOC.value, Request.PATCH_DOC)
_SERVER_PATCH = _Intent(Input.SEND_PATCH, MessageType.PATCH_DOC.value, None)
_PUSH = _Intent(Input.SEND_PUSH, MessageType.PUSH_DOC.value, Request.PUSH_DOC)
_PULL = _Intent(Input.SEND_PULL, MessageType.PULL_DOC_REQ.value, Request.PULL_DOC)
_INFO = _Intent(Input.SEND_INFO, MessageType.SERVER_INFO_REQ.value, Request.SERVER_INFO)
_SYNC = _Intent(Input.SEND_SYNC, MessageType.SYNC.value, Request.SYNC)


def _check_str(name: str, given: object) -> None:
    if not isinstance(given, str):
        raise InvalidContent(f"The {name} of an ERROR is a str, not {type(given).__name__}.")


class Sender(Machine):
    """The sending half of a connection, both roles.

    Every method returns the frames of one message, or raises and changes nothing: an id that was made for what cannot
    be sent goes to the next message. Besides what is listed with each, they raise:

    - `WrongState`, if the state or the role does not allow it;
    - `InvalidContent`, if content or a buffer cannot be sent: no JSON, or nothing that a receiver would take;
    - `LocalLimitExceeded`, if too many requests are pending, there are too many buffers, or a frame is too large;
    - `InvalidId`, if the id factory repeats itself or returns no id.

    Content is what the message carries, e.g. `{"events": [...]}`, made of dict with str keys, list or tuple, str, int,
    float, bool and None. Any part of it that is JSON already can be `msgspec.Raw`, and is sent without a look at it.
    """

    _encode: Encode

    def __init__(self, role: Role, limits: Limits, id_factory: Callable[[], str] | None) -> None:
        super().__init__(role, limits)
        self._patch = _CLIENT_PATCH if role is Role.CLIENT else _SERVER_PATCH
        # What is pending at a server has the client's ids, which are none of ours.
        self._taken = self._pending if role is Role.CLIENT else {}
        self._make_id = self._next_id = id_factory if id_factory is not None else map(str, count(1)).__next__

    def patch_doc(self, content: Any, buffers: Iterable[Buffer] = ()) -> Outgoing:
        """Send changes of the document. A client's patch is pending until it is answered; a server's is not answered.

        Args:
            content: `{"events": [...]}`.
            buffers: The buffers that the content refers to.
        """
        return self._send(self._patch, content, buffers)

    def push_doc(self, content: Any, buffers: Iterable[Buffer] = ()) -> Outgoing:
        """Client: send a whole document to replace the session's.

        Args:
            content: `{"doc": {...}}`.
            buffers: The buffers that the content refers to.
        """
        return self._send(_PUSH, content, buffers)

    def pull_doc(self) -> Outgoing:
        """Client: ask for the session's whole document."""
        return self._send(_PULL)

    def roundtrip(self) -> Outgoing:
        """Client: ask for an answer once all that was sent before has been processed.

        It is SERVER-INFO-REQ in generation 3 and SYNC in generation 4.
        """
        if self._generation is Generation.V4:
            return self._send(_SYNC)
        return self.server_info()

    def server_info(self) -> Outgoing:
        """Client: ask for the server's versions.

        Raises:
            NotInGeneration: The server speaks generation 4, which has no such message.
        """
        if self._generation is Generation.V4:
            self._look_up(Input.SEND_INFO)
            raise NotInGeneration("Generation 4 (Bokeh 4) has no SERVER-INFO-REQ; roundtrip() works in both.")
        return self._send(_INFO)

    def ack(self) -> Outgoing:
        """Server: tell the client that it may speak. The first message of every connection."""
        return self._send(_ACK)

    def ok(self, reqid: str) -> Outgoing:
        """Server: answer a PATCH-DOC, a PUSH-DOC or a SYNC. It is done.

        Args:
            reqid: The request's msgid.

        Raises:
            UnknownRequest: No such request is unanswered, or it needs another kind of reply.
        """
        return self._reply(MessageType.OK, reqid)

    def refuse(self, reqid: str, text: str, traceback: str | None = None) -> Outgoing:
        """Server: answer any request with an ERROR.

        Args:
            reqid: The request's msgid.
            text: What went wrong, for people.
            traceback: Where it went wrong.

        Raises:
            InvalidContent: The text is no str, or the traceback neither str nor None.
            UnknownRequest: No such request is unanswered.
        """
        for name, given in (("text", text), ("traceback", "" if traceback is None else traceback)):
            _check_str(name, given)
        return self._reply(MessageType.ERROR, reqid, {"text": text, "traceback": traceback})

    def pull_doc_reply(self, reqid: str, content: Any, buffers: Iterable[Buffer] = ()) -> Outgoing:
        """Server: answer a PULL-DOC-REQ.

        Args:
            reqid: The request's msgid.
            content: `{"doc": {...}}`.
            buffers: The buffers that the content refers to.

        Raises:
            UnknownRequest: No such request is unanswered, or it needs another kind of reply.
        """
        return self._reply(MessageType.PULL_DOC_REPLY, reqid, content, buffers)

    def server_info_reply(self, reqid: str, content: Any) -> Outgoing:
        """Server: answer a SERVER-INFO-REQ, which exists in generation 3 only.

        Args:
            reqid: The request's msgid.
            content: `{"version_info": {"bokeh": "...", "server": "..."}}`.

        Raises:
            UnknownRequest: No such request is unanswered, or it needs another kind of reply.
        """
        return self._reply(MessageType.SERVER_INFO_REPLY, reqid, content)

    def _send(
        self, intent: _Intent, content: Any = _EMPTY, buffers: Iterable[Buffer] = (), reqid: str | None = None
    ) -> Outgoing:
        # One function for all that every message needs: each call costs as much as encoding a small one.
        given, kind, request = intent
        state = self._moves.get(given) or self._look_up(given)
        pending, limits = self._pending, self._limits
        if request is not None and limits.max_pending is not None and len(pending) >= limits.max_pending:
            raise LocalLimitExceeded("number of pending requests", len(pending) + 1, limits.max_pending, "max_pending")
        checked = outgoing_buffers(buffers, limits) if buffers else ()
        msgid = self._next_id()
        if type(msgid) is not str or not msgid or msgid in self._taken:
            raise InvalidId(f"The id factory returned {msgid!r}; an id is a non-empty str that no pending request has.")
        try:
            frames = self._encode(kind, msgid, reqid, content, checked)
            if limits.max_outgoing_size is not None:
                check_outgoing(frames, limits)
        except BaseException:
            self._next_id = chain((msgid,), iter(self._make_id, _NO_ID)).__next__
            raise
        if request is not None:
            pending[msgid] = request
        if state is not self._state:
            self._enter(state)
        return Outgoing(msgid, frames)

    def _reply(self, kind: MessageType, reqid: str, content: Any = _EMPTY, buffers: Iterable[Buffer] = ()) -> Outgoing:
        # In the client role nothing that is pending is ours to answer; the table says so.
        self._look_up(Input.SEND_REPLY)
        try:
            request = self._pending.get(reqid)
        except TypeError:  # it cannot even be looked up
            request = None
        if request is None:
            raise UnknownRequest(f"No unanswered request has the id {reqid!r}; each is answered once.")
        if kind not in REPLIES[request]:
            allowed = " or ".join(sorted(REPLIES[request]))
            raise UnknownRequest(f"The {request.value} {reqid!r} is answered by {allowed}, not by {kind.value}.")
        outgoing = self._send(_Intent(Input.SEND_REPLY, kind.value, None), content, buffers, reqid)
        del self._pending[reqid]
        return outgoing
