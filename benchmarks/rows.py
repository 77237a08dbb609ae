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
    """The rows whose keys are given, or else those whose keys begin so.

    Args:
        only: Keys or their beginnings, with commas between them; empty for all.
    """
    wanted = tuple(part.strip() for part in only.split(",") if part.strip())
    found = [row for row in ROWS if row.key in wanted or not wanted]
    found = found or [row for row in ROWS if row.key.startswith(wanted)]
    if not found:
        raise SystemExit(f"no row is called {only!r}; there are: {', '.join(row.key for row in ROWS)}")
    return found
