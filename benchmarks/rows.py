"""All rows, in the order of the table."""

from __future__ import annotations

from . import exchanges, imports, incoming, openings, outgoing, scale
from .row import Row

ROWS: list[Row] = [
    *exchanges.ROWS,
    *openings.ROWS,
    *outgoing.ROWS,
    *incoming.ROWS,
    *imports.ROWS,
    *scale.ROWS,
]


def selected(only: str) -> list[Row]:
    """The rows whose keys are given; what is no key stands for all that begin so.

    Args:
        only: Keys or their beginnings, with commas between them; empty for all.
    """
    keys = {row.key for row in ROWS}
    wanted = [part.strip() for part in only.split(",") if part.strip()]
    for part in wanted:
        if not any(_names(part, key, keys) for key in keys):
            raise SystemExit(f"no row is called {part!r}; there are: {', '.join(row.key for row in ROWS)}")
    return [row for row in ROWS if not wanted or any(_names(part, row.key, keys) for part in wanted)]


def _names(part: str, key: str, keys: set[str]) -> bool:
    return part == key if part in keys else key.startswith(part)
