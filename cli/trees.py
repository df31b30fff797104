"""What commands ask of commits and trees. Everything is read from the index's mirror."""

from typing import TYPE_CHECKING

from ..cas.formats.tree import EntryType
from ..ids import ObjectId

if TYPE_CHECKING:
    from ..cas.objects import Objects


def size_of(objects: "Objects", tree: ObjectId) -> int:
    """The size of all files of a directory, in bytes."""
    return sum(entry.size for entry in objects.directory(tree).entries())


def count_files(objects: "Objects", tree: ObjectId) -> int:
    """How many files and links a directory holds, at any depth."""
    count, queue = 0, [tree]
    while queue:
        for entry in objects.directory(queue.pop()).entries():
            if entry.type is EntryType.DIRECTORY:
                queue.append(entry.object)
            else:
                count += 1
    return count
