"""Which bytes and which chunks of a file are tensor X: its region table, read part by part.

Memory: one part of the table, 512 KiB, whatever the file. Synchronous; for worker threads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...errors import ChunkDamagedError
from ...ids import ObjectId
from ..formats.manifest import Manifest
from ..formats.regiontable import TableRegion, decode_regions
from .recipe import Recipe


class RegionTable:
    """The regions of one file, in file order; none where its structure is not known.

    `load_page` gives the entries of a region page by its id.
    """

    def __init__(self, manifest: Manifest, load_page: Callable[[ObjectId], bytes]) -> None:
        self._manifest = manifest
        self._load_page = load_page

    def __bool__(self) -> bool:
        """Whether there is a table; nothing is read to say so."""
        return bool(self._manifest.regions or self._manifest.region_pages)

    def __iter__(self) -> Iterator[TableRegion]:
        """Every region; each lies in the file, and all cover it. ChunkDamagedError where not."""
        position = 0
        for offset, data in self._parts() if self else ():
            if offset != position:
                raise _does_not_add_up()
            for region in decode_regions(data, offset):
                position += region.size
                if position > self._manifest.size:
                    raise _does_not_add_up()
                yield region
        if self and position != self._manifest.size:
            raise _does_not_add_up()

    def find(self, name: str) -> TableRegion | None:
        """The first region of that name, None if there is none."""
        return next((region for region in self if region.name == name), None) if name else None

    def _parts(self) -> Iterator[tuple[int, bytes]]:
        if not self._manifest.region_pages:
            yield 0, self._manifest.regions
        for page in self._manifest.region_pages:
            yield page.offset, self._load_page(page.id)


def _does_not_add_up() -> ChunkDamagedError:
    return ChunkDamagedError("a region table does not add up to its file; add the file again")


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """Where a tensor lies: its bytes are [region.offset, region.offset + region.size) of the file.

    `chunks` are the numbers, from 0, of the chunks that hold some of it. With `whole` they hold
    nothing else: it begins where the first one begins and ends where the last one ends.
    """

    region: TableRegion
    chunks: range
    whole: bool


def find_tensor(table: RegionTable, recipe: Recipe, name: str) -> TensorPlace | None:
    """Which bytes and chunks of a file are its tensor `name`; None if it has none."""
    region = table.find(name)
    if region is None:
        return None
    numbers = recipe.numbers(region.offset, region.size)
    first = recipe.spans(region.offset, 1)[0]
    last = recipe.spans(region.offset + region.size - 1, 1)[0]
    ends = last.offset + last.raw == region.offset + region.size
    return TensorPlace(region, numbers, first.offset == region.offset and ends)
