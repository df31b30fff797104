"""What `stat` shows of a node."""

import stat
from dataclasses import dataclass
from typing import Final

from ..cas.formats.tree import EntryType
from ..ids import Inode
from .nodes import DirectoryNode, FileNode, LinkNode, Node, TextNode

BLOCK: Final = 512
"""The unit of st_blocks, whatever the filesystem's own block size: stat(2)."""
BLOCK_SIZE: Final = 128 << 10
"""What programs are told to read at a time, bytes. Python makes its buffers that long, so larger
ones would make its small reads dear."""
_MODES: Final = {
    EntryType.FILE: (stat.S_IFREG, 0o444),
    EntryType.DIRECTORY: (stat.S_IFDIR, 0o555),
}
_LINK_MODE: Final = stat.S_IFLNK | 0o777


@dataclass(frozen=True, slots=True)
class Attributes:
    """An inode's attributes; sizes in bytes, `blocks` of 512 bytes, `mode` with the type's bits."""

    inode: Inode
    kind: EntryType
    mode: int
    size: int
    mtime_ns: int
    nlink: int
    uid: int
    gid: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Look:
    """How a mount shows things: whose they are, which permissions are held back, since when.

    `since_ns` (ns since the epoch) is the time of what has none of its own: the root, vendors.
    """

    uid: int
    gid: int
    umask: int
    since_ns: int

    def attributes(self, inode: Inode, node: Node) -> Attributes:
        """The attributes of a node under that number.

        One link each, directories too: `find` takes 2 and more as a count of subdirectories.
        """
        size, mtime_ns = _size_and_time(node, self.since_ns)
        kind = node.kind
        if kind is EntryType.SYMLINK:
            mode = _LINK_MODE
        else:
            type_, permissions = _MODES[kind]
            mode = type_ | permissions & ~self.umask
        blocks = -(-size // BLOCK)
        return Attributes(inode, kind, mode, size, mtime_ns, 1, self.uid, self.gid, blocks)


def _size_and_time(node: Node, since_ns: int) -> tuple[int, int]:
    if isinstance(node, FileNode | TextNode):
        return node.size, node.mtime_ns
    if isinstance(node, DirectoryNode):
        return 0, node.mtime_ns
    if isinstance(node, LinkNode):
        return len(node.target), node.mtime_ns
    return 0, since_ns
