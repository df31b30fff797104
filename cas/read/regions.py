"""Which bytes and which chunks of a file are tensor X: its region table, read part by part.

Memory: one part of the table, 512 KiB, whatever the file. Synchronous; for worker threads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...errors import ChunkDamagedError
from ...ids import ObjectId
from ..chunking.regions import element_name
from ..formats.manifest import Manifest
from ..formats.regiontable import TableRegion, decode_regions, names_of
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

    def _parts(self) -> Iterator[tuple[int, bytes]]:
        if not self._manifest.region_pages:
            yield 0, self._manifest.regions
        for page in self._manifest.region_pages:
            yield page.offset, self._load_page(page.id)


def _does_not_add_up() -> ChunkDamagedError:
    return ChunkDamagedError("a region table does not add up to its file; add the file again")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a stored file: its bytes are [offset, offset + size) of the file.

    `type` is the name of its element type. Where its elements lie in another order than
    C's, `shape` has a 0 behind the dimensions, and then their numbers from the slowest to the
    fastest. `chunks` are the numbers, from 0, of the file's chunks that hold some of it. With
    `whole` they hold nothing else: it begins where the first one begins and ends where the last
    one ends.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    size: int
    chunks: range
    whole: bool


def tensors_of(table: RegionTable, recipe: Recipe) -> Iterator[StoredTensor]:
    """The tensors of a file, in file order, and which of its chunks each lies in."""
    return (_placed(region, name, recipe) for region in table for name in names_of(region))


def _placed(region: TableRegion, name: str, recipe: Recipe) -> StoredTensor:
    offset, size = region.offset, region.size
    end = offset + size
    first, last = recipe.spans(offset, 1)[0], recipe.spans(end - 1, 1)[0]
    whole = first.offset == offset and last.offset + last.raw == end
    chunks = recipe.numbers(offset, size)
    kind = element_name(region.element)
    return StoredTensor(name, kind, region.shape, offset, size, chunks, whole)
