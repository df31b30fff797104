"""Extended attributes: what a file's or folder's content is called in the store."""

import errno
from typing import Final

from ..ids import Inode
from .failures import refusal
from .nodes import DirectoryNode, FileNode
from .requests import Requests

BLAKE3: Final = b"user.modelfloat.blake3"
COMMIT: Final = b"user.modelfloat.commit"


class ExtendedAttributes:
    """The extended attributes of a mount's inodes."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def listxattr(self, inode: Inode) -> list[bytes]:
        """The names of an inode's extended attributes."""
        node = self._requests.node(inode)
        if isinstance(node, FileNode):
            return [BLAKE3]
        return [COMMIT] if isinstance(node, DirectoryNode) else []

    async def getxattr(self, inode: Inode, name: bytes, pid: int = 0) -> bytes:
        """A file's BLAKE3 or a directory's commit, in hex; ENODATA for any other name."""
        node = self._requests.node(inode)
        if isinstance(node, FileNode) and name == BLAKE3:
            return (await self._requests.manifest(node, pid)).blake3.hex().encode()
        if isinstance(node, DirectoryNode) and name == COMMIT:
            return node.commit.hex().encode()
        raise refusal(errno.ENODATA)
