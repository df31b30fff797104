"""What a mount answers to each request, whichever binding brings it.

Every method answers, or raises OSError whose errno is the answer. Nothing else leaves this file.

Concurrency: everything runs in the event loop; reads of the index go to worker threads, a few at a
time. `read`, the hot path, makes no hop of its own. No method waits for anything that could need
another request on the same mount. A lookup is counted before it is answered, without an await in
between; the kernel forgets an inode only after it was answered, so a count is never too low.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import trio

from ..cas.formats.manifest import Manifest
from ..cas.formats.tree import EntryType
from ..errors import ChunkDamagedError, DamageError
from ..ids import Inode
from .attributes import Attributes, Look
from .failures import engine_failure, refusal
from .handles import Handle, Handles, OpenedDirectory, OpenedFile, SharedReaders
from .inodes import Inodes
from .nodes import DirectoryNode, FileNode, LinkNode, NamedNode, Node
from .source import Source
from .tree import Shown, Tree

THREADS: Final = 4
"""Reads of the index that run at once."""
WINDOW: Final = 512
"""Directory entries decoded at a time."""
XATTR_BLAKE3: Final = b"user.modelfloat.blake3"
XATTR_COMMIT: Final = b"user.modelfloat.commit"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NamedAttributes:
    """What a name means: attributes, and the seconds for which the name may be trusted."""

    attributes: Attributes
    lifetime: float


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a listing; `following` is the offset at which the listing goes on."""

    name: bytes
    node: NamedNode
    entry: NamedAttributes
    following: int


