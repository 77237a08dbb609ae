"""Has anything become much slower? A short run's ratios against those of the results that are kept.

    python -m benchmarks.check                  the rows that take seconds
    ONLY=roundtrip python -m benchmarks.check

Only ratios within one run are compared, never times: the machine may be another one. The margins are wide, so that what
fails is a change for the worse by itself. This is no part of the test suite, where a busy machine must not matter.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator

import msgspec

from .faces import FACES, OLD
from .report import RESULTS, Report, Result, result
from .rows import selected
from .running import run

ROWS = (
    "roundtrip,change,open-widgets,open-figure,push,sequence,changes,stream,incoming,import-bokehwire,import-protocol"
)
ROUNDS = 5
# What may be lost of a ratio to bokeh.client, and what a multiple of the limit may grow by.
MARGIN = 2.0


def slower(kept: Result, now: Result) -> Iterator[str]:
    """Say which contestants of a row have become slower than the margin allows.

    Args:
        kept: The row in the results that are kept.
        now: The row as it is now.
    """
    for name, before in kept.contestants.items():
        if name not in FACES or name == OLD:
            continue
        after = now.contestants.get(name)
        if after is None:
            yield f"{now.key}: {name} did not finish ({now.failures.get(name, 'no such contestant')})"
            continue
        if before.faster is not None and after.faster is not None and after.faster * MARGIN < before.faster:
            yield f"{now.key}: {name} is {after.faster:.1f} times faster than bokeh.client; it was {before.faster:.1f}"
        if before.of_limit is not None and after.of_limit is not None and after.of_limit > before.of_limit * MARGIN:
            yield f"{now.key}: {name} takes {after.of_limit:.2f} times the limit; it was {before.of_limit:.2f}"
        yield from _leaks(now.key, name, after.extra)


def _leaks(key: str, name: str, extra: dict[str, float]) -> Iterator[str]:
    left = extra.get("descriptors left, each", 0.0)
    if left > 0:
        yield f"{key}: {name} leaves {left:g} descriptors behind with each session"


def main(only: str) -> int:
    """Compare, and say what is slower.

    Args:
        only: Keys of rows, or their beginnings, with commas between them.

    Returns:
        0 if nothing is, 1 otherwise.
    """
    warnings.simplefilter("ignore")
    kept = msgspec.json.decode((RESULTS / "results.json").read_bytes(), type=Report)
    by_key = {row.key: row for row in kept.rows}
    complaints: list[str] = []
    for row in selected(only):
        if row.key not in by_key:
            print(f"{row.key}: not in the results that are kept")
            continue
        found = list(slower(by_key[row.key], result(row, run(row, ROUNDS))))
        print(f"{row.key}: {'slower' if found else 'as fast as it was'}", flush=True)
        complaints += found
    print("\n".join(complaints), file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(os.environ.get("ONLY", ROWS)))
