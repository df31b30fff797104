"""What an address names, and what stands for a repository where repositories are listed.

Links are not followed here: `following` does that for whoever reads a file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ..ids import ObjectId
from .formats.journal import RefKind
from .formats.tree import Entry, EntryType
from .missing import nothing_at
from .objects import Objects
from .refnames import DEFAULT_BRANCH, Address, RefHead
from .refs import Refs

_MAIN: Final = (RefKind.BRANCH, DEFAULT_BRANCH)


@dataclass(frozen=True, slots=True)
class Named:
    """What an address names: an entry, or with `entry` None the root directory of a commit."""

    address: Address
    root: ObjectId
    entry: Entry | None

    @property
    def directory(self) -> ObjectId | None:
        """The directory's tree; None for files and links."""
        if self.entry is None:
            return self.root
        return self.entry.object if self.entry.type is EntryType.DIRECTORY else None


def look_up(objects: Objects, refs: Refs, address: Address) -> Named:
    """What `address` names; NotFoundError, UsageError or ConflictError where that is nothing."""
    root = objects.commit(refs.resolve(address.repo, address.rev)).tree
    entry = objects.find(root, address.path)
    if address.path and entry is None:
        raise nothing_at(address)
    return Named(address, root, entry)


def shown_head(heads: Iterable[RefHead]) -> RefHead:
    """The head that a list shows of a repository: its branch main, or where it has none its newest.

    ValueError without heads.
    """
    return max(heads, key=lambda h: ((h.kind, h.ref) == _MAIN, h.time_ns))
