"""When and how often a session connects again: the policy by itself, without a connection."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from bokehwire import ConnectError, HandshakeRefused, InvalidURL, NotABokehServer, Reconnect
from bokehwire.session.reconnecting import may_pass, same_process, worth_another
from bokehwire.transports import ConnectionClosed, MessageTooBig, WebSocketViolation


def test_delays_double_up_to_the_longest() -> None:
    policy = Reconnect(first_delay=0.5, max_delay=3.0, jitter=0)
    assert list(islice(policy.delays(), 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_there_are_as_many_delays_as_attempts() -> None:
    assert len(list(Reconnect(attempts=4).delays())) == 4
    assert len(list(islice(Reconnect().delays(), 1000))) == 1000


def test_jitter_shortens_a_delay_by_a_part_of_it() -> None:
    policy = Reconnect(first_delay=1.0, max_delay=1.0, jitter=0.25)
    assert next(policy.delays(lambda: 0.0)) == 1.0
    assert next(policy.delays(lambda: 1.0)) == 0.75
    assert all(0.75 <= delay <= 1.0 for delay in islice(policy.delays(), 100))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"attempts": 0}, "attempts"),
        ({"first_delay": 0}, "first_delay"),
        ({"max_delay": -1}, "max_delay"),
        ({"deadline": 0}, "deadline"),
        ({"max_pending": 0}, "max_pending"),
        ({"jitter": 1.5}, "jitter"),
        ({"new_session": "ignore"}, "new_session"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Reconnect(**options)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (ConnectionClosed(code=1006), True),
        (ConnectionClosed(code=None), True),
        (ConnectionClosed(code=1001), True),
        (ConnectionClosed(code=1012), True),
        (ConnectionClosed(code=1000), False),
        (ConnectionClosed(code=1002), False),
        (ConnectionClosed(code=1011), False),
        (ConnectionClosed(code=10000), False),
        (MessageTooBig(limit=1), False),
        (WebSocketViolation(reason="of the peer"), False),
        (ValueError("of a transport"), False),
        (KeyboardInterrupt(), False),
    ],
    ids=repr,
)
def test_only_a_loss_that_may_pass_is_tried_to_be_mended(fault: BaseException, expected: bool) -> None:
    assert may_pass(fault) is expected


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (ConnectError("refused"), True),
        (HandshakeRefused("busy", url="", status=503), True),
        (HandshakeRefused("many", url="", status=429), True),
        (HandshakeRefused("gone", url="", status=404), False),
        (HandshakeRefused("forbidden", url="", status=403), False),
        (InvalidURL("wrong"), False),
        (NotABokehServer("other"), False),
    ],
    ids=str,
)
def test_only_a_failure_that_may_pass_is_followed_by_another_attempt(failure: ConnectError, expected: bool) -> None:
    assert worth_another(failure) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("p1001", "p1002", True),
        ("p999", "p1000", True),
        ("p1002", "p1002", False),
        ("p5000", "p1008", False),
        ("5f0c0c3e-5b8a", "p1", True),
        ("", "p1", True),
    ],
)
def test_a_counter_that_goes_back_is_of_another_process(before: str, after: str, expected: bool) -> None:
    assert same_process(before, after) is expected
