"""The behaviours of a server, each tried on connections of its own; specs/ says what has to hold."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ...protocol import Buffer, Error, Generation, Ok, PullDocReply, ServerInfoReply
from ...protocol.contents import ErrorContent, PatchContent, ServerInfoContent, TitleChanged, WholeContent
from ...session.credentials import new_session_id, new_token
from ...transports import ConnectionClosed, HandshakeRefused, WebSocketViolation, WrongSubprotocol
from .report import Finding, Verdict
from .talking import Broken, Site, Talk, demand

__all__ = ["CHECKS", "FIRST", "PULL", "ROUND_TRIP", "Check"]

_KEPT = Finding(Verdict.KEPT)

# What specs/protocol.md, section Closing, has for a peer that broke the protocol, and what Bokeh's servers do instead.
_DOCUMENTED = frozenset({1002, 1008, 1009})
_DEVIATIONS = {
    1011: "a failure of its own, as Bokeh 3.10 on ASGI",
    10000: "which RFC 6455 forbids, as Bokeh 3 on Tornado",
    10001: "which RFC 6455 forbids, as Bokeh 3 on Tornado",
}


@dataclass(frozen=True)
class Check:
    """One behaviour, and how to try it.

    Attributes:
        behaviour: What the server has to do.
        section: Where that stands.
        run: Tries it.
        needs_ack: Whether there is no point in it where no connection gets as far as an ACK.
    """

    behaviour: str
    section: str
    run: Callable[[Site], Awaitable[Finding]]
    needs_ack: bool = True


async def _selects_bokeh(site: Site) -> Finding:
    async with site.upgraded() as socket:
        demand(socket.subprotocol == "bokeh", f"selects {socket.subprotocol!r}")
    return _KEPT


async def _acknowledges(site: Site) -> Finding:
    async with site.talking() as talk:
        return Finding(Verdict.KEPT, f"generation {talk.generation.value}")


async def _round_trip(site: Site) -> Finding:
    async with site.talking() as talk:
        reply = await talk.ask(talk.round_trip())
    match reply:
        case ServerInfoReply(content=content):
            info = msgspec.convert(content, ServerInfoContent)
            return Finding(Verdict.KEPT, f"Bokeh {info.version_info.bokeh}")
        case Ok():
            return _KEPT
        case _:
            raise Broken(f"answered with {reply.type}")


async def _pull(site: Site) -> Finding:
    async with site.talking() as talk:
        whole = msgspec.convert((await talk.pulled()).content, WholeContent)
    return Finding(Verdict.KEPT, f"{len(whole.doc.roots)} roots")


async def _patch(site: Site) -> Finding:
    async with site.talking() as talk:
        await talk.done(talk.patch(_title("patched")))
        title = (await talk.pulled()).content["doc"]["title"]
    demand(title == "patched", f"says OK, but the title is {title!r}")
    return _KEPT


async def _bad_patch(site: Site) -> Finding:
    async with site.talking() as talk:
        reply = await talk.ask(talk.patch(_unknown_reference()))
        demand(isinstance(reply, Error), f"answered with {reply.type}")
        assert isinstance(reply, Error)
        msgspec.convert({"text": reply.text, "traceback": reply.traceback}, ErrorContent)
    return Finding(Verdict.KEPT, "no cause" if reply.traceback is None else "with a traceback")


async def _usable_after_error(site: Site) -> Finding:
    async with site.talking() as talk:
        await talk.ask(talk.patch(_unknown_reference()))
        await talk.done(talk.patch(_title("afterwards")))
        await talk.pulled()
    return _KEPT


async def _both_answered(site: Site) -> Finding:
    async with site.talking() as talk:
        first, second = talk.pull(), talk.pull()
        replies = await talk.ask_all(first, second)
    demand({reply.reqid for reply in replies} == {first.msgid, second.msgid}, "not each is answered once")
    return _KEPT


async def _in_order(site: Site) -> Finding:
    async with site.talking() as talk:
        # A document takes longer to answer than a round trip, and the title has to be in it.
        requests = (talk.patch(_title("one")), talk.pull(), talk.patch(_title("two")), talk.round_trip())
        replies = await talk.ask_all(*requests)
    demand([reply.reqid for reply in replies] == [request.msgid for request in requests], "replies in another order")
    assert isinstance(replies[1], PullDocReply)
    title = replies[1].content["doc"]["title"]
    demand(title == "one", f"handled in another order: the title was {title!r}")
    return _KEPT


async def _buffers(site: Site) -> Finding:
    data = bytes(range(256))
    source = _source()
    array = {"type": "ndarray", "array": {"type": "bytes", "data": {"id": "b0"}}, "shape": [256], "dtype": "uint8"}
    source["attributes"] = {"data": {"type": "map", "entries": [["x", array | {"order": "little"}]]}}
    async with site.talking() as talk:
        added = {"kind": "RootAdded", "model": source}
        await talk.done(talk.patch(added, buffers=[Buffer("b0", data)]))
        reply = await talk.pulled()
    roots = [root for root in reply.content["doc"]["roots"] if root["id"] == source["id"]]
    demand(roots, "says OK, but the document has not what was added")
    found = _column(roots[0], {buffer.id: bytes(buffer.data) for buffer in reply.buffers})
    demand(found == data, "the data comes back changed")
    return _KEPT


async def _push(site: Site) -> Finding:
    async with site.talking() as talk:
        doc = (await talk.pulled()).content["doc"]
        doc = {key: value for key, value in doc.items() if key != "callbacks"}
        await talk.done(talk.push(doc | {"title": "first", "roots": [_source()]}))
        talk.patches.clear()
        await talk.done(talk.push(doc | {"title": "second", "roots": [_source()]}))
        contents = [msgspec.convert(patch.content, PatchContent) for patch in talk.patches]
    kinds = [type(event).__name__ for content in contents for event in content.events]
    echo = [kind for kind in kinds if kind in ("RootRemoved", "RootAdded", "TitleChanged")]
    demand(echo == ["RootRemoved", "RootAdded", "TitleChanged"], f"before the OK came {', '.join(kinds) or 'nothing'}")
    return _KEPT


async def _told_to_others(site: Site) -> Finding:
    session = new_session_id()
    async with site.talking(session) as first, site.talking(session) as second:
        await first.done(first.patch(_title("news")))
        await first.ask(first.round_trip())
        await second.ask(second.round_trip())
    demand(_titles(second) == ["news"], "the other connection is not told")
    demand(_titles(first) == [], "it is sent back to whoever made it")
    return _KEPT


async def _survives(site: Site) -> Finding:
    session = new_session_id()
    # An application without a network, AsgiTransport's, runs as long as there are connections.
    async with site.talking():
        async with site.talking(session) as talk:
            await talk.done(talk.patch(_title("kept")))
            await talk.close(1000, "")
        async with site.talking(session) as talk:
            title = (await talk.pulled()).content["doc"]["title"]
    demand(title == "kept", "the session has another document")
    return _KEPT


async def _answers_close(site: Site) -> Finding:
    async with site.talking() as talk:
        closed = await talk.close(4000, "done")
    demand(closed.clean, "the connection ends without the server's close frame")
    demand((closed.code, closed.reason) == (4000, "done"), f"it ends with {closed.code} {closed.reason!r}")
    return _KEPT


def _closes(*frames: str | bytes, message: Callable[[Talk], list[str]] | None = None) -> Callable[..., Any]:
    async def check(site: Site) -> Finding:
        async with site.talking() as talk:
            closed = await talk.end_after(*(message(talk) if message is not None else ()), *frames)
        return _judged(closed)

    return check


def _judged(closed: ConnectionClosed) -> Finding:
    if isinstance(closed, WebSocketViolation):
        return Finding(Verdict.DEVIATES, f"closes with what RFC 6455 forbids: {closed.reason}")
    assert closed.code is not None
    if closed.code in _DEVIATIONS:
        return Finding(Verdict.DEVIATES, f"close {closed.code}, {_DEVIATIONS[closed.code]}")
    demand(closed.clean, "the connection is dropped without a close frame")
    demand(closed.code in _DOCUMENTED, f"close {closed.code}, which is not documented for it")
    return Finding(Verdict.KEPT, f"close {closed.code}")


def _refuses(*subprotocols: str) -> Callable[[Site], Awaitable[Finding]]:
    async def check(site: Site) -> Finding:
        return await _refusal(site, *subprotocols)

    return check


async def _refuses_path(site: Site) -> Finding:
    parts = urlsplit(site.url)
    nowhere = urlunsplit((parts.scheme, parts.netloc, f"/{uuid.uuid4().hex}/ws", "", ""))
    return await _refusal(site, "bokeh", new_token(new_session_id()), url=nowhere)


async def _refusal(site: Site, *subprotocols: str, url: str | None = None) -> Finding:
    try:
        async with site.upgraded(*subprotocols, url=url) as socket:
            try:
                frames = await socket.receive()
            except ConnectionClosed as closed:
                how = "without a code" if closed.code in (1005, 1006) else f"with {closed.code}"
                return Finding(Verdict.KEPT, f"accepts the upgrade and closes {how}")
            raise Broken(f"accepted, with {str(frames[0])[:60]!r}")
    except HandshakeRefused as refused:
        demand(400 <= refused.status < 500, f"HTTP {refused.status}")
        return Finding(Verdict.KEPT, f"HTTP {refused.status}")
    except WrongSubprotocol as wrong:
        demand(wrong.selected is None, f"selects {wrong.selected!r}, which was not asked for")
        return Finding(Verdict.KEPT, "accepts the upgrade and selects no subprotocol")


def _title(title: str) -> dict[str, Any]:
    return {"kind": "TitleChanged", "title": title}


def _unknown_reference() -> dict[str, Any]:
    return {"kind": "ModelChanged", "model": {"id": f"probe-{uuid.uuid4()}"}, "attr": "name", "new": "x"}


def _source() -> dict[str, Any]:
    """The one model that any server's document can hold."""
    return {"type": "object", "name": "ColumnDataSource", "id": f"probe-{uuid.uuid4()}"}


