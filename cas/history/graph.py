"""A graph of commits drawn in text: a column for each line of history that is open.

Pure. Commits come newest first, none before one that follows it.
"""

from collections.abc import Sequence

from ...ids import ObjectId


class Graph:
    """Draws one row a commit, and what joins and parts the columns round it."""

    def __init__(self) -> None:
        self._open: list[ObjectId] = []
        """For each column the commit that it leads down to."""

    def row(self, id_: ObjectId, parents: Sequence[ObjectId]) -> tuple[list[str], str, list[str]]:
        """The lines above a commit, where columns that lead to it end; what stands left of it; and
        the lines below, where its further parents begin."""
        if id_ not in self._open:
            self._open.append(id_)
        at = self._open.index(id_)
        above = self._end_others(id_, at)
        drawn = " ".join("*" if i == at else "|" for i in range(len(self._open)))
        if not parents:
            del self._open[at]
            return above, drawn, []
        self._open[at] = parents[0]
        below = []
        for parent in parents[1:]:
            below.append(_columns(len(self._open), at, "\\"))
            self._open.insert(at + 1, parent)
        return above, drawn, below

    def _end_others(self, id_: ObjectId, at: int) -> list[str]:
        """Let other columns that lead to the commit end in its own."""
        lines = []
        while id_ in self._open[at + 1 :]:
            other = self._open.index(id_, at + 1)
            lines.append(_columns(len(self._open) - 1, other - 1, "/"))
            del self._open[other]
        return lines


def _columns(count: int, at: int, sign: str) -> str:
    """Columns going on, with a way from or to the right of column `at`."""
    return "".join(f"|{sign if i == at else ' '}" for i in range(count)).rstrip()
