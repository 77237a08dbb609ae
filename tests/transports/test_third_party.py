"""The conformance suite over a transport of somebody else's, which passes it, and over its mutants, which do not."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bokehwire.testing import TransportConformance
from bokehwire.transports import Transport

from .mutants import MUTANTS
from .over_websockets import WebsocketsTransport

FILE = Path(__file__).with_name("mutants.py")
AT_ONCE = 3
HUNG = 10  # seconds; a mutant may wait for what never comes, which is a failure as well


class TestWebsockets(TransportConformance):
    def make_transport(self) -> Transport:
        return WebsocketsTransport()


@pytest.fixture(scope="module")
def outcomes() -> dict[type, subprocess.CompletedProcess[str]]:
    """Runs of the mutants' tests, each in a process of its own: what a mutant leaves waiting ends with it."""

    def run(item: tuple[type, str]) -> subprocess.CompletedProcess[str]:
        mutant, name = item
        options = ["-q", f"--timeout={HUNG}", "--timeout-method=thread", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *options, f"{FILE}::Test{mutant.__name__}::{name}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(MUTANTS, pool.map(run, MUTANTS.items()), strict=True))


@pytest.mark.once
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_found(mutant: type, outcomes: dict[type, subprocess.CompletedProcess[str]]) -> None:
    outcome = outcomes[mutant]
    assert outcome.returncode == pytest.ExitCode.TESTS_FAILED, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("name", sorted({*MUTANTS.values()}))
def test_what_finds_mutants_is_of_the_suite(name: str) -> None:
    assert callable(getattr(TransportConformance, name.partition("[")[0]))


def test_a_class_without_a_transport_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from bokehwire.testing import TransportConformance

        class TestMine(TransportConformance):
            def make_transports(self):
                raise AssertionError("nobody calls this")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "test_without_subprotocols_none_is_needed")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*TestMine has to give its transport: define make_transport(self).*"])
