"""Server conformance: Bokeh's servers as specs/deviations.md has them, and a server bent in one thing at a time."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from typing import Any

import bokeh
import pytest

from bokehwire.protocol import Buffer, Generation, PatchDoc, PullDocReq, RemoteProtocolError
from bokehwire.testing import ServerReport, Verdict, async_server_conformance, server_conformance
from bokehwire.testing.probe.checks import CHECKS, FIRST
from bokehwire.transports import ConnectError, InvalidURL
from bokehwire.transports.asgi import AsgiTransport

from ..faults import Close, PeerConnection, Request, ScriptedPeer, never_answer, refuse
from ..servers import DEADLINE, SERVER_KINDS, LiveServer
from .bokeh_peer import BokehPeer, Member, Session

V3, V4 = Generation.V3, Generation.V4
SPOKEN = V4 if bokeh.__version__.startswith("4") else V3
ALL = [check.behaviour for check in (FIRST, *CHECKS)]
CLOSES = [name for name in ALL if name.startswith("closes on")]


def report_on(script: Any, **options: Any) -> ServerReport:
    with ScriptedPeer(script) as peer:
        return server_conformance(peer.url("/app"), **{"timeout": DEADLINE, **options})


@pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)
@pytest.mark.parametrize("transport", ["tornado", "aiohttp"])
def test_the_servers_of_bokeh_break_nothing(server: LiveServer, transport: str) -> None:
    report = server_conformance(server.url(), transport=transport, timeout=DEADLINE)
    assert report.ok, report.as_table()
    assert report.generation == SPOKEN


@pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)
def test_the_servers_of_bokeh_deviate_where_the_specification_says(server: LiveServer) -> None:
    report = server_conformance(server.url(), timeout=DEADLINE)
    notes = {row.behaviour: row.note for row in report.rows}
    if SPOKEN is V4:
        assert report.of(Verdict.DEVIATES) == []
        assert {notes[name] for name in CLOSES} == {"close 1002"}
    elif server.kind == "asgi":
        assert report.of(Verdict.DEVIATES) == ["closes on an unknown message", "closes on a frame that is no JSON"]
    else:
        assert report.of(Verdict.DEVIATES) == CLOSES
    refusal = "HTTP 403" if server.kind == "asgi" else "accepts the upgrade and closes without a code"
    assert notes["refuses a token that is none"] == refusal
    assert notes["refuses an unknown path"] == ("HTTP 403" if server.kind == "asgi" else "HTTP 404")
    assert notes["answers a PATCH-DOC that it cannot apply with ERROR"] == (
        "no cause" if SPOKEN is V4 else "with a traceback"
    )


@pytest.mark.skipif(importlib.util.find_spec("bokeh.server.asgi") is None, reason="Bokeh 3.9 has no ASGI server")
def test_an_application_without_a_network() -> None:
    from bokeh.application import Application
    from bokeh.server.asgi import BokehASGI

    transport = AsgiTransport(BokehASGI({"/app": Application()}))
    report = asyncio.run(async_server_conformance("http://localhost/app", transport=transport, timeout=DEADLINE))
    assert report.ok, report.as_table()


@pytest.mark.parametrize("generation", Generation)
def test_a_server_that_keeps_everything(generation: Generation) -> None:
    report = report_on(BokehPeer(generation))
    assert report.of(Verdict.KEPT) == ALL, report.as_table()
    assert report.ok
    assert report.generation == generation


class SelectsTheToken(BokehPeer):
    def selected(self, request: Request) -> str:
        return request.subprotocols[-1]


class AdmitsEverybody(BokehPeer):
    def admitted(self, request: Request) -> str | None:
        return super().admitted(request) or ("anybody" if self.is_application(request.target) else None)

    def selected(self, request: Request) -> str:
        return request.subprotocols[0]


class AdmitsEverywhere(BokehPeer):
    def is_application(self, target: str) -> bool:
        return True


class NoDocument(BokehPeer):
    def document(self, session: Session) -> dict[str, Any]:
        document = super().document(session)
        del document["config"]
        return document


class AppliesNothing(BokehPeer):
    def apply(self, session: Session, event: dict[str, Any], buffers: tuple[Buffer, ...]) -> None:
        pass


class SaysOkToAll(BokehPeer):
    async def refuse(self, member: Member, message: PatchDoc) -> None:
        await member.send(member.connection.ok(message.msgid))


class ForgetsReqid(BokehPeer):
    """Answers an ERROR to nobody."""

    async def refuse(self, member: Member, message: PatchDoc) -> None:
        frames = member.connection.refuse(message.msgid, "no such model").frames
        await member.peer.send(*[str(frame).replace(f'"reqid":"{message.msgid}"', '"reqid":"?"') for frame in frames])


class ClosesAfterError(BokehPeer):
    async def refuse(self, member: Member, message: PatchDoc) -> None:
        await super().refuse(member, message)
        await member.peer.send_close(1011)


class AnswersTheFirstTwice(BokehPeer):
    async def pull(self, session: Session, member: Member, message: PullDocReq) -> None:
        frames = member.connection.pull_doc_reply(message.msgid, {"doc": self.document(session)}).frames
        first = getattr(member, "first", message.msgid)
        member.first = first  # type: ignore[attr-defined]
        replaced = [str(frame).replace(f'"reqid":"{message.msgid}"', f'"reqid":"{first}"') for frame in frames]
        await member.peer.send(*replaced)


class AnswersPatchesLate(BokehPeer):
    """Lets the reply to a pull pass before that to a patch."""

    def __init__(self, generation: Generation) -> None:
        super().__init__(generation)
        self.held: PatchDoc | None = None

    async def patched(self, member: Member, message: PatchDoc) -> None:
        if message.content["events"][0].get("title") == "one":
            self.held = message
        else:
            await super().patched(member, message)

    async def pull(self, session: Session, member: Member, message: PullDocReq) -> None:
        await super().pull(session, member, message)
        if self.held is not None:
            await super().patched(member, self.held)
            self.held = None


class LosesData(BokehPeer):
    def apply(self, session: Session, event: dict[str, Any], buffers: tuple[Buffer, ...]) -> None:
        super().apply(session, event, tuple(Buffer(buffer.id, bytes(len(buffer.data))) for buffer in buffers))


class PushesWithoutEcho(BokehPeer):
    def echoed(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return []


class PushesBackwards(BokehPeer):
    def echoed(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return events[::-1]


class TellsNobody(BokehPeer):
    def told(self, session: Session, member: Member) -> list[Member]:
        return []


class TellsEverybody(BokehPeer):
    def told(self, session: Session, member: Member) -> list[Member]:
        return session.members


class ForgetsSessions(BokehPeer):
    def left(self, session_id: str) -> None:
        self.sessions.pop(session_id, None)


class ClosesInGoodOrder(BokehPeer):
    async def end(self, member: Member, error: RemoteProtocolError) -> None:
        await member.peer.send_close(1000)
        await member.peer.drain_client()


class Drops(BokehPeer):
    async def end(self, member: Member, error: RemoteProtocolError) -> None:
        pass


class LeavesWithoutClose(BokehPeer):
    async def answer_close(self, member: Member, close: Close) -> None:
        pass


REFUSALS = ["refuses a token that is none", "refuses a handshake without token", "refuses another first subprotocol"]
BENT: dict[type[BokehPeer], list[str]] = {
    SelectsTheToken: ["selects the subprotocol bokeh"],
    AdmitsEverybody: REFUSALS,
    AdmitsEverywhere: ["refuses an unknown path"],
    NoDocument: ["answers PULL-DOC-REQ with a document"],
    AppliesNothing: [
        "answers a PATCH-DOC with OK, and applies it",
        "handles and answers requests in order",
        "takes a PATCH-DOC with buffers",
        "keeps a session for a client that comes back",
    ],
    SaysOkToAll: ["answers a PATCH-DOC that it cannot apply with ERROR"],
    ForgetsReqid: ["answers a PATCH-DOC that it cannot apply with ERROR", "goes on after an ERROR"],
    ClosesAfterError: ["goes on after an ERROR"],
    # It leaves the buffers out as well.
    AnswersTheFirstTwice: ["answers each of two requests in flight", "takes a PATCH-DOC with buffers"],
    AnswersPatchesLate: ["handles and answers requests in order"],
    LosesData: ["takes a PATCH-DOC with buffers"],
    PushesWithoutEcho: ["sends a PUSH-DOC back, in order, before its OK"],
    PushesBackwards: ["sends a PUSH-DOC back, in order, before its OK"],
    TellsNobody: ["tells a change to the session's other connections alone"],
    TellsEverybody: ["tells a change to the session's other connections alone"],
    ForgetsSessions: ["keeps a session for a client that comes back"],
    ClosesInGoodOrder: CLOSES,
    Drops: CLOSES,
    LeavesWithoutClose: ["answers the client's close frame"],
}


@pytest.mark.parametrize("generation", Generation)
@pytest.mark.parametrize("bent", BENT, ids=lambda bent: bent.__name__)
def test_a_bent_server_fails_its_rows_and_no_other(bent: type[BokehPeer], generation: Generation) -> None:
    report = report_on(bent(generation))
    assert report.of(Verdict.BROKEN) == BENT[bent], report.as_table()
    assert not report.ok


def test_where_nothing_gets_as_far_as_an_ack_little_is_tried() -> None:
    report = report_on(refuse(404))
    assert report.generation is None
    assert report.of(Verdict.NOT_TRIED) == [check.behaviour for check in CHECKS if check.needs_ack]
    assert report.of(Verdict.BROKEN) == [FIRST.behaviour]


async def accept_and_say_nothing(connection: PeerConnection) -> None:
    await connection.accept()
    await connection.drain_client()


@pytest.mark.parametrize("script", [never_answer, accept_and_say_nothing])
def test_a_mute_server_is_asked_twice(script: Any) -> None:
    report = report_on(script, timeout=0.3)
    assert report.generation is None
    assert report.of(Verdict.BROKEN) == [FIRST.behaviour, "refuses an unknown path"]
    assert set(report.of(Verdict.NOT_TRIED)) == {*ALL} - {*report.of(Verdict.BROKEN)}
    assert {row.behaviour for row in report.rows if row.note == "the server is mute"} == {*REFUSALS}


class AnswersNothing(BokehPeer):
    async def handle(self, session: Session, member: Member, message: Any) -> None:
        pass


def test_a_server_that_greets_and_answers_nothing_is_asked_twice() -> None:
    report = report_on(AnswersNothing(V4), timeout=3.0)
    assert report.generation == 4
    asked = ["answers the round trip", "answers PULL-DOC-REQ with a document"]
    assert report.of(Verdict.BROKEN) == asked
    assert report.of(Verdict.NOT_TRIED) == ALL[ALL.index(asked[-1]) + 1 :]


class NeverRefuses(BokehPeer):
    """Is silent where it has to refuse, which says nothing about the rest."""

    def admitted(self, request: Request) -> str | None:
        return super().admitted(request) or "nobody"

    async def acknowledge(self, member: Member) -> None:
        if "nobody" in self.sessions and member in self.sessions["nobody"].members:
            await member.peer.drain_client()
        else:
            await super().acknowledge(member)


def test_silence_where_a_server_has_to_refuse_is_about_that_alone() -> None:
    report = report_on(NeverRefuses(V4), timeout=3.0)
    assert report.of(Verdict.NOT_TRIED) == []
    assert {*REFUSALS, "refuses an unknown path"} & {*report.of(Verdict.KEPT)} == set()


def test_what_is_no_ack_is_shown() -> None:
    async def greet(connection: PeerConnection) -> None:
        await connection.accept()
        await connection.send("hello")
        await connection.drain_client()

    report = report_on(greet)
    assert "is it a Bokeh server?" in report.rows[0].note
    assert report.of(Verdict.BROKEN) == [FIRST.behaviour, "refuses an unknown path", *REFUSALS]


def test_where_nobody_answers() -> None:
    with ScriptedPeer(refuse(404)) as peer:
        url = peer.url("/app")
    with pytest.raises(ConnectError, match="cannot connect"):
        server_conformance(url)
    with pytest.raises(InvalidURL):
        server_conformance("localhost:5006")


def test_the_table() -> None:
    table = report_on(BokehPeer(V4)).as_table().splitlines()
    assert table[0].endswith("/app, wire generation 4")
    assert table[2] == "| behaviour | | observed | specified in |"
    assert table[4] == "| sends ACK first | kept | generation 4 | protocol.md, Life of a connection |"
    assert len(table) == 4 + len(ALL)
    assert {line.count("|") for line in table[2:]} == {5}


@pytest.mark.parametrize(("script", "status"), [(BokehPeer(V3), 0), (TellsNobody(V3), 1)])
def test_the_command(script: BokehPeer, status: int) -> None:
    with ScriptedPeer(script) as peer:
        run = command(peer.url("/app"))
        assert run.returncode == status, run.stdout + run.stderr
        assert run.stdout.startswith(f"{peer.url('/app')}, wire generation 3\n")
    gone = command(peer.url("/app"))
    assert gone.returncode == 2
    assert "bokehwire.testing.probe: " in gone.stderr


def command(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bokehwire.testing.probe", url], capture_output=True, text=True, check=False
    )
