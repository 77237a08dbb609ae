"""Every seed in fuzz/corpus/ keeps the promise that the fuzzer looks for; fuzz/README.md has the promise."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from msgspec import structs

from bokehwire.protocol import Connection, Event, Limits, MalformedFrame, MessageType, PatchReceived
from fuzz.against_bokeh import INSTALLED, check_against_bokeh
from fuzz.receive import Result, check
from fuzz.scenario import parse
from fuzz.seeds import CORPUS, seeds
from fuzz.twins import check_twins

SEEDS = sorted(CORPUS.iterdir())
each_seed = pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)


def outcome(result: Result) -> str:
    """What the name of a seed begins with."""
    return "part" if result is None else type(result).__name__


@each_seed
def test_a_seed_breaks_no_promise_and_ends_as_its_name_says(seed: Path) -> None:
    results = check_twins(seed.read_bytes())
    assert outcome(results[-1]) == seed.name.partition("-")[0]


def test_what_bokeh_reads_in_the_seeds_we_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    # Bokeh's receiver logs what it refuses.
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    agreed = {seed.name: check_against_bokeh(seed.read_bytes()) for seed in SEEDS}
    assert agreed[f"Closed-everything-client-v{INSTALLED}"] > 3
    assert sum(agreed.values()) > 100


def test_the_corpus_holds_what_its_generator_writes() -> None:
    stored = {seed.name: seed.read_bytes() for seed in SEEDS}
    generated = dict(seeds())
    assert {name: stored.get(name) for name in generated} == generated


def test_the_corpus_has_every_message_from_either_end_in_both_generations() -> None:
    seen = set()
    for seed in SEEDS:
        settings, _ = parse(seed.read_bytes())
        for result in check(seed.read_bytes()):
            message = getattr(result, "message", None)
            if message is not None:
                seen.add((settings.generation.name, settings.role.value, message.type))
    requests = {MessageType.PATCH_DOC, MessageType.PUSH_DOC, MessageType.PULL_DOC_REQ}
    replies = {MessageType.PATCH_DOC, MessageType.OK, MessageType.ERROR, MessageType.PULL_DOC_REPLY}
    assert seen == {
        *(("V3", "server", kind) for kind in {*requests, MessageType.SERVER_INFO_REQ}),
        *(("V4", "server", kind) for kind in {*requests, MessageType.SYNC}),
        *(("V3", "client", kind) for kind in {*replies, MessageType.SERVER_INFO_REPLY}),
        *(("V4", "client", kind) for kind in replies),
    }


def undocumented(self: Connection, frame: object) -> NoReturn:
    raise KeyError("msgtype")


def not_finished(self: Connection, frame: object) -> NoReturn:
    raise MalformedFrame("The connection forgets to fail.")


def deaf(self: Connection, frame: object) -> Event | None:
    return None


@pytest.mark.parametrize(
    ("broken", "complaint"), [(undocumented, KeyError), (not_finished, AssertionError), (deaf, AssertionError)]
)
def test_a_connection_that_breaks_the_promise_is_noticed(
    broken: object, complaint: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "receive_frame", broken)
    with pytest.raises(complaint):
        check_twins((CORPUS / "PatchReceived-patch-doc-client-v3").read_bytes())


def test_twins_that_differ_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Connection.receive_frame

    def forgetful(self: Connection, frame: str) -> Event | None:
        event = honest(self, frame)
        if not isinstance(event, PatchReceived) or not isinstance(event.message.content, msgspec.Raw):
            return event
        return PatchReceived(structs.replace(event.message, content=msgspec.Raw(b"{}")))

    scenario = (CORPUS / "PatchReceived-patch-doc-client-v3").read_bytes()
    monkeypatch.setattr(Connection, "receive_frame", forgetful)
    check(scenario)
    with pytest.raises(AssertionError):
        check_twins(scenario)


def test_a_limit_that_is_not_kept_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "limits", Limits(max_message_size=20))
    with pytest.raises(AssertionError):
        check((CORPUS / "PatchReceived-patch-doc-client-v3").read_bytes())
