"""The seed corpus: every kind of message in both generations and roles, and every malformed case that is known.

`python -m fuzz.seeds` writes it into fuzz/corpus/. A seed's name begins with what came of the last step, the name of an
event or of an error, or "part" for a frame that completes nothing; tests/protocol/test_fuzz_seeds.py compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bokehwire.protocol import Generation

from . import malformed
from .scenario import GENERATION_4, RAW, SERVER, STRANGER, head, join

CORPUS = Path(__file__).parent / "corpus"

_CONTENT: dict[str, object] = {
    "PATCH-DOC": {"events": [{"kind": "ModelChanged", "model": {"id": "p1"}, "attr": "value", "new": {"id": "b1"}}]},
    "PUSH-DOC": {"doc": {"version": "3.9.2", "title": "t", "roots": []}},
    "PULL-DOC-REPLY": {"doc": {"version": "3.9.2", "title": "t", "roots": []}},
    "SERVER-INFO-REPLY": {"version_info": {"bokeh": "3.9.2", "server": "3.9.2"}},
    "ERROR": {"text": "no", "traceback": None},
}
_WITH_BUFFERS = ("PATCH-DOC", "PUSH-DOC", "PULL-DOC-REPLY")
# What a client has asked before each reply; its first request has the id "1".
_ASKED = {"OK": b"P", "ERROR": b"R", "PULL-DOC-REPLY": b"L", "SERVER-INFO-REPLY": b"I"}
_BY_SERVER = ("ACK", "PATCH-DOC", *_ASKED)
_BY_CLIENT = ("PATCH-DOC", "PUSH-DOC", "PULL-DOC-REQ", "SERVER-INFO-REQ", "SYNC")
_ABSENT = {Generation.V3: {"SYNC"}, Generation.V4: {"SERVER-INFO-REQ", "SERVER-INFO-REPLY"}}
_FLAGS = {Generation.V3: 0, Generation.V4: GENERATION_4}


def message(
    generation: Generation, kind: str, *, msgid: str = "m", reqid: str | None = None, buffers: Sequence[str] = ()
) -> list[bytes]:
    """The steps that feed a message as the standard library writes it."""
    header: dict[str, object] = {"msgid": msgid, "msgtype": kind}
    if reqid is not None:
        header["reqid"] = reqid
    content = _CONTENT.get(kind, {})
    data = [b"bav"[index % 3 :][:1] + name.encode() for index, name in enumerate(buffers)]
    if generation is Generation.V4:
        return [_text({"header": header, "content": content, "buffers": list(buffers)}), *data]
    if buffers:
        header["num_buffers"] = len(buffers)
    steps = [_text(header), _text({}), _text(content)]
    for name, binary in zip(buffers, data, strict=True):
        steps += _text({"id": name}), binary
    return steps


def _text(value: object) -> bytes:
    return b"t" + json.dumps(value, separators=(",", ":")).encode()


def valid(generation: Generation, role: int) -> Iterator[tuple[str, bytes]]:
    """Every kind that the other end may send, with and without buffers; then all of them one after another."""
    flags = _FLAGS[generation] | role
    everything: list[bytes] = []
    for kind in _BY_CLIENT if role else _BY_SERVER:
        if kind in _ABSENT[generation]:
            continue
        asked = [_ASKED[kind]] if kind in _ASKED else []
        reqid = "1" if asked else None
        event = "RequestReceived" if role else "ReplyReceived" if asked else "PatchReceived"
        if kind == "ACK":
            yield "Ready-ack", join(head(flags | STRANGER), *message(generation, kind))
            continue
        yield f"{event}-{kind.lower()}", join(head(flags), *asked, *message(generation, kind, reqid=reqid))
        if kind in _WITH_BUFFERS:
            steps = message(generation, kind, reqid=reqid, buffers=("b1", "b2", "b3"))
            yield f"{event}-{kind.lower()}-buffers", join(head(flags | RAW), *asked, *steps)
        everything += asked
        # A reply answers the request that was made last but one, so that there is always one in flight.
        everything += message(generation, kind, msgid=kind, reqid=reqid)
    end = [b"O", b"s1000bye", *message(generation, "OK"), b"c1000bye"]
    yield "Closed-everything", join(head(flags), *everything, *end)


def misplaced(generation: Generation) -> Iterator[tuple[str, bytes]]:
    """Well-formed messages where they may not come, and frames where none may."""
    client, server = _FLAGS[generation], _FLAGS[generation] | SERVER

    def made(kind: str, **options: str) -> list[bytes]:
        return message(generation, kind, **options)

    yield "UnexpectedMessage-client-second-ack", join(head(client), *made("ACK"))
    yield "UnexpectedMessage-client-before-ack", join(head(client | STRANGER), *made("PATCH-DOC"))
    yield "UnexpectedMessage-client-request", join(head(client), *made("PULL-DOC-REQ"))
    yield "UnexpectedMessage-client-wrong-reply", join(head(client), b"L", *made("OK", reqid="1"))
    yield "UnknownReply-client-reqid-missing", join(head(client), b"L", *made("PULL-DOC-REPLY"))
    yield "UnknownReply-client-reqid-unknown", join(head(client), b"P", *made("ERROR", reqid="2"))
    yield "UnknownReply-client-answered-twice", join(head(client), b"P", *made("OK", reqid="1"), *made("OK", reqid="1"))
    yield "MalformedFrame-client-no-bokeh-server", join(head(client | STRANGER), b'thello, I am {"id": 1}')
    yield "MalformedFrame-client-binary-greeting", join(head(client | STRANGER), b"b{}")
    yield "LimitExceeded-client-greeting-too-long", join(head(client | STRANGER, max_message_size=16), *made("ACK"))
    yield "Ready-client-greeting-within-limits", join(head(client | STRANGER, max_message_size=512), *made("ACK"))
    yield "WrongState-client-closed-twice", join(head(client), b"c1000", b"c1000")
    yield "WrongState-client-close-when-closed", join(head(client), b"c1000", b"s1000")
    yield "InvalidClose-client-code", join(head(client), b"s1005")
    yield "LocalLimitExceeded-client-max-pending", join(head(client, max_pending=1), b"P", b"R")
    yield "Ready-client-abandoned", join(head(client | STRANGER), b"s1000", *made("ACK"))
    yield "PatchReceived-client-closing", join(head(client), b"s1000", *made("PATCH-DOC"))
    yield "WrongState-client-closed", join(head(client), b"c1000", *made("PATCH-DOC")[:1])
    yield "MalformedFrame-client-failed", join(head(client), b"t[]", *made("PATCH-DOC"))
    yield "Closed-client-failed", join(head(client), b"P", b"t[]", b"s1002", b"c1002no")
    yield "UnexpectedMessage-server-before-ack", join(head(server | STRANGER), b"t{}")
    yield "UnexpectedMessage-server-reply", join(head(server), *made("OK", reqid="1"))
    yield "UnexpectedMessage-server-ack", join(head(server), *made("ACK"))
    yield "UnexpectedMessage-server-id-twice", join(head(server), *made("PATCH-DOC"), *made("PATCH-DOC"))
    yield "RequestReceived-server-id-again", join(head(server), *made("PATCH-DOC"), b"O", *made("PATCH-DOC"))
    yield "RequestReceived-server-closing", join(head(server), b"s1000", *made("PULL-DOC-REQ"))
    yield (
        "LimitExceeded-server-max-pending",
        join(head(server, max_pending=1), *made("PATCH-DOC"), *made("PULL-DOC-REQ", msgid="n")),
    )


def seeds() -> Iterator[tuple[str, bytes]]:
    """All seeds: their names and what they hold."""
    tables = {Generation.V3: malformed.GENERATION_3, Generation.V4: malformed.GENERATION_4}
    for generation in Generation:
        name = generation.name.lower()
        for role, end in ((0, "client"), (SERVER, "server")):
            for what, scenario in valid(generation, role):
                yield f"{what}-{end}-{name}", scenario
        for what, scenario in misplaced(generation):
            yield f"{what}-{name}", scenario
        for case in tables[generation]:
            scenario = join(head(_FLAGS[generation] | case.flags, **case.limits), *case.steps)
            yield f"{case.outcome}-{case.what}-{name}", scenario


def main() -> None:
    """Write the corpus. What a fuzzer has found and somebody has added stays."""
    CORPUS.mkdir(exist_ok=True)
    for name, scenario in seeds():
        (CORPUS / name).write_bytes(scenario)


if __name__ == "__main__":
    main()
