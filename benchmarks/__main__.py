"""`make bench`: everything measured, side by side with `bokeh.client` and the limit.

python -m benchmarks                    all rows; writes the files in benchmarks/results
ONLY=roundtrip python -m benchmarks     the rows whose key begins so; prints the table and writes nothing
KEEP=1 ONLY=scale python -m benchmarks  puts these rows in the place of those in the files, of the same versions
ROUNDS=5 ...                            so many turns of each contestant, instead of the row's own number
"""

from __future__ import annotations

import os
import sys
import warnings

import msgspec

from . import plot
from .report import RESULTS, Report, markdown, report, result
from .rows import ROWS, selected
from .running import run


def kept_results() -> Report:
    """The results that rows measured now can join.

    Raises:
        SystemExit: They are of another day, other code, other versions or another machine.
    """
    kept = msgspec.json.decode((RESULTS / "results.json").read_bytes(), type=Report)
    if msgspec.structs.replace(kept, rows=[]) != report([]):
        raise SystemExit(
            "the results that are kept are of another day, other code, other versions or another machine: run all rows"
        )
    return kept


def merged(kept: Report, made: Report) -> Report:
    """The rows that are kept, with those made now in their place, in the order in which all are run."""
    by_key = {row.key: row for row in (*kept.rows, *made.rows)}
    return msgspec.structs.replace(kept, rows=[by_key[row.key] for row in ROWS if row.key in by_key])


def rounds_from(text: str) -> int | None:
    """How many turns each contestant has; None for each row's own number.

    Args:
        text: What ROUNDS is set to, empty if it is not.

    Raises:
        SystemExit: It is no number above 0.
    """
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise SystemExit(f"ROUNDS has to be a whole number above 0, not {text!r}")
    return int(text)


def main(only: str, rounds: int | None, *, keep: bool) -> None:
    """Run rows and say what came out.

    Args:
        only: Beginnings of keys, with commas between them; empty for all rows, whose results are kept in files.
        rounds: Turns of each contestant; None for each row's own number.
        keep: Whether rows selected by `only` take the place of theirs in the files.
    """
    warnings.simplefilter("ignore")
    kept = kept_results() if only and keep else None
    rows = []
    for row in selected(only):
        print(f"{row.key} ...", end="", file=sys.stderr, flush=True)
        rows.append(result(row, run(row, rounds)))
        print(" done", file=sys.stderr, flush=True)
    made = report(rows)
    text = markdown(made)
    print(text)
    if only and not keep:
        return
    if kept is not None:
        made = merged(kept, made)
        text = markdown(made)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "results.md").write_text(text, encoding="utf-8")
    (RESULTS / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    print(plot.write(made, RESULTS / "speed.html", RESULTS / "speed.png"), file=sys.stderr)


main(
    os.environ.get("ONLY", ""),
    rounds_from(os.environ.get("ROUNDS", "")),
    keep=bool(os.environ.get("KEEP")),
)
