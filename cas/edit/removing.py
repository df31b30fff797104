"""`rm` of a file or a folder: a commit without it. The commits before it have it still."""

from dataclasses import dataclass
from typing import ClassVar

from ...ids import ObjectId
from ..missing import nothing_at
from ..objects import Objects
from ..refnames import Address, shown_path
from ..treesize import bytes_of, extent_of
from .edits import Edited
from .treechange import TreeChange


@dataclass(frozen=True, slots=True)
class Removing:
    """Takes what lies at `address`, which has a path, out of its branch."""

    what: ClassVar = "modelfloat rm"

    objects: Objects
    address: Address

    def of(self, tree: ObjectId) -> Edited:
        """The tree without it. NotFoundError where nothing is there."""
        path = self.address.path
        entry = self.objects.find(tree, path)
        if entry is None:
            raise nothing_at(self.address)
        change = TreeChange()
        change.put(path, None)
        name, files = shown_path(path), extent_of(self.objects, entry).files
        return Edited(
            f"remove {name}", change, path=name, files=files, size=bytes_of(entry), seen=(entry,)
        )
