"""What a path names when links on the way are followed, as `cat` and `open` do.

A link is followed inside of its repository only: what one that leaves it would name depends on the
machine, and no stored file may make us read another.
"""

from collections.abc import Sequence
from typing import Final

from ..errors import NotFoundError
from ..ids import ObjectId
from .formats.tree import Entry, EntryType
from .objects import Objects

MOST: Final = 40
"""Links that are followed on one path, as Linux does (path_resolution(7))."""


def follow(objects: Objects, root: ObjectId, path: Sequence[bytes], what: str) -> Entry | None:
    """The entry that is no link at `path` below the tree `root`; None if there is nothing.

    `what` names the path in messages. NotFoundError where a link leaves the repository, or where
    links go round in circles.
    """
    rest, here, found, links = list(path), list[bytes](), None, 0
    while rest:
        name = rest.pop(0)
        if name in (b"", b"."):
            continue
        if name == b"..":
            if not here:
                raise _leaves(what)
            here.pop()
            continue
        found = objects.find(root, (*here, name))
        if found is None:
            return None
        if found.type is EntryType.SYMLINK:
            links += 1
            if links > MOST:
                raise NotFoundError(f"{what} is a link that goes round in circles; mend the link")
            if found.target.startswith(b"/"):
                raise _leaves(what)
            rest[:0] = found.target.split(b"/")
        else:
            here.append(name)
    return objects.find(root, tuple(here)) if here else None


def _leaves(what: str) -> NotFoundError:
    return NotFoundError(
        f"{what} is a link that leaves its repository; `modelfloat ls -l` shows where it points"
    )
