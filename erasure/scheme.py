"""The erasure scheme of a pack: how many shards carry its data and how many its parity."""

import re
from dataclasses import dataclass
from typing import Final

from ..errors import UsageError

LARGEST_K: Final = 32
LARGEST_M: Final = 16

_TEXT: Final = re.compile(r"(0|[1-9][0-9]{0,5})\+(0|[1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class Scheme:
    """`k` data shards and `m` parity shards; any `k` of the `k + m` restore the pack.

    `1 ≤ k ≤ 32` and `0 ≤ m ≤ 16`; anything else is a `UsageError`.
    """

    k: int
    m: int

    def __post_init__(self) -> None:
        if not (1 <= self.k <= LARGEST_K and 0 <= self.m <= LARGEST_M):
            raise UsageError(
                f"erasure scheme {self} cannot be: K+M means K data shards, 1 to {LARGEST_K}, "
                f"and M parity shards, 0 to {LARGEST_M}; for example 4+2"
            )

    @classmethod
    def parse(cls, text: str) -> "Scheme":
        """Read `k+m` as users write it, such as `4+2`; `UsageError` when it is not that."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise UsageError(f"erasure scheme {text!r}: write it as k+m, for example 4+2")
        return cls(int(match[1]), int(match[2]))

    @property
    def n(self) -> int:
        """All shards of a pack: shards 0 to k−1 are data, k to n−1 are parity."""
        return self.k + self.m

    def __str__(self) -> str:
        return f"{self.k}+{self.m}"