class Operations:
    """The read-only filesystem over one store. A binding calls it and counts nothing itself."""

    def __init__(self, source: Source, look: Look, inodes: Inodes | None = None) -> None:
        self._source = source
        self._look = look
        self._tree = Tree(source)
        self._inodes = inodes if inodes is not None else Inodes()
        self._files: Handles[OpenedFile] = Handles()
        self._directories: Handles[OpenedDirectory] = Handles()
        self._readers = SharedReaders()
        self._threads = trio.CapacityLimiter(THREADS)

    # Names and attributes

    async def lookup(self, parent: Inode, name: bytes, pid: int = 0) -> NamedAttributes:
        """What `name` means in the directory `parent`; counts one lookup. ENOENT if nothing."""
        node = self._node(parent)
        found = await self._engine("lookup", node, pid, lambda: self._tree.lookup(node, name))
        if found is None:
            raise refusal(errno.ENOENT)
        inode = self._inodes.remember(found.node)
        return NamedAttributes(self._look.attributes(inode, found.node), found.lifetime)

    def getattr(self, inode: Inode) -> Attributes:
        """The attributes of an inode."""
        return self._look.attributes(inode, self._node(inode))

    def forget(self, lookups: Iterable[tuple[Inode, int]]) -> None:
        """The kernel gives back so many lookups of each inode. Never fails."""
        self._inodes.forget(lookups)

    def readlink(self, inode: Inode) -> bytes:
        """The text of a symbolic link."""
        node = self._node(inode)
        if not isinstance(node, LinkNode):
            raise refusal(errno.EINVAL)
        return node.target

    def listxattr(self, inode: Inode) -> list[bytes]:
        """The names of an inode's extended attributes."""
        node = self._node(inode)
        if isinstance(node, FileNode):
            return [XATTR_BLAKE3]
        return [XATTR_COMMIT] if isinstance(node, DirectoryNode) else []

    async def getxattr(self, inode: Inode, name: bytes, pid: int = 0) -> bytes:
        """A file's BLAKE3 or a directory's commit, in hex; ENODATA for any other name."""
        node = self._node(inode)
        if isinstance(node, FileNode) and name == XATTR_BLAKE3:
            return (await self._manifest(node, pid)).blake3.hex().encode()
        if isinstance(node, DirectoryNode) and name == XATTR_COMMIT:
            return node.commit.hex().encode()
        raise refusal(errno.ENODATA)

    # Files

    async def open(self, inode: Inode, flags: int, pid: int = 0) -> Handle:
        """Open a file for reading; EROFS for anything else."""
        node = self._node(inode)
        if not isinstance(node, FileNode):
            raise refusal(errno.EISDIR if node.kind is EntryType.DIRECTORY else errno.ELOOP)
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & (os.O_TRUNC | os.O_APPEND):
            raise refusal(errno.EROFS)
        reader = self._readers.reuse(inode)
        if reader is None:
            manifest = await self._manifest(node, pid)
            # Somebody else may have opened it during that await.
            reader = self._readers.share(inode, lambda: self._source.reader.open(manifest))
        return self._files.add(OpenedFile(inode, node, reader, pid))

    async def read(self, handle: Handle, offset: int, size: int) -> memoryview | bytes:
        """The bytes [offset, offset+size) of an open file, fewer only at its end."""
        file = self._files.get(handle)
        if file is None:
            raise refusal(errno.EBADF)
        wanted = max(0, min(size, file.node.size - offset))
        try:
            return _whole(await file.reader.read(offset, wanted), wanted, offset)
        except Exception as error:
            raise self._read_failure(file, error) from error

    def release(self, handle: Handle) -> None:
        """Close a file."""
        file = self._files.remove(handle)
        if file is None:
            raise refusal(errno.EBADF)
        self._readers.release(file.inode)

    # Directories

    async def opendir(self, inode: Inode, pid: int = 0) -> Handle:
        """Open a directory: what it holds now is what this handle lists."""
        node = self._node(inode)
        listing = await self._engine("opendir", node, pid, lambda: self._tree.listing(node))
        return self._directories.add(OpenedDirectory(node, listing, pid))

    async def readdir(self, handle: Handle, offset: int) -> Iterator[Listed]:
        """Entries of an open directory from that offset on; none when it is at its end.

        There may be more than are yielded. Each one that was handed to the kernel must be
        counted with `remember`, before anything else is awaited.
        """
        directory = self._directories.get(handle)
        if directory is None:
            raise refusal(errno.EBADF)
        known = directory.known(offset)
        if not known:
            batch = directory.listing.batch
            known = await self._engine(
                "readdir", directory.node, directory.pid, lambda: batch(offset, WINDOW)
            )
            directory.start, directory.window = offset, known
        return self._listed(known)

    def remember(self, listed: Listed) -> None:
        """Count a lookup of an entry that the kernel was handed."""
        self._inodes.remember(listed.node)

    def releasedir(self, handle: Handle) -> None:
        """Close a directory."""
        if self._directories.remove(handle) is None:
            raise refusal(errno.EBADF)

    def _listed(self, entries: list[Shown]) -> Iterator[Listed]:
        for shown in entries:
            node = shown.found.node
            attributes = self._look.attributes(self._inodes.number(node), node)
            entry = NamedAttributes(attributes, shown.found.lifetime)
            yield Listed(shown.name, node, entry, shown.following)

    # What they share

    def _node(self, inode: Inode) -> Node:
        node = self._inodes.node(inode)
        if node is None:
            raise refusal(errno.ESTALE)
        return node

    async def _manifest(self, node: FileNode, pid: int) -> Manifest:
        def load() -> Manifest:
            manifest = self._source.objects.manifest(node.manifest)
            if manifest.size != node.size:
                raise ChunkDamagedError(
                    f"its directory says {node.size} bytes, its manifest {manifest.size}; "
                    "run `modelfloat verify --repair`"
                )
            return manifest

        return await self._engine("open", node, pid, load)

    async def _engine(self, request: str, node: Node, pid: int, job: Callable[[], T]) -> T:
        """Run `job`, reads of the index, in a worker thread; failures as OSError."""
        try:
            return await trio.to_thread.run_sync(job, limiter=self._threads)
        except NotADirectoryError as error:
            raise refusal(errno.ENOTDIR) from error
        except Exception as error:
            raise engine_failure(error, request, node.label, pid) from error

    def _read_failure(self, file: OpenedFile, error: Exception) -> OSError:
        if file.told == str(error):
            return refusal(errno.EIO)
        file.told = str(error)
        return engine_failure(error, "read", file.node.label, file.pid)


def _whole(data: memoryview | bytes, wanted: int, offset: int) -> memoryview | bytes:
    """`data` if nothing is missing: the kernel would fill the rest with zeros, and keep them."""
    if len(data) != wanted:
        raise DamageError(f"{len(data)} of {wanted} bytes came back at offset {offset}")
    return data
