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
from .rows import selected
from .running import run


def merged(made: Report) -> Report:
    """The rows that are kept, with those made now in their place.

    Raises:
        SystemExit: The others are of another day, other versions or another machine.
    """
    kept = msgspec.json.decode((RESULTS / "results.json").read_bytes(), type=Report)
    if msgspec.structs.replace(kept, rows=[]) != msgspec.structs.replace(made, rows=[]):
        raise SystemExit(
            "the results that are kept are of another day, other versions or another machine: run all rows"
        )
    by_key = {row.key: row for row in made.rows}
    return msgspec.structs.replace(kept, rows=[by_key.get(row.key, row) for row in kept.rows])


def main(only: str, rounds: int | None, *, keep: bool) -> None:
    """Run rows and say what came out.

    Args:
        only: Beginnings of keys, with commas between them; empty for all rows, whose results are kept in files.
        rounds: Turns of each contestant; None for each row's own number.
        keep: Whether rows selected by `only` take the place of theirs in the files.
    """
    warnings.simplefilter("ignore")
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
    if only:
        made = merged(made)
        text = markdown(made)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "results.md").write_text(text, encoding="utf-8")
    (RESULTS / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    print(plot.write(made, RESULTS / "speed.html", RESULTS / "speed.png"), file=sys.stderr)


main(
    os.environ.get("ONLY", ""),
    int(os.environ["ROUNDS"]) if os.environ.get("ROUNDS") else None,
    keep=bool(os.environ.get("KEEP")),
)
