"""What was found out about a server: a verdict for each behaviour, and the table of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Finding", "Row", "ServerReport", "Verdict"]


class Verdict(Enum):
    """How a server keeps one behaviour.

    `DEVIATES` is for what Bokeh's own servers are known to do otherwise than the specification, and every client has
    to live with: see specs/deviations.md. Anything else that is not kept is `BROKEN`.
    """

    KEPT = "kept"
    DEVIATES = "deviates"
    BROKEN = "broken"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict and what was observed.

    Attributes:
        verdict: How the behaviour is kept.
        note: What was observed, where that says more than the verdict; "" if not.
        silent: Whether that was nothing at all.
    """

    verdict: Verdict
    note: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report.

    Attributes:
        behaviour: What the server has to do.
        section: Where that stands, a file of specs/ and its section.
        verdict: Whether it does.
        note: What was observed.
    """

    behaviour: str
    section: str
    verdict: Verdict
    note: str


@dataclass(frozen=True, slots=True)
class ServerReport:
    """How one server keeps the protocol.

    Attributes:
        url: The application that was asked.
        generation: The wire generation that it speaks, None if it never said so.
        rows: The behaviours, in the order in which they were tried.
    """

    url: str
    generation: int | None
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every behaviour was tried and none is broken. Known deviations are no fault."""
        return all(row.verdict in (Verdict.KEPT, Verdict.DEVIATES) for row in self.rows)

    def of(self, verdict: Verdict) -> list[str]:
        """Give the behaviours with one verdict.

        Args:
            verdict: The verdict.

        Returns:
            Their names, in order.
        """
        return [row.behaviour for row in self.rows if row.verdict is verdict]

    def as_table(self) -> str:
        """Give the report as a table in Markdown."""
        spoken = "unknown" if self.generation is None else self.generation
        lines = [f"{self.url}, wire generation {spoken}", ""]
        lines += ["| behaviour | | observed | specified in |", "|---|---|---|---|"]
        for row in self.rows:
            cells = (row.behaviour, row.verdict.value, row.note, row.section)
            lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
        return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
