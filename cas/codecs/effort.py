"""How much work goes into making chunks smaller."""

from enum import Enum
from typing import Self

from ...errors import UsageError


class Effort(Enum):
    """What an add spends on encoding; every effort's chunks are read by the same decoders."""

    FAST = "fast"
    """As good as none: chunks are stored as they are."""
    BALANCED = "balanced"
    """What pays at the speed of a disk: the codec that the element type and a sample suggest."""
    SMALL = "small"
    """The smallest of what is known, for what is stored once and kept."""

    @classmethod
    def named(cls, word: str) -> Self:
        """The effort of that name; UsageError says which there are."""
        try:
            return cls(word)
        except ValueError:
            raise UsageError(
                f"there is no effort {word!r}: write fast, balanced or small"
            ) from None
