"""What codecs are going to save, and what region tables take: chunks from all over what is to be
added are really encoded, and their files parsed.

Synchronous; runs in worker threads. Memory: one chunk, and what a parser makes of one file.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final

from ...errors import ModelFloatError
from ..chunking.cutter import PARSERS, find_regions
from ..chunking.regions import MAX_CHUNK, ElementType, Region
from ..codecs.effort import Effort
from ..codecs.registry import choose
from ..formats.regiontable import encode_regions
from .scan import Item
from .siblings import Folders
from .sources import FileSource, open_item

SPOTS: Final = 64
"""Chunks that are encoded: some 0.2 s."""

Weighed = tuple[Item, int]
"""A file, and how many of its bytes are new."""
Spot = tuple[Item, int]
"""A file and an offset in it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What is left of new bytes when they are encoded, `share` of them, and the bytes of region
    tables that go with them."""

    share: float
    tables: int


def sample(
    files: Callable[[], Iterable[Weighed]], effort: Effort, checkpoint: Callable[[], None]
) -> Sample:
    """About what becomes of the new bytes of `files`; a share of 1.0 where nothing is saved.

    Every spot stands for as many bytes, so the mean of what is found there is that of all; to the
    share a standard error is added, for who refuses too late does more harm than who refuses too
    early.
    """
    total = sum(fresh for _, fresh in files())
    if not total:
        return Sample(1.0, 0)
    sampler = _Sampler(effort)
    shares, tables = [], []
    for item, offset in spots(files(), total):
        checkpoint()
        # Whoever reads it will tell what is wrong with a file.
        with contextlib.suppress(ModelFloatError, OSError):
            shares.append(sampler.share(item, offset))
            tables.append(sampler.table / item.size)
    if not shares:
        return Sample(1.0, 0)
    error = stdev(shares) / len(shares) ** 0.5 if len(shares) > 1 else 0.0
    return Sample(min(1.0, fmean(shares) + error), int(fmean(tables) * total))


class _Sampler:
    """Encodes single chunks of files; the regions of the last file are kept, whose table takes
    `table` bytes."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._folders = Folders()
        self._item: Item | None = None
        self._regions: list[Region] | None = None
        self.table = 0

    def share(self, item: Item, offset: int) -> float:
        """What is left of about the chunk at an offset; errors of the file pass."""
        fd = open_item(item)
        try:
            name = os.fsdecode(item.source)
            source = FileSource(fd, item.size, name, self._folders.beside(item))
            if item is not self._item:
                self._regions, self._item = find_regions(name, source, PARSERS), item
                parts = encode_regions(self._regions or (), item.size)
                self.table = sum(len(part.data) for part in parts)
            begin, size, element = _around(self._regions, offset, item.size)
            data = memoryview(source.read(begin, size))
        finally:
            os.close(fd)
        return len(choose(data, element, self._effort)[1]) / size


def spots(files: Iterable[Weighed], total: int) -> Iterator[Spot]:
    """SPOTS places at equal distances in `total` new bytes of files, one behind the other."""
    begin, number = 0, 0
    for item, fresh in files:
        while number < SPOTS and (place := total * (2 * number + 1) // (2 * SPOTS)) < begin + fresh:
            yield item, (place - begin) * item.size // fresh
            number += 1
        begin += fresh


def _around(regions: list[Region] | None, offset: int, size: int) -> tuple[int, int, ElementType]:
    """About the chunk that will be cut around an offset: where it begins, its size, its type."""
    for region in regions or ():
        if region.offset <= offset < region.offset + region.size:
            step = MAX_CHUNK - MAX_CHUNK % region.element.size
            begin = region.offset + (offset - region.offset) // step * step
            return begin, min(step, region.offset + region.size - begin), region.element
    return offset, min(MAX_CHUNK // 2, size - offset), ElementType.UNKNOWN
