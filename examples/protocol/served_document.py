"""What a Bokeh server does with a document, without any I/O: frames in, messages out.

starlette_server.py puts it behind a WebSocket; any other framework can. It needs `pip install bokehwire`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import bokeh
from bokeh.core.json_encoder import serialize_json
from bokeh.core.serialization import Buffer, Serialized, Serializer
from bokeh.document import Document
from msgspec import Raw

from bokehwire import protocol

GENERATION = protocol.Generation(int(bokeh.__version__.split(".")[0]))
VERSIONS = {"version_info": {"bokeh": bokeh.__version__, "server": bokeh.__version__}}


class Viewer:
    """One client that sees the document; `send` gets each message for it, in the order in which things happened."""

    def __init__(self, document: Document, send: Callable[[protocol.Outgoing], None]) -> None:
        self.core = protocol.Connection(protocol.Role.SERVER, generation=GENERATION)
        self._document, self._send = document, send
        self._known = set(document.models)
        document.callbacks.on_change_dispatch_to(self)
        send(self.core.ack())

    def leave(self) -> None:
        self._document.remove_on_change(self)

    def receive(self, frame: str | bytes) -> None:
        if self.core.error is not None:
            return  # After a frame that breaks the protocol, the others that are under way mean nothing.
        event = self.core.receive_frame(frame)
        if isinstance(event, protocol.RequestReceived):
            self._send(self._answer(event.message))

    def _answer(self, request: Any) -> protocol.Outgoing:
        buffers = [Buffer(buffer.id, bytes(buffer.data)) for buffer in getattr(request, "buffers", ())]
        try:
            match request:
                case protocol.PullDocReq():
                    pulled = self._document.to_json()
                    return self.core.pull_doc_reply(request.msgid, *to_wire({"doc": pulled.content}, pulled.buffers))
                case protocol.PushDoc():
                    self._document.replace_with_json(Serialized(request.content["doc"], buffers))
                case protocol.PatchDoc():
                    # What Bokeh's callbacks change in reaction is sent at once, before the reply.
                    self._document.apply_json_patch(Serialized(request.content, buffers), setter=cast(Any, self))
                case protocol.ServerInfoReq():
                    return self.core.server_info_reply(request.msgid, VERSIONS)
            return self.core.ok(request.msgid)
        except Exception as error:
            return self.core.refuse(request.msgid, repr(error))

    def _document_patched(self, event: Any) -> None:
        # Bokeh calls this for each change of the document, whoever made it. A model that the client has not seen goes
        # out whole, any other as a reference.
        serializer = Serializer(references=self._known)
        events = serializer.encode([event])
        self._known = set(self._document.models)
        if event.setter is not self and self.core.state is protocol.State.OPEN:
            self._send(self.core.patch_doc(*to_wire({"events": events}, serializer.buffers)))


def to_wire(content: Any, buffers: list[Buffer]) -> tuple[Raw, list[protocol.Buffer]]:
    return Raw(serialize_json(content).encode()), [protocol.Buffer(buffer.id, buffer.to_bytes()) for buffer in buffers]
