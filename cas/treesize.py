"""How much a directory or an entry amounts to. Synchronous reads of the index's mirror."""

from dataclasses import dataclass

from ..ids import ObjectId
from .formats.tree import Entry, EntryType
from .objects import Objects


@dataclass(slots=True)
class Extent:
    """How much there is: `files` and links, and folders within folders, `depth`."""

    files: int = 0
    depth: int = 0


def extent_of(objects: Objects, entry: Entry) -> Extent:
    """How much an entry stands for, itself included."""
    return below(objects, entry.object) if entry.type is EntryType.DIRECTORY else Extent(1)


def below(objects: Objects, tree: ObjectId) -> Extent:
    """How much is in a directory, at any depth; read tree by tree."""
    found = Extent()
    queue = [(tree, 0)]
    while queue:
        here, depth = queue.pop()
        found.depth = max(found.depth, depth)
        for entry in objects.directory(here).entries():
            if entry.type is EntryType.DIRECTORY:
                queue.append((entry.object, depth + 1))
            else:
                found.files += 1
    return found


def bytes_of(entry: Entry | None) -> int:
    """The bytes of all files that an entry stands for."""
    return 0 if entry is None or entry.type is EntryType.SYMLINK else entry.size


def size_of(objects: Objects, tree: ObjectId) -> int:
    """The bytes of all files of a directory, at any depth."""
    return sum(map(bytes_of, objects.directory(tree).entries()))
