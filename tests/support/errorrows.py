"""The rows of `docs/errors.md`: messages with holes, and the class and status each stands for."""

import re
from dataclasses import dataclass

from modelfloat.tests.support.checkout import ROOT

PAGE = ROOT / "docs" / "errors.md"
_HEADING = re.compile(r"## (\w+Error): status (\d)")
_INSIDE = re.compile(r"(\w+Error), status (\d):")


@dataclass(frozen=True)
class Row:
    """One message: the class in whose table it stands, its exit status, its text with `‹holes›`."""

    error: str
    status: int
    message: str
    when: str = ""
    remedy: str = ""

    def matches(self, text: str) -> bool:
        """Whether a text is this message, whatever its values are."""
        parts = re.split("‹[^›]*›", self.message)
        return re.fullmatch(".*".join(map(re.escape, parts)), text, re.DOTALL) is not None


def rows() -> tuple[list[Row], list[Row]]:
    """The rows of the tables, and those of the lists of what stands in reports and in the log."""
    tables: list[Row] = []
    lists: list[Row] = []
    error, status = "", 0
    for line in PAGE.read_text().splitlines():
        if heading := _HEADING.fullmatch(line) or _INSIDE.fullmatch(line):
            error, status = heading[1], int(heading[2])
        elif line.startswith("| ") and not line.startswith("| message |"):
            message, when, remedy = line.removeprefix("| ").removesuffix(" |").split(" | ")
            tables.append(Row(error, status, message, when, remedy))
        elif line.startswith("* "):
            lists.append(Row(error, status, line.removeprefix("* ")))
    return tables, lists
