"""The steps of a scenario that ask a connection to send: they bring it into all states that frames can meet."""

from __future__ import annotations

from typing import Any

from bokehwire.protocol import Buffer, Connection, Outgoing

from .scenario import Step, text_of

_PATCH = {"events": [{"kind": "TitleChanged", "title": "x"}]}
_DOC: dict[str, Any] = {"doc": {"roots": []}}


def act(connection: Connection, step: Step) -> Outgoing:
    """Ask for what the step's letter says. For a reply the data is the request's id, the oldest pending one if empty.

    Raises:
        LocalProtocolError: It is not allowed here.
    """
    reqid = text_of(step.data) or next(iter(connection.pending), "")
    match step.letter:
        case "K":
            return connection.ack()
        case "P":
            return connection.patch_doc(_PATCH, [Buffer("b", step.data)] if step.data else [])
        case "U":
            return connection.push_doc(_DOC)
        case "L":
            return connection.pull_doc()
        case "R":
            return connection.roundtrip()
        case "I":
            return connection.server_info()
        case "O":
            return connection.ok(reqid)
        case "E":
            return connection.refuse(reqid, "no")
        case "D":
            return connection.pull_doc_reply(reqid, _DOC)
        case _:
            return connection.server_info_reply(reqid, {"version_info": {}})
