"""Figures that are no rates: one measured value a round, and what is wanted of their median."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

HEADER: Final = "| what | median | lowest–highest | target | |\n|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Figure:
    """`values` of `what`, in `unit`; `least` or `most` is the target where there is one."""

    what: str
    unit: str
    values: Sequence[float]
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        """Whether the median is as it should be."""
        found = median(self.values)
        return (self.least is None or found >= self.least) and (
            self.most is None or found <= self.most
        )

    def __str__(self) -> str:
        low, high = shown(min(self.values)), shown(max(self.values))
        what = f"{self.what}, {self.unit}" if self.unit else self.what
        return f"| {what} | {shown(median(self.values))} | {low}–{high} | {self._verdict()} |"

    def _verdict(self) -> str:
        if self.least is None and self.most is None:
            return "– | –"
        wanted = f"≤ {shown(self.most)}" if self.most is not None else f"≥ {shown(self.least or 0)}"
        return f"{wanted} | {'met' if self.met else 'missed'}"


def shown(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percentile(values: Sequence[float], part: float) -> float:
    """The value that `part` of all, 0.99 say, do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(part * len(ranked)))]
