"""An object as another store has it: every id in it replaced, every other byte as it was.

Stores with keys of their own name the same bytes by other ids. Where names differ and nothing else
does, an object that is carried there and back again is itself again. `docs/format.md`, Objects.
"""

from collections.abc import Callable, Iterator

from ...errors import ChunkDamagedError
from ...ids import ID_SIZE
from .commit import decode_commit
from .manifest import ENTRY, id_offsets
from .objects import HEADER, ObjectType, object_type
from .tree import target_offsets, tree_offsets

Rename = Callable[[bytes], bytes]
"""The id in the other store of what has this one."""


def renamed(data: bytes, rename: Rename) -> bytes:
    """The object with each id that it names replaced; ChunkDamagedError if it is no object."""
    out = bytearray(data)
    for at in _places(data):
        new = rename(data[at : at + ID_SIZE])
        if len(new) != ID_SIZE:
            raise ValueError(f"an id of {len(new)} bytes")
        out[at : at + ID_SIZE] = new
    return bytes(out)


def named(data: bytes) -> list[bytes]:
    """Every id in an object, of objects and of chunks, in the order in which they stand there."""
    return [data[at : at + ID_SIZE] for at in _places(data)]


def _places(data: bytes) -> Iterator[int]:
    match object_type(data):
        case ObjectType.COMMIT:
            return _of_commit(data)
        case ObjectType.TREE:
            return target_offsets(data)
        case ObjectType.TREE_INDEX:
            return tree_offsets(data)
        case ObjectType.MANIFEST:
            return id_offsets(data)
        case ObjectType.MANIFEST_PAGE:
            return _of_page(data)
        case ObjectType.REGION_PAGE:
            return iter(())


def _of_commit(data: bytes) -> Iterator[int]:
    parents = len(decode_commit(data).parents)
    yield HEADER.size
    yield from (64 + ID_SIZE * number for number in range(parents))


def _of_page(data: bytes) -> Iterator[int]:
    if (len(data) - HEADER.size) % ENTRY.size:
        raise ChunkDamagedError("a manifest page is no whole number of entries")
    return iter(range(HEADER.size, len(data), ENTRY.size))
