"""What the rows say, as numbers for the JSON file and as the Markdown tables."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

import bokehwire

from .faces import BOKEH, FACES, LIBRARY, OLD, ON_UVLOOP
from .measuring import Sample, added, median, ratio, spread
from .row import Row
from .running import Outcome

RESULTS = Path(__file__).parent / "results"

_PACKAGES = ("bokeh", "tornado", "aiohttp", "msgspec", "numpy", "uvloop")


class Figures(msgspec.Struct, omit_defaults=True):
    """One contestant in one row.

    Attributes:
        rounds: How many turns it had.
        milliseconds: The median of them.
        spread: Half the distance between their quartiles, in milliseconds.
        client: CPU milliseconds of the contestant's process.
        server: CPU milliseconds of the server's process.
        faster: How many times faster it is than `bokeh.client`: the median over the rounds.
        of_limit: What multiple of the limit it takes: the median over the rounds.
        extra: What else was measured, by name.
    """

    rounds: int
    milliseconds: float
    spread: float
    client: float | None = None
    server: float | None = None
    faster: float | None = None
    of_limit: float | None = None
    extra: dict[str, float] = {}


class Result(msgspec.Struct, omit_defaults=True):
    """One row.

    Attributes:
        key: What `ONLY` selects it by.
        title: What is done.
        note: What has to be known to read it.
        goals: How many times faster than `bokeh.client` bokehwire is to be, and within what multiple of the limit.
        contestants: What each of them took, by name.
        failures: Why a contestant has nothing, or stopped.
        limit_faster: How many times faster than `bokeh.client` the limit is: the median over the rounds.
    """

    key: str
    title: str
    note: str
    goals: tuple[float | None, float | None]
    contestants: dict[str, Figures]
    failures: dict[str, str] = {}
    limit_faster: float | None = None


class Report(msgspec.Struct):
    """A whole run.

    Attributes:
        date: The day.
        code: A digest of what was measured and of what measured it.
        python: The version.
        versions: Those of packages, by name.
        machine: What it ran on.
        rows: What came out.
    """

    date: str
    code: str
    python: str
    versions: dict[str, str]
    machine: dict[str, str]
    rows: list[Result]


def result(row: Row, outcome: Outcome) -> Result:
    """What came out of a row, in figures."""
    seconds = {name: [sample.seconds for sample in taken] for name, taken in outcome.samples.items()}
    limit = seconds.get(row.limit)
    if limit is not None and row.adds_bokeh and BOKEH in seconds:
        limit = [sum(pair) for pair in zip(limit, seconds[BOKEH], strict=False)]
    old = seconds.get(OLD)
    figures = {
        name: _figures(taken, old, limit if name in {*FACES, *ON_UVLOOP, LIBRARY} else None)
        for name, taken in outcome.samples.items()
    }
    limit_faster = None if old is None or limit is None else ratio(old, limit)
    return Result(row.key, row.title, row.note, row.goals, figures, outcome.failures, limit_faster)


def _figures(samples: list[Sample], old: list[float] | None, limit: list[float] | None) -> Figures:
    seconds = [sample.seconds for sample in samples]
    client, server = added(samples, lambda sample: sample.client), added(samples, lambda sample: sample.server)
    return Figures(
        rounds=len(samples),
        milliseconds=median(seconds) * 1000,
        spread=spread(seconds) * 1000,
        client=None if client is None else client * 1000,
        server=None if server is None else server * 1000,
        faster=None if old is None else ratio(old, seconds),
        of_limit=None if limit is None else ratio(seconds, limit),
        extra={key: median([sample.extra[key] for sample in samples]) for key in samples[0].extra},
    )


def report(rows: list[Result]) -> Report:
    """The rows with what has to be known about the run."""
    return Report(
        date=datetime.date.today().isoformat(),
        code=_code(),
        python=platform.python_version(),
        versions={name: found for name in _PACKAGES if (found := _version(name))},
        machine={
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
            "cores": str(os.cpu_count()),
        },
        rows=rows,
    )


def _code() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*here.glob("*.py"), *Path(bokehwire.__file__).parent.rglob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def heading(made: Report) -> str:
    """One line with the date, the versions and the machine."""
    versions = ", ".join(f"{name} {number}" for name, number in made.versions.items())
    machine = made.machine
    return (
        f"{made.date}, Python {made.python}, {versions}; {machine['system']}, {machine['architecture']}, "
        f"{machine['cores']} cores. Medians, with half the distance between the quartiles."
    )


def markdown(made: Report) -> str:
    """All tables: times and ratios, shares of CPU, what else was measured, notes."""
    return "\n".join(
        [
            heading(made),
            "",
            *_times(made.rows),
            "",
            "CPU time of the contestant's process and of the server's, each time:",
            "",
            *_shares(made.rows),
            *_extras(made.rows),
            *_notes(made.rows),
            "",
        ]
    )


def _times(rows: list[Result]) -> Iterable[str]:
    others = sorted({name for row in rows for name in row.contestants if name not in FACES})
    names = [*FACES, *others]
    yield f"| work | {' | '.join(names)} |"
    yield f"|---|{'---|' * len(names)}"
    for row in rows:
        yield f"| {row.title}{_goal(row)} | {' | '.join(_time(row.contestants.get(name)) for name in names)} |"


def _goal(row: Result) -> str:
    faster, of_limit = row.goals
    parts = [f"{faster:g}x" if faster else "", f"{of_limit:g} of the limit" if of_limit else ""]
    text = ", ".join(part for part in parts if part)
    return f" (goal: {text})" if text else ""


def _time(figures: Figures | None) -> str:
    if figures is None:
        return ""
    text = f"{shown(figures.milliseconds)} ±{shown(figures.spread)}"
    if figures.faster is not None and figures.faster != 1:
        text += f"<br>**{figures.faster:.1f}x**"
    if figures.of_limit is not None:
        text += f"<br>{figures.of_limit:.2f} of limit"
    return text


def _shares(rows: list[Result]) -> Iterable[str]:
    names = [OLD, "tornado", "aiohttp", "raw"]
    yield f"| work | {' | '.join(f'{name}: own, server' for name in names)} |"
    yield f"|---|{'---|' * len(names)}"
    for row in rows:
        cells = [_share(row.contestants.get(name)) for name in names]
        if any(cells):
            yield f"| {row.title} | {' | '.join(cells)} |"


def _share(figures: Figures | None) -> str:
    if figures is None or figures.client is None:
        return ""
    return ", ".join(shown(part) for part in (figures.client, figures.server) if part is not None)


def _extras(rows: list[Result]) -> Iterable[str]:
    for row in rows:
        measured: dict[str, Mapping[str, float]] = {
            name: figures.extra for name, figures in row.contestants.items() if figures.extra
        }
        keys = list(dict.fromkeys(key for extra in measured.values() for key in extra))
        if not keys:
            continue
        yield from ("", f"{row.title}:", "", f"| | {' | '.join(keys)} |", f"|---|{'---|' * len(keys)}")
        for name, extra in measured.items():
            cells = (f"{extra[key]:.2f}" if key in extra else "" for key in keys)
            yield f"| {name} | {' | '.join(cells)} |"


def _notes(rows: list[Result]) -> Iterable[str]:
    notes = [f"- {row.title}: {row.note}" for row in rows if row.note]
    notes += [f"- {row.title}: {name} {why}." for row in rows for name, why in row.failures.items()]
    if notes:
        yield from ("", *notes)


def shown(milliseconds: float) -> str:
    """A time with a unit that suits it."""
    if milliseconds < 0.1:
        return f"{milliseconds * 1000:.1f} us"
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
