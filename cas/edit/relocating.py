"""`mv` of a file or a folder within its branch: a commit that has it under another name."""

from dataclasses import dataclass
from typing import ClassVar

from ...errors import ExistsError, UsageError
from ...ids import ObjectId
from ..add.scan import DEEPEST
from ..formats.tree import Entry, EntryType
from ..missing import nothing_at
from ..objects import Objects
from ..refnames import Address, shown_path
from ..treesize import bytes_of, extent_of
from .edits import Edited
from .treechange import Path, TreeChange, require_folders, too_deep


@dataclass(frozen=True, slots=True)
class Relocating:
    """Moves what lies at `source` to `target`, or into it where that is a folder or ends in a
    slash; folders on the way are made. Both are in one branch; the target's may be left out."""

    what: ClassVar = "modelfloat mv"

    objects: Objects
    source: Address
    target: Address

    def of(self, tree: ObjectId) -> Edited:
        """The tree with it elsewhere.

        NotFoundError where nothing is there, ExistsError where something is in the way, UsageError
        where a folder would come to lie in itself, or too deep.
        """
        old = self.source.path
        entry = self.objects.find(tree, old)
        if entry is None:
            raise nothing_at(self.source)
        new = self._place(tree)
        if new[: len(old)] == old and new != old and entry.type is EntryType.DIRECTORY:
            raise UsageError(
                f"{shown_path(old)} cannot be moved into itself, to {shown_path(new)}; choose "
                "another path"
            )
        require_folders(self.objects, tree, new)
        if self.objects.find(tree, new) is not None:
            raise ExistsError(
                f"{shown_path(new)} is there already; remove it first, or choose another path"
            )
        return self._edited(entry, old, new)

    def _place(self, tree: ObjectId) -> Path:
        path = self.target.path
        there = self.objects.find(tree, path) if path else None
        into = there is not None and there.type is EntryType.DIRECTORY
        return (*path, self.source.path[-1]) if into or self.target.folder or not path else path

    def _edited(self, entry: Entry, old: Path, new: Path) -> Edited:
        extent = extent_of(self.objects, entry)
        if too_deep(new, extent):
            raise UsageError(
                f"{shown_path(new[:3])}/… would nest deeper than {DEEPEST} folders; choose another "
                "path"
            )
        change = TreeChange()
        change.put(old, None)
        change.put(new, entry)
        return Edited(
            f"move {shown_path(old)} to {shown_path(new)}",
            change,
            path=shown_path(new),
            files=extent.files,
            size=bytes_of(entry),
            seen=(entry, None),
        )