def _titles(talk: Talk) -> list[str]:
    contents = [msgspec.convert(patch.content, PatchContent) for patch in talk.patches]
    return [event.title for content in contents for event in content.events if isinstance(event, TitleChanged)]


def _column(source: Any, buffers: dict[str, bytes]) -> bytes:
    """Read the column of a pulled source, whose bytes are a buffer or base64 (specs/values.md)."""
    try:
        data = source["attributes"]["data"]["entries"][0][1]["array"]["data"]
        return base64.b64decode(data) if isinstance(data, str) else buffers[data["id"]]
    except (KeyError, IndexError, TypeError, ValueError):
        raise Broken("the column that was added does not come back as an array") from None


def _without_buffer(talk: Talk) -> list[str]:
    header = ['{"id":"b0"}'] if talk.generation is Generation.V3 else []
    return [*talk.message("PATCH-DOC", buffers=["b0"]), *header, "text"]


_HANDSHAKE, _PROTOCOL = "handshake.md", "protocol.md"

FIRST = Check("sends ACK first", f"{_PROTOCOL}, Life of a connection", _acknowledges)
ROUND_TRIP = Check("answers the round trip", f"{_PROTOCOL}, Requests and replies", _round_trip)
PULL = Check("answers PULL-DOC-REQ with a document", "messages.md", _pull)

