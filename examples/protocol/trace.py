"""Reads the frames between a Bokeh client and a server and tells of each message in one line, without any I/O.

tracing_proxy.py puts it between two WebSockets; any other library can. It needs `pip install bokehwire`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from bokehwire import protocol
from bokehwire.protocol import Connection, MessageType, Role

NOTHING = Raw(b"{}")
SEND: dict[MessageType, Callable[[Connection, Any], object]] = {
    MessageType.ACK: lambda end, message: end.ack(),
    MessageType.OK: lambda end, message: end.ok(message.reqid),
    MessageType.ERROR: lambda end, message: end.refuse(message.reqid, ""),
    MessageType.PATCH_DOC: lambda end, message: end.patch_doc(NOTHING),
    MessageType.PUSH_DOC: lambda end, message: end.push_doc(NOTHING),
    MessageType.PULL_DOC_REQ: lambda end, message: end.pull_doc(),
    MessageType.PULL_DOC_REPLY: lambda end, message: end.pull_doc_reply(message.reqid, NOTHING),
    MessageType.SERVER_INFO_REQ: lambda end, message: end.server_info(),
    MessageType.SERVER_INFO_REPLY: lambda end, message: end.server_info_reply(message.reqid, NOTHING),
    MessageType.SYNC: lambda end, message: end.roundtrip(),
}


class Trace:
    """Both ends of one connection: what one of them reads, the other has sent, so both know what is in flight."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._msgid, self._lost = "", False
        self._ends = {"<-": self._end(Role.CLIENT, None), "->": self._end(Role.SERVER, protocol.Generation.V3)}
        self._sizes: dict[str, list[int]] = {"<-": [], "->": []}

    def _end(self, role: Role, generation: protocol.Generation | None) -> Connection:
        # Both write with the id of the message that passes.
        return Connection(role, generation=generation, raw_content=True, id_factory=lambda: self._msgid)

    def read(self, way: str, frame: str | bytes) -> None:
        """Take a frame that goes to the client ("<-") or to the server ("->"), whatever it is: nothing is raised."""
        if self._lost:
            return
        self._sizes[way].append(len(frame))
        try:
            self._read(way, frame)
        except protocol.BokehWireError as error:  # Also what Bokeh takes and nobody may write, such as an empty msgid.
            self._lost = True
            self._write(f"{way} {error} No further frame is read.")

    def _read(self, way: str, frame: str | bytes) -> None:
        event = self._ends[way].receive_frame(frame)
        if isinstance(event, protocol.Ready):
            self._ends["->"] = self._end(Role.SERVER, event.generation)
            self._tell(way, protocol.Ack(event.msgid))
        elif event is not None:
            self._tell(way, event.message, known=not isinstance(event, protocol.UnknownReply))

    def _tell(self, way: str, message: protocol.Message, known: bool = True) -> None:
        reqid, sizes = getattr(message, "reqid", None), self._sizes[way]
        answers = f" answers {reqid}" if reqid else ""
        self._write(f"{way} {message.type.value} {message.msgid}{answers}: {sum(sizes)} in {len(sizes)} frames")
        sizes.clear()
        if known:
            self._msgid = message.msgid
            SEND[message.type](self._ends["->" if way == "<-" else "<-"], message)
