"""A cheap look at a chunk, so that bytes which do not shrink cost next to nothing."""

from collections.abc import Callable
from typing import Final

from .codec import Buffer

SLICE_SIZE: Final = 8 << 10
SLICES: Final = 3
WHOLE_SIZE: Final = 64 << 10
"""Chunks up to this size are not sampled: encoding them whole takes no longer."""


def is_worth_it(raw: int, encoded: int) -> bool:
    """Whether `encoded` bytes are at least 3 % smaller than `raw` ones."""
    return encoded * 100 <= raw * 97


def is_promising(raw: memoryview, encode: Callable[[memoryview], Buffer]) -> bool:
    """Whether slices from the start, middle and end of `raw` shrink by 3 % taken together.

    Repetitions further apart than `SLICE_SIZE` are not seen. It returns as soon as the slices
    tried so far have saved enough for all.
    """
    if len(raw) <= WHOLE_SIZE:
        return True
    total = SLICE_SIZE * SLICES
    encoded = total
    for number in range(SLICES):
        start = (len(raw) - SLICE_SIZE) * number // (SLICES - 1)
        encoded -= SLICE_SIZE - len(encode(raw[start : start + SLICE_SIZE]))
        if is_worth_it(total, encoded):
            return True
    return False
