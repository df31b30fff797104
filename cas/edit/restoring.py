"""`restore`: a path, or everything, as it was in another commit, by a commit of its own."""

import re
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from ...errors import UsageError
from ...ids import ObjectId
from ..formats.journal import RefKind
from ..formats.tree import Entry, EntryType
from ..missing import nothing_at
from ..objects import Objects
from ..refnames import DEFAULT_BRANCH, Address, shown_path
from ..refs import Refs
from ..treesize import below, bytes_of, extent_of, size_of
from .edits import Edited, Taken
from .treechange import Path, TreeChange, require_folders

_DIGITS: Final = 12


@dataclass(slots=True)
class Restoring:
    """Makes what `address`, which has a REV, names as it is there.

    A folder becomes equal to what it was: what came to it since then goes. Which commit REV means
    is found out once: where the branch moves meanwhile, `main~1` is another one.
    """

    what: ClassVar = "modelfloat restore"

    objects: Objects
    refs: Refs
    address: Address
    _commit: ObjectId | None = field(default=None, init=False)

    def of(self, tree: ObjectId) -> Edited:
        """The tree with that in it. NotFoundError where REV has nothing there, ExistsError where
        a file stands where a folder is needed."""
        commit = self._commit = self._commit or self.refs.resolve(
            self.address.repo, self.address.rev
        )
        old, path = self.objects.commit(commit).tree, self.address.path
        as_of = f"as of {commit.hex()[:_DIGITS]}"
        if not path:
            root = Entry(b"", EntryType.DIRECTORY, 0, 0, size_of(self.objects, old), old)
            return Edited(
                f"restore everything {as_of}",
                tree=old,
                files=below(self.objects, old).files,
                size=root.size,
                seen=(Entry(b"", EntryType.DIRECTORY, 0, 0, 0, tree),),
                taken=self._taken(commit, root),
            )
        entry = self.objects.find(old, path)
        if entry is None:
            raise nothing_at(self.address)
        require_folders(self.objects, tree, path)
        name = shown_path(path)
        return Edited(
            f"restore {name} {as_of}",
            self._change(old, path, entry),
            path=name,
            files=extent_of(self.objects, entry).files,
            size=bytes_of(entry),
            seen=(self.objects.find(tree, path),),
            taken=self._taken(commit, entry),
        )

    def _taken(self, commit: ObjectId, entry: Entry) -> Taken | None:
        if entry.type is EntryType.SYMLINK:
            return None
        return Taken(str(self.address), commit, entry.object)

    def _change(self, old: ObjectId, path: Path, entry: Entry) -> TreeChange:
        """`entry` put at `path`; folders that are missing on the way are made as they were."""
        change = TreeChange()
        here = change
        for depth in range(1, len(path)):
            was = self.objects.find(old, path[:depth])
            here = here.at(path[depth - 1 : depth])
            if was is not None:
                here.mode, here.mtime_ns = was.mode, was.mtime_ns
        change.put(path, entry)
        return change


def branch_to_restore(refs: Refs, address: Address) -> str:
    """The branch on which `address` is restored unless one is named: the one that its REV counts
    back from, as `dev~2` does, and else `main`. UsageError without a REV."""
    if address.rev is None:
        raise UsageError(
            f"{address}: restore needs the commit that has it as it was; write "
            f"{replace(address, rev='REV')}"
        )
    base, *steps = re.split("[~^]", address.rev, maxsplit=1)
    counts_back = steps and refs.heads_of(address.repo, RefKind.BRANCH, base)
    return base if counts_back else DEFAULT_BRANCH
