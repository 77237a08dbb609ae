"""A small server of the protocol that keeps all of it, made to be bent: each method is one thing that it does."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from bokehwire.protocol import (
    Buffer,
    Connection,
    Generation,
    Outgoing,
    PatchDoc,
    PullDocReq,
    PushDoc,
    RemoteProtocolError,
    RequestMessage,
    RequestReceived,
    Role,
    ServerInfoReq,
    Sync,
)

from ..faults import Close, PeerConnection, Request


@dataclass
class Member:
    """One connection of a session."""

    peer: PeerConnection
    connection: Connection

    async def send(self, outgoing: Outgoing) -> None:
        await self.peer.send(*[frame if isinstance(frame, str) else bytes(frame) for frame in outgoing.frames])


@dataclass
class Session:
    title: str = "Bokeh Application"
    roots: list[Any] = field(default_factory=list)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)


class BokehPeer:
    """The script of a ScriptedPeer: one application at /app, in one wire generation."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.sessions: dict[str, Session] = {}

    async def __call__(self, peer: PeerConnection) -> None:
        request = await peer.read_request()
        session_id = self.admitted(request)
        if session_id is None:
            await peer.respond(403)
            return
        session = self.sessions.setdefault(session_id, Session())
        member = Member(peer, Connection(Role.SERVER, generation=self.generation))
        session.members.append(member)
        try:
            await peer.accept(self.selected(request))
            await self.acknowledge(member)
            await self.serve(session, member)
        finally:
            session.members.remove(member)
            self.left(session_id)

    def admitted(self, request: Request) -> str | None:
        if not self.is_application(request.target) or not self.is_bokeh(request.subprotocols):
            return None
        token = request.subprotocols[-1]
        try:
            return str(json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))["session_id"])
        except ValueError:
            return None

    def is_application(self, target: str) -> bool:
        return target == "/app/ws"

    def is_bokeh(self, subprotocols: list[str]) -> bool:
        return len(subprotocols) == 2 and subprotocols[0] == "bokeh"

    def selected(self, request: Request) -> str:
        return "bokeh"

    async def acknowledge(self, member: Member) -> None:
        await member.send(member.connection.ack())

    async def serve(self, session: Session, member: Member) -> None:
        while True:
            match await member.peer.receive():
                case None:
                    return
                case Close() as close:
                    await self.answer_close(member, close)
                    return
                case frame:
                    try:
                        event = member.connection.receive_frame(frame)
                    except RemoteProtocolError as error:
                        await self.end(member, error)
                        return
                    if isinstance(event, RequestReceived):
                        await self.handle(session, member, event.message)

    async def answer_close(self, member: Member, close: Close) -> None:
        await member.peer.send_close(close.code, close.reason)

    async def end(self, member: Member, error: RemoteProtocolError) -> None:
        await member.peer.send_close(error.close_code)
        await member.peer.drain_client()

    def left(self, session_id: str) -> None:
        """A connection of the session has ended."""

    async def handle(self, session: Session, member: Member, message: RequestMessage) -> None:
        connection = member.connection
        match message:
            case PatchDoc():
                await self.patch(session, member, message)
            case PushDoc():
                await self.push(session, member, message)
            case PullDocReq():
                await self.pull(session, member, message)
            case ServerInfoReq():
                versions = {"bokeh": "0", "server": "0"}
                await member.send(connection.server_info_reply(message.msgid, {"version_info": versions}))
            case Sync():
                await member.send(connection.ok(message.msgid))

    async def pull(self, session: Session, member: Member, message: PullDocReq) -> None:
        buffers = tuple(session.buffers.values())
        await member.send(member.connection.pull_doc_reply(message.msgid, {"doc": self.document(session)}, buffers))

    def document(self, session: Session) -> dict[str, Any]:
        config = {"type": "object", "name": "DocumentConfig", "id": "c"}
        return {"version": "0", "title": session.title, "config": config, "roots": session.roots, "defs": []}

    async def patch(self, session: Session, member: Member, message: PatchDoc) -> None:
        for event in message.content["events"]:
            if event["kind"] not in ("TitleChanged", "RootAdded"):
                await self.refuse(member, message)
                return
        for event in message.content["events"]:
            self.apply(session, event, message.buffers)
        for other in self.told(session, member):
            await other.send(other.connection.patch_doc(message.content, message.buffers))
        await self.patched(member, message)

    async def patched(self, member: Member, message: PatchDoc) -> None:
        await member.send(member.connection.ok(message.msgid))

    def told(self, session: Session, member: Member) -> list[Member]:
        return [other for other in session.members if other is not member]

    def apply(self, session: Session, event: dict[str, Any], buffers: tuple[Buffer, ...]) -> None:
        if event["kind"] == "TitleChanged":
            session.title = event["title"]
        else:
            session.roots.append(event["model"])
            session.buffers |= {buffer.id: buffer for buffer in buffers}

    async def refuse(self, member: Member, message: PatchDoc) -> None:
        await member.send(member.connection.refuse(message.msgid, "there is no such model"))

    async def push(self, session: Session, member: Member, message: PushDoc) -> None:
        doc = message.content["doc"]
        removed = [{"kind": "RootRemoved", "model": {"id": root["id"]}} for root in session.roots]
        added = [{"kind": "RootAdded", "model": root} for root in doc["roots"]]
        session.roots, session.title = doc["roots"], doc["title"]
        events = self.echoed([*removed, *added, {"kind": "TitleChanged", "title": doc["title"]}])
        for event in events:
            for other in session.members:
                await other.send(other.connection.patch_doc({"events": [event]}))
        await member.send(member.connection.ok(message.msgid))

    def echoed(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return events
