"""Checks of what callers give."""

from __future__ import annotations

__all__ = ["check_numbers", "close_reason"]

_MAX_CLOSE_REASON = 123  # bytes; a control frame holds 125, of which the close code takes 2 (RFC 6455, section 5.5)


def check_numbers(**numbers: object) -> None:
    """Refuse times and sizes that could never work.

    Args:
        **numbers: Values by the names of their parameters; None is allowed.

    Raises:
        ValueError: One is not a number above 0; it names the parameter.
    """
    for name, value in numbers.items():
        if value is not None and not (isinstance(value, int | float) and value > 0):
            raise ValueError(f"{name} must be a number above 0, not {value!r}.")


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
