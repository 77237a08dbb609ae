"""When and how often to connect again after a loss, and which losses it can help against."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..transports import ConnectError, ConnectionClosed, HandshakeRefused, InvalidURL, MessageTooBig, WebSocketViolation
from .checks import check_numbers
from .errors import NotABokehServer

__all__ = ["Reconnect", "Reconnection", "checked_policy", "may_pass", "same_process", "worth_another"]

_COUNTED = re.compile(r"p(\d+)")
# Going away, restarting, try again later, bad gateway (RFC 6455, section 7.4.1, and the IANA registry of close codes).
_PASSING_CODES = frozenset({None, 1001, 1006, 1012, 1013, 1014})
# Timeout, too early, too many requests; what is not a server's own error is final.
_PASSING_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """How a session connects again when the network was lost.

    It tries after `first_delay`, then after twice as long each time up to `max_delay`, until `attempts` or `deadline`
    is reached; each delay is cut by a random part of up to `jitter`, so that many clients do not return at once. A
    server forgets a session without connections after 15 s unless it is told otherwise (`--unused-session-lifetime`).

    Attributes:
        attempts: How many times to try, None for no limit. A connection that is lost before the documents have been
            compared, and one of the changes that waited is answered, was an attempt like any other.
        first_delay: Seconds before the first attempt.
        max_delay: The longest time between two attempts, in seconds.
        jitter: The part of each delay that is left to chance, from 0 to 1.
        deadline: Seconds after the loss when no further attempt is made; None for never. A server that accepts a
            connection and is silent when the documents are to be compared is given as long, or `connect_timeout` if
            that is shorter; then the connection counts as lost. With `io_loop`, the time in which the program does not
            drive the loop counts as well.
        max_pending: Bytes of changes kept while there is no connection. A change beyond that is not made on the server:
            the next call raises an error that names it, and the document is made equal to the server's later. Only
            where the document is pushed into a new session, that has the change all the same.
        new_session: What to do when the server has forgotten the session and made a new one under its id, as after a
            restart. "raise" ends the session with a `SessionLost`; "push" pushes the document that is here.

    Raises:
        ValueError: A number is out of its range, or `new_session` is neither of the two.
    """

    attempts: int | None = None
    first_delay: float = 0.1
    max_delay: float = 10.0
    jitter: float = 0.5
    deadline: float | None = 60.0
    max_pending: int = 16 * 1024 * 1024
    new_session: Literal["raise", "push"] = "raise"

    def __post_init__(self) -> None:
        check_numbers(
            attempts=self.attempts,
            first_delay=self.first_delay,
            max_delay=self.max_delay,
            deadline=self.deadline,
            max_pending=self.max_pending,
        )
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be between 0 and 1, not {self.jitter!r}.")
        if self.new_session not in ("raise", "push"):
            raise ValueError(f'new_session must be "raise" or "push", not {self.new_session!r}.')

    def delays(self, chance: Callable[[], float] = random.random) -> Iterator[float]:
        """Give the time to wait before each attempt, in seconds.

        Args:
            chance: Gives a random number from 0 to 1.

        Yields:
            As many delays as there may be attempts.
        """
        delay, left = self.first_delay, self.attempts
        while left is None or left > 0:
            yield delay * (1 - self.jitter * chance())
            delay = min(2 * delay, self.max_delay)
            left = None if left is None else left - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnection:
    """What `on_reconnect` is told: the session is connected again and its document is the server's.

    Attributes:
        attempts: How many attempts it took.
        seconds: How long the session was without a connection.
        pushed: Whether the server had forgotten the session, and the document was pushed into a new one.
    """

    attempts: int
    seconds: float
    pushed: bool = False


def checked_policy(reconnect: object) -> Reconnect | None:
    """Give the policy that a caller's `reconnect` stands for, None for none.

    Args:
        reconnect: What the caller gave.

    Raises:
        TypeError: It is neither a bool nor a Reconnect.
    """
    if isinstance(reconnect, bool):
        return Reconnect() if reconnect else None
    if isinstance(reconnect, Reconnect):
        return reconnect
    raise TypeError(f"reconnect must be True, False or a Reconnect, not {reconnect!r}.")


def may_pass(fault: BaseException) -> bool:
    """Say whether a connection ended in a way that another one may not.

    Args:
        fault: What ended an open connection.
    """
    if not isinstance(fault, ConnectionClosed) or isinstance(fault, MessageTooBig | WebSocketViolation):
        return False
    return fault.code in _PASSING_CODES


def worth_another(failure: ConnectError) -> bool:
    """Say whether to try again after an attempt to connect that failed.

    Args:
        failure: Why it failed.
    """
    if isinstance(failure, HandshakeRefused):
        return failure.status >= 500 or failure.status in _PASSING_STATUSES
    return not isinstance(failure, InvalidURL | NotABokehServer)


def same_process(before: str, after: str) -> bool:
    """Say whether two messages can come from the same server process, by their ids.

    Bokeh counts the ids of messages and models with one counter in each process (`make_id` of 3.9.2, 3.10.2 and
    4.0.0.dev8), unless BOKEH_SIMPLE_IDS is off; then nothing can be told.

    Args:
        before: The id of the earlier message.
        after: The id of the later one.
    """
    earlier, later = _COUNTED.fullmatch(before), _COUNTED.fullmatch(after)
    return earlier is None or later is None or int(earlier[1]) < int(later[1])
