"""A subject's result as a markdown page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from modelfloat.bench.harness import Ratio, Row
from modelfloat.bench.machine import facts

RESULTS: Final = Path(__file__).parent / "results"

ROWS: Final = (
    "| what | median MB/s | lowest–highest | median s | peak RssAnon MB |\n|---|---|---|---|---|"
)
RATIOS: Final = "| ratio | median | lowest–highest | target | |\n|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Report:
    """Tables (each with its header line) and notes of one subject.

    `plot` is an SVG drawing of them, lying beside the page under the same name; may be empty.
    """

    subject: str
    tables: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default=())
    plot: str = ""

    @property
    def name(self) -> str:
        """What its files are called, without their endings."""
        return f"{datetime.now(UTC).date().isoformat()}-{self.subject}"

    def __str__(self) -> str:
        today = datetime.now(UTC).date().isoformat()
        tables = "\n\n".join("\n".join(table) for table in self.tables)
        notes = "\n".join(f"- {note}" for note in (*self.notes, *facts()))
        drawn = f"\n![{self.subject}]({self.name}.svg)\n" if self.plot else ""
        return f"# {self.subject}, {today}\n\n{tables}\n{drawn}\n{notes}\n"


def compare(
    subject: str,
    rows: Sequence[Row],
    ratios: Sequence[Ratio],
    notes: Sequence[str],
    plot: str = "",
) -> Report:
    """A report of contestants and, where there are any, of their ratios."""
    tables = [[ROWS, *map(str, rows)]]
    if ratios:
        tables.append([RATIOS, *map(str, ratios)])
    return Report(subject, tables, notes, plot)


def write(report: Report) -> Path:
    """Write `results/<date>-<subject>.md`, over an earlier one of the same day, and its plot."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{report.name}.md"
    path.write_text(str(report), encoding="utf-8")
    if report.plot:
        path.with_suffix(".svg").write_text(report.plot, encoding="utf-8")
    return path
