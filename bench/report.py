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
    """Tables (each with its header line) and notes of one subject."""

    subject: str
    tables: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default=())

    def __str__(self) -> str:
        today = datetime.now(UTC).date().isoformat()
        tables = "\n\n".join("\n".join(table) for table in self.tables)
        notes = "\n".join(f"- {note}" for note in (*self.notes, *facts()))
        return f"# {self.subject}, {today}\n\n{tables}\n\n{notes}\n"


def compare(
    subject: str, rows: Sequence[Row], ratios: Sequence[Ratio], notes: Sequence[str]
) -> Report:
    """A report of contestants and, where there are any, of their ratios."""
    tables = [[ROWS, *map(str, rows)]]
    if ratios:
        tables.append([RATIOS, *map(str, ratios)])
    return Report(subject, tables, notes)


def write(report: Report) -> Path:
    """Write `results/<date>-<subject>.md`, over an earlier one of the same day."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC).date().isoformat()}-{report.subject}.md"
    path.write_text(str(report), encoding="utf-8")
    return path
