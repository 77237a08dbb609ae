"""Checks of what callers give."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from typing import TypeGuard

from bokeh.model import Model

__all__ = [
    "check_callables",
    "check_mapping",
    "check_model",
    "check_numbers",
    "check_size",
    "check_token",
    "check_wait",
    "close_reason",
]

_TOKEN = re.compile(r"[A-Za-z0-9_.=-]+")

_MAX_CLOSE_REASON = 123  # bytes; a control frame holds 125, of which the close code takes 2 (RFC 6455, section 5.5)


def check_numbers(**numbers: object) -> None:
    """Refuse times that could never work.

    Args:
        **numbers: Seconds by the names of their parameters; None is allowed.

    Raises:
        ValueError: One is not a number above 0; it names the parameter.
    """
    for name, value in numbers.items():
        if value is not None and not (_is_number(value) and value > 0):
            raise ValueError(f"{name} must be a number above 0, not {value!r}.")


def check_size(name: str, size: object) -> None:
    """Refuse what cannot be a limit in bytes.

    Args:
        name: The name of the parameter.
        size: What the caller gave.

    Raises:
        ValueError: It is not a whole number from 1 to `sys.maxsize`.
    """
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= sys.maxsize:
        raise ValueError(f"{name} must be a whole number of bytes, from 1 to {sys.maxsize}, not {size!r}.")


def check_callables(**callbacks: object) -> None:
    """Refuse what could not be called when there is something to tell.

    Args:
        **callbacks: What the caller gave, by the names of the parameters; None is allowed.

    Raises:
        TypeError: One is not a function; it names the parameter.
    """
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} must be a function, not {callback!r}.")


def check_mapping(name: str, value: object) -> None:
    """Refuse what does not give values by names.

    Args:
        name: The name of the parameter.
        value: What the caller gave; None is allowed.

    Raises:
        TypeError: It is not a mapping.
    """
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of names to values, such as a dict, not {value!r}.")


def check_model(obj: object) -> None:
    """Refuse what cannot become a root of a document.

    Args:
        obj: What the caller wants to show.

    Raises:
        TypeError: It is not a model.
    """
    if not isinstance(obj, Model):
        raise TypeError(f"obj must be a Bokeh layout, plot or widget, not {obj!r}.")


def check_token(token: object) -> str:
    """Refuse what cannot be a session's token. The message does not show it, since it lets its owner in.

    Args:
        token: What the caller gave, or what the caller's function returned.

    Returns:
        The token.

    Raises:
        ValueError: It is not text, or has other characters than those of tokens.
    """
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise ValueError(
            "the session's token must be what bokeh.util.token.generate_jwt_token makes: letters, digits, '-', '_' and "
            f"'.'. What was given as token is {'other text' if isinstance(token, str) else type(token).__name__}."
        )
    return token


def check_wait(predicate: object, timeout: object) -> None:
    """Refuse what cannot be waited for.

    Args:
        predicate: What the caller wants to hold.
        timeout: For how long the caller wants to wait for it; None for ever.

    Raises:
        TypeError: The predicate cannot be called.
        ValueError: The timeout is not a number.
    """
    if not callable(predicate):
        raise TypeError(f"predicate must be a function without parameters, not {predicate!r}.")
    if timeout is not None and not _is_number(timeout):
        raise ValueError(f"timeout must be a number of seconds, or None, not {timeout!r}.")


def _is_number(value: object) -> TypeGuard[float]:
    """Tell the numbers that can be compared and added to a time from everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return not math.isnan(value)
    except OverflowError:  # an int that no clock can hold
        return False


def close_reason(why: object) -> str:
    """Make what a caller gave as the reason of a close fit into a close frame.

    Args:
        why: The reason.

    Returns:
        The reason, cut to 123 bytes in UTF-8, with "?" for what UTF-8 cannot hold.

    Raises:
        TypeError: It is not text.
    """
    if not isinstance(why, str):
        raise TypeError(f"why must be text, not {why!r}.")
    return why.encode(errors="replace")[:_MAX_CLOSE_REASON].decode(errors="ignore")
