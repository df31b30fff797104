"""Extended attributes: what a file's or folder's content is called in the store.

A file has the same inode in every commit that holds it, so it has no commit of its own to tell.
"""

import errno
import re
from typing import Final

from ..cas.formats.manifest import Manifest
from ..ids import Inode
from .failures import refusal
from .nodes import DirectoryNode, FileNode
from .requests import Requests

BLAKE3: Final = b"user.modelfloat.blake3"
SHA256: Final = b"user.modelfloat.sha256"
CHUNKS: Final = b"user.modelfloat.chunks"
CID: Final = b"user.modelfloat.cid"
COMMIT: Final = b"user.modelfloat.commit"
_OF_FILES: Final = frozenset({BLAKE3, SHA256, CHUNKS, CID})
_OF_A_CHUNK: Final = re.compile(rb"user\.modelfloat\.cid\.(0|[1-9][0-9]{0,17})")


class ExtendedAttributes:
    """The extended attributes of a mount's inodes: digests and ids in hex, CIDs in base 32,
    numbers in decimal."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def listxattr(self, inode: Inode, pid: int = 0) -> list[bytes]:
        """The names of an inode's extended attributes."""
        node = self._requests.node(inode)
        if isinstance(node, FileNode):
            return list(self._of_file(await self._requests.manifest(node, pid)))
        return [COMMIT] if isinstance(node, DirectoryNode) else []

    async def getxattr(self, inode: Inode, name: bytes, pid: int = 0) -> bytes:
        """A file's digests, its CID and count of chunks, the CID of the chunk that holds the byte
        at OFFSET (`user.modelfloat.cid.OFFSET`, which no list names); a directory's commit. ENODATA
        for anything else."""
        node = self._requests.node(inode)
        # Programs ask for names of others (security, ACLs) at every turn: they cost no look-up.
        if isinstance(node, FileNode) and name in _OF_FILES:
            value = self._of_file(await self._requests.manifest(node, pid)).get(name)
            if value is not None:
                return value
        chunk = _OF_A_CHUNK.fullmatch(name)
        if isinstance(node, FileNode) and chunk is not None:
            found = await self._of_chunk(node, int(chunk[1]), pid)
            if found is not None:
                return found
        if isinstance(node, DirectoryNode) and name == COMMIT:
            return node.commit.hex().encode()
        raise refusal(errno.ENODATA)

    def _of_file(self, manifest: Manifest) -> dict[bytes, bytes]:
        found = {
            BLAKE3: manifest.blake3.hex().encode(),
            CHUNKS: str(manifest.chunk_count).encode(),
        }
        if manifest.sha256 is not None:
            found[SHA256] = manifest.sha256.hex().encode()
        cid = self._requests.source.objects.cid(manifest.blake3)
        if cid is not None:
            found[CID] = str(cid).encode()
        return found

    async def _of_chunk(self, node: FileNode, offset: int, pid: int) -> bytes | None:
        """The CID of the chunk that holds a byte of a file; None where there is none."""
        manifest, objects = await self._requests.manifest(node, pid), self._requests.source.objects

        def look() -> bytes | None:
            spans = objects.recipe(manifest).spans(offset, 1)
            cid = objects.cid(spans[0].id) if spans else None
            return None if cid is None else str(cid).encode()

        return await self._requests.engine("getxattr", node, pid, look)
