"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table, or its head."""
    yield line(heads)
    yield line(["---"] * len(heads))
    yield from map(line, lines)


def line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def percent(share: float | None) -> str:
    """A share, empty if there is none."""
    return "" if share is None else f"{share:.1%}"
