"""A cheap look at a chunk, so that bytes which do not shrink cost next to nothing."""

from collections.abc import Callable
from typing import Final

from .codec import Buffer

SLICE_SIZE: Final = 8 << 10
SLICES: Final = 3
WHOLE_SIZE: Final = 64 << 10
"""Chunks up to this size are not sampled: encoding them whole takes no longer."""
SAVING: Final = 3
"""Percent by which a chunk, or a plane of one, has to shrink."""


def is_worth_it(raw: int, encoded: int, saving: int = SAVING) -> bool:
    """Whether `encoded` bytes are at least `saving` percent smaller than `raw` ones."""
    return encoded * 100 <= raw * (100 - saving)


def pieces(raw: memoryview, unit: int) -> memoryview:
    """Slices from the start, middle and end of `raw` end to end, of whole units of `unit` bytes;
    all of it where it is short."""
    if len(raw) <= WHOLE_SIZE:
        return raw
    size = SLICE_SIZE // unit * unit
    starts = [(len(raw) - size) * number // (SLICES - 1) for number in range(SLICES)]
    starts = [start // unit * unit for start in starts]
    return memoryview(b"".join(raw[start : start + size] for start in starts))


def is_promising(
    raw: memoryview,
    encode: Callable[[memoryview], Buffer],
    saving: int = SAVING,
    overhead: int = 0,
) -> bool:
    """Whether slices from the start, middle and end of `raw` shrink by `saving` percent together.

    Repetitions further apart than `SLICE_SIZE` are not seen. `overhead` bytes of every encoded
    slice are not counted: what a whole chunk has only once. It returns as soon as the slices tried
    so far have saved enough for all.
    """
    if len(raw) <= WHOLE_SIZE:
        return True
    total = SLICE_SIZE * SLICES
    encoded = total
    for number in range(SLICES):
        start = (len(raw) - SLICE_SIZE) * number // (SLICES - 1)
        encoded -= SLICE_SIZE - len(encode(raw[start : start + SLICE_SIZE])) + overhead
        if is_worth_it(total, encoded, saving):
            return True
    return False
