"""The files under specs/transcripts: complete, in their places, consistent, and free of the machine they come from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.protocol.replaying import TRANSCRIPTS, is_fault, steps
from tools.capture.transcript import FOLDER, SUFFIX, Transcript, write

each_transcript = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)

PYTHON = {
    "handshake", "pull", "pull-buffers", "push", "push-again", "push-buffers", "patch-from-client",
    "patch-from-client-buffers", "patch-from-server", "patch-from-server-buffers", "reaction", "event",
    "rejected-patch", "changes", "server-stops",
}  # fmt: skip
BOKEHJS = (PYTHON | {"page-left"}) - {"handshake", "push", "push-again", "push-buffers"}
SCRIPT = {
    "unknown-kind", "not-json", "binary-frame", "reply-to-server", "unknown-reference", "pipelined",
    "close-in-flight", "cut",
}  # fmt: skip
CAPTURED = {
    (bokeh, server, client): exchanges
    | ({"bad-token"} if (server, client) == ("tornado", "script") else set())
    | (set() if client == "script" else {"sync"} if bokeh.startswith("4") else {"server-info"})
    for bokeh, server in (
        ("3.9.2", "tornado"),
        ("3.10.2", "tornado"),
        ("3.10.2", "asgi"),
        ("4.0.0.dev8", "tornado"),
        ("4.0.0.dev8", "asgi"),
    )
    for client, exchanges in (("python", PYTHON), ("bokehjs", BOKEHJS), ("script", SCRIPT))
}

# A sign of the machine or the session that a transcript was captured on.
PRIVATE = re.compile(
    r"""File \\+"/|/(root|home|usr|opt|tmp|var|Users)/|[A-Za-z]:\\\\|localhost|\b\d+\.\d+\.\d+\.\d+\b|eyJ[A-Za-z0-9]"""
)


@each_transcript
def test_the_expected_messages_are_what_the_frames_say(transcript: Transcript) -> None:
    """Bokeh's receiver has written them; the standard library says the same."""
    for step in steps(transcript):
        if step.expected is None or step.expected.message is None:
            continue
        texts = [json.loads(frame) for frame in step.captured if isinstance(frame, str)]
        if transcript.generation == 3:
            header, _, content, *names = texts
            buffers = [name["id"] for name in names]
            assert header.pop("num_buffers", 0) == len(buffers)
        else:
            (envelope,) = texts
            header, content, buffers = envelope["header"], envelope["content"], envelope["buffers"]
        seen = step.expected.message
        assert header == {
            "msgtype": seen.kind,
            "msgid": seen.msgid,
            **({} if seen.reqid is None else {"reqid": seen.reqid}),
        }
        assert json.dumps(content) == json.dumps(seen.content)
        assert tuple(buffers) == seen.buffers


def test_everything_has_been_captured() -> None:
    found: dict[tuple[str, str, str], set[str]] = {}
    for transcript in TRANSCRIPTS:
        found.setdefault((transcript.bokeh, transcript.server, transcript.client), set()).add(transcript.exchange)
    assert found == CAPTURED


def test_the_place_says_what_is_in_the_file() -> None:
    files = sorted(FOLDER.rglob(f"*{SUFFIX}"))
    assert [FOLDER / transcript.path for transcript in TRANSCRIPTS] == files


@each_transcript
def test_a_transcript_is_written_as_it_was_read(transcript: Transcript, tmp_path: Path) -> None:
    assert write(transcript, tmp_path).read_bytes() == (FOLDER / transcript.path).read_bytes()
    assert transcript.generation == int(transcript.bokeh.partition(".")[0])


@each_transcript
def test_nothing_of_the_machine_is_in_the_file(transcript: Transcript) -> None:
    text = (FOLDER / transcript.path).read_text("utf-8")
    assert PRIVATE.findall(text) == []
    assert len(text) < 20_000


def test_the_faults_are_those_of_the_script() -> None:
    faulty = [transcript for transcript in TRANSCRIPTS if any(map(is_fault, steps(transcript)))]
    assert {(transcript.client, transcript.exchange) for transcript in faulty} == {
        ("script", name) for name in ("unknown-kind", "not-json", "binary-frame", "reply-to-server")
    }
