"""Extended attributes: what a file's or folder's content is called in the store.

A file has the same inode in every commit that holds it, so it has no commit of its own to tell.
"""

import errno
from typing import Final

from ..cas.formats.manifest import Manifest
from ..ids import Inode
from .failures import refusal
from .nodes import DirectoryNode, FileNode
from .requests import Requests

BLAKE3: Final = b"user.modelfloat.blake3"
SHA256: Final = b"user.modelfloat.sha256"
CHUNKS: Final = b"user.modelfloat.chunks"
COMMIT: Final = b"user.modelfloat.commit"
_OF_FILES: Final = frozenset({BLAKE3, SHA256, CHUNKS})


class ExtendedAttributes:
    """The extended attributes of a mount's inodes: digests and ids in hex, numbers in decimal."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def listxattr(self, inode: Inode, pid: int = 0) -> list[bytes]:
        """The names of an inode's extended attributes."""
        node = self._requests.node(inode)
        if isinstance(node, FileNode):
            return list(_of_file(await self._requests.manifest(node, pid)))
        return [COMMIT] if isinstance(node, DirectoryNode) else []

    async def getxattr(self, inode: Inode, name: bytes, pid: int = 0) -> bytes:
        """A file's digests and count of chunks, a directory's commit; ENODATA for anything else."""
        node = self._requests.node(inode)
        # Programs ask for names of others (security, ACLs) at every turn: they cost no look-up.
        if isinstance(node, FileNode) and name in _OF_FILES:
            value = _of_file(await self._requests.manifest(node, pid)).get(name)
            if value is not None:
                return value
        if isinstance(node, DirectoryNode) and name == COMMIT:
            return node.commit.hex().encode()
        raise refusal(errno.ENODATA)


def _of_file(manifest: Manifest) -> dict[bytes, bytes]:
    found = {
        BLAKE3: manifest.blake3.hex().encode(),
        CHUNKS: str(manifest.chunk_count).encode(),
    }
    if manifest.sha256 is not None:
        found[SHA256] = manifest.sha256.hex().encode()
    return found
