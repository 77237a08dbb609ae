"""Has anything become much slower? A short run's ratios against those of the results that are kept.

    python -m benchmarks.check                  the rows that take seconds
    ONLY=roundtrip python -m benchmarks.check

Only ratios to `bokeh.client` within one run are compared, never times: the machine may be another one. The ratio of CPU
time says whether the client does more than it did. The ratio of the time that it takes suffers on a busy machine, where
`bokeh.client` loses nothing while it waits for its stalls; so it has to be worse by what a new stall would cost. What
Bokeh alone takes of the CPU time, where a row measures that, is left out on both sides; as what is left may be a small
difference of large numbers, the whole has to be worse as well. Where something takes so long
that the ratio would hide a single stall, the time tells in which neither side works, as a share of what `bokeh.client`
waits, where it does little else. What the raw client waits in the same run, as on a busy machine, is taken off.

Of sessions that are held open, descriptors are counted, and memory is compared without the Document's.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator

import bokeh
import msgspec

from .faces import BOKEH, FACES, OLD, RAW
from .report import RESULTS, Figures, Report, Result, result
from .rows import selected
from .running import run

ROWS = (
    "roundtrip,change,open-widgets,open-figure,open-arrays,push,sequence,changes,stream,incoming,incoming-canned,"
    "import,scale-100"
)
ROUNDS = 5
CPU_MARGIN = 1.5
WHOLE_MARGIN = 1.25
"""Of the CPU time with what Bokeh alone takes: where that is most of it, the rest by itself is uncertain."""
TIME_MARGIN = 8.0
STALL = 0.35
"""What share of the time that bokeh.client waits it may wait more. That is two delayed acknowledgements, or three."""
MEMORY_MARGIN = 1.5
FEW = 10.0
"""Kilobytes a session that do not tell: they are in pages that the process had before."""


def slower(kept: Result, now: Result) -> Iterator[str]:
    """Say which contestants of a row have become slower than the margin allows.

    Args:
        kept: The row in the results that are kept.
        now: The row as it is now.
    """
    if OLD in kept.contestants and OLD not in now.contestants:
        yield f"{now.key}: there is nothing to compare with, since {OLD} {now.failures.get(OLD, 'is missing')}"
        return
    for name, before in kept.contestants.items():
        if name not in FACES or name == OLD:
            continue
        after = now.contestants.get(name)
        if after is None:
            yield f"{now.key}: {name} did not finish ({now.failures.get(name, 'no such contestant')})"
            continue
        if before.faster is not None and after.faster is not None and after.faster * TIME_MARGIN < before.faster:
            yield f"{now.key}: {name} is {after.faster:.1f} times faster than bokeh.client; it was {before.faster:.1f}"
        share_before, share = _share(kept, name), _share(now, name)
        if share_before is not None and share is not None and share > share_before * CPU_MARGIN:
            whole_before, whole = _share(kept, name, whole=True) or 0.0, _share(now, name, whole=True) or 0.0
            if whole > whole_before * WHOLE_MARGIN:
                yield f"{now.key}: {name} takes {share:.3f} of bokeh.client's CPU time; it was {share_before:.3f}"
        waits_before, waits = _waiting(kept, name), _waiting(now, name)
        if waits_before is not None and waits is not None and waits > waits_before + STALL:
            yield f"{now.key}: {name} waits {waits:.2f} of what bokeh.client does; it was {waits_before:.2f}"
        yield from _leaks(now.key, name, after.extra)
        kilobytes_before, kilobytes = _beyond_document(kept, name), _beyond_document(now, name)
        if kilobytes_before > FEW and kilobytes > kilobytes_before * MEMORY_MARGIN:
            yield f"{now.key}: {name} holds {kilobytes:.0f} KB beyond the Document; it was {kilobytes_before:.0f}"


def _share(row: Result, name: str, *, whole: bool = False) -> float | None:
    """The CPU time of a contestant by that of bokeh.client, each without what Bokeh alone takes, or with it."""
    bokeh_alone = row.contestants.get(BOKEH)
    given = 0.0 if whole or bokeh_alone is None or bokeh_alone.client is None else bokeh_alone.client
    old, ours = row.contestants.get(OLD), row.contestants[name]
    if old is None or old.client is None or ours.client is None or old.client <= given:
        return None
    return max(0.0, ours.client - given) / (old.client - given)


def _waiting(row: Result, name: str) -> float | None:
    """The time in which neither a contestant nor the server works, by what bokeh.client stalls, without raw's."""
    ours, old, raw = (_idle(row.contestants.get(each)) for each in (name, OLD, RAW))
    if ours is None or old is None:
        return None
    given = max(0.0, raw or 0.0)
    stalls = old - given
    return (ours - given) / stalls if stalls > row.contestants[OLD].milliseconds / 2 else None


def _idle(figures: Figures | None) -> float | None:
    if figures is None or figures.client is None or figures.server is None:
        return None
    return figures.milliseconds - figures.client - figures.server


def _beyond_document(row: Result, name: str) -> float:
    """The kilobytes that a session holds beyond its Document, where the row measures that; 0 elsewhere."""
    bokeh_alone = row.contestants.get(BOKEH)
    document = 0.0 if bokeh_alone is None else bokeh_alone.extra.get("KB", 0.0)
    return row.contestants[name].extra.get("KB", 0.0) - document


def _leaks(key: str, name: str, extra: dict[str, float]) -> Iterator[str]:
    left = extra.get("descriptors left, each", 0.0)
    if left > 0:
        yield f"{key}: {name} leaves {left:g} descriptors behind with each session"
    held = extra.get("descriptors", 1.0)
    if held > 1:
        yield f"{key}: {name} holds {held:g} descriptors open for each session"


def main(only: str) -> int:
    """Compare, and say what is slower.

    Args:
        only: Keys of rows, or their beginnings, with commas between them.

    Returns:
        0 if nothing is, 1 otherwise.

    Raises:
        SystemExit: The results that are kept are of another Bokeh, whose client and server have other ratios.
    """
    warnings.simplefilter("ignore")
    kept = msgspec.json.decode((RESULTS / "results.json").read_bytes(), type=Report)
    if kept.versions["bokeh"] != bokeh.__version__:
        raise SystemExit(f"the results that are kept are of Bokeh {kept.versions['bokeh']}, not {bokeh.__version__}")
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
    sys.exit(main(os.environ.get("ONLY") or ROWS))
