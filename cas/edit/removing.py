"""`rm` of a file or a folder: a commit without it. The commits before it have it still."""

from dataclasses import dataclass

from ...ids import ObjectId
from ..add.treepages import bytes_of
from ..missing import nothing_at
from ..objects import Objects
from ..refnames import Address, RepoName, shown_path
from .editing import branch_of
from .edits import Edited
from .treechange import TreeChange, extent_of


@dataclass(frozen=True, slots=True)
class Removing:
    """Takes what lies at `address`, which has a path, out of its branch."""

    objects: Objects
    address: Address

    @property
    def what(self) -> str:
        """For those who wait for a lock."""
        return "modelfloat rm"

    @property
    def repo(self) -> RepoName:
        """The repository."""
        return self.address.repo

    @property
    def branch(self) -> str:
        """The branch, `main` unless it is named."""
        return branch_of(self.address)

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
