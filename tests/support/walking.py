"""Walking through unmounted operations as the kernel would: by inodes, counting lookups."""

import errno
from collections import Counter

import pytest

from modelfloat.fuse.attributes import Look
from modelfloat.fuse.handles import Handle
from modelfloat.fuse.inodes import ROOT
from modelfloat.fuse.operations import NamedAttributes, Operations
from modelfloat.ids import Inode

LOOK = Look(uid=1000, gid=1001, umask=0o022, since_ns=42)


class Kernel:
    """Looks up paths, lists directories, and forgets what it was told."""

    def __init__(self, operations: Operations) -> None:
        self.operations = operations
        self.lookups: Counter[Inode] = Counter()

    async def entry(self, path: str) -> NamedAttributes:
        """What a path means; the lookups of all its parts are counted."""
        inode = ROOT
        found = None
        for part in path.split("/"):
            found = await self.operations.lookup(inode, part.encode())
            inode = found.attributes.inode
            self.lookups[inode] += 1
        assert found is not None
        return found

    async def inode(self, path: str) -> Inode:
        """The inode of a path; the root for an empty one."""
        return (await self.entry(path)).attributes.inode if path else ROOT

    async def names(self, path: str, *, room: int = 7) -> list[bytes]:
        """The names in a directory, read `room` entries at a time, as a small buffer would."""
        handle = await self.operations.opendir(await self.inode(path))
        names: list[bytes] = []
        offset = 0
        while part := await self.part(handle, offset, room):
            names += [name for name, _ in part]
            offset = part[-1][1]
        self.operations.releasedir(handle)
        return names

    async def part(self, handle: Handle, offset: int, room: int) -> list[tuple[bytes, int]]:
        """Up to `room` entries from an offset on, with the offsets that follow them."""
        taken = []
        for listed in await self.operations.readdir(handle, offset):
            if len(taken) == room:
                break
            self.operations.remember(listed)
            self.lookups[listed.entry.attributes.inode] += 1
            taken.append((listed.name, listed.following))
        return taken

    async def content(self, path: str, offset: int = 0, size: int = 1 << 20) -> bytes:
        """Some bytes of a file, through a handle of its own."""
        handle = await self.operations.open(await self.inode(path), 0)
        try:
            return bytes(await self.operations.read(handle, offset, size))
        finally:
            self.operations.release(handle)

    async def missing(self, path: str) -> bool:
        """Whether the path's last part is not there."""
        parent, _, name = path.rpartition("/")
        with pytest.raises(OSError) as caught:
            await self.operations.lookup(await self.inode(parent), name.encode())
        return caught.value.errno == errno.ENOENT

    def forget_all(self) -> None:
        """Give every lookup back."""
        self.operations.forget(list(self.lookups.items()))
        self.lookups.clear()