CHECKS = (
    Check("selects the subprotocol bokeh", f"{_HANDSHAKE}, Subprotocols", _selects_bokeh),
    Check("refuses an unknown path", f"{_HANDSHAKE}, What is refused", _refuses_path, needs_ack=False),
    Check(
        "refuses a token that is none", f"{_HANDSHAKE}, What is refused", _refuses("bokeh", "garbage"), needs_ack=False
    ),
    Check("refuses a handshake without token", f"{_HANDSHAKE}, What is refused", _refuses("bokeh"), needs_ack=False),
    Check(
        "refuses another first subprotocol",
        f"{_HANDSHAKE}, What is refused",
        _refuses("other", "garbage"),
        needs_ack=False,
    ),
    ROUND_TRIP,
    PULL,
    Check("answers a PATCH-DOC with OK, and applies it", f"{_PROTOCOL}, Requests and replies", _patch),
    Check("answers a PATCH-DOC that it cannot apply with ERROR", f"{_PROTOCOL}, Requests and replies", _bad_patch),
    Check("goes on after an ERROR", f"{_PROTOCOL}, Requests and replies", _usable_after_error),
    Check("answers each of two requests in flight", f"{_PROTOCOL}, Requests and replies", _both_answered),
    Check("handles and answers requests in order", f"{_PROTOCOL}, Order", _in_order),
    Check("takes a PATCH-DOC with buffers", "messages.md", _buffers),
    Check("sends a PUSH-DOC back, in order, before its OK", f"{_PROTOCOL}, Order", _push),
    Check("tells a change to the session's other connections alone", f"{_PROTOCOL}, Order", _told_to_others),
    Check("keeps a session for a client that comes back", f"{_PROTOCOL}, Closing", _survives),
    Check(
        "closes on an unknown message",
        f"{_PROTOCOL}, Closing",
        _closes(message=lambda talk: talk.message("NO-SUCH-TYPE")),
    ),
    Check(
        "closes on a message that is not for a server",
        f"{_PROTOCOL}, Closing",
        _closes(message=lambda talk: talk.message("OK", reqid="x")),
    ),
    Check(
        "closes on a header without msgtype", f"{_PROTOCOL}, Closing", _closes(message=lambda talk: talk.message(""))
    ),
    Check("closes on a frame that is no JSON", f"{_PROTOCOL}, Closing", _closes("{", "{}", "{}")),
    Check("closes on a binary frame where a message begins", f"{_PROTOCOL}, Closing", _closes(b"{}")),
    Check("closes on text where a buffer belongs", f"{_PROTOCOL}, Closing", _closes(message=_without_buffer)),
    Check("answers the client's close frame", f"{_PROTOCOL}, Closing", _answers_close),
)
