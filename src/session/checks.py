"""Checks of what callers give."""

from __future__ import annotations

__all__ = ["check_numbers"]


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
