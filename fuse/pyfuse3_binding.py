"""The binding through pyfuse3 and libfuse; the only file that imports it.

libfuse keeps its session in a global of pyfuse3, so a process holds one mount. Handlers may raise
nothing but FUSEError: anything else would end the mount.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Final

import pyfuse3

from ..errors import UnsupportedError
from ..ids import Inode
from .attributes import BLOCK_SIZE, Attributes
from .failures import number_of
from .handles import Handle
from .listings import LASTING, LONGEST_NAME
from .machine import BOXED, is_boxed
from .operations import NamedAttributes, Operations

MIN_TASKS: Final = 8
"""Idle tasks that are kept; fewer mean that tasks end and begin with nearly every request."""
MAX_TASKS: Final = 256
"""Requests answered at once: many may wait for one slow backend, and others must still pass."""


class _Answering:
    """Turns what leaves `Operations` into the one exception that pyfuse3 allows.

    A class rather than a generator: it stands in the path of every read.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            raise pyfuse3.FUSEError(number_of(error)) from error


_answering: Final = _Answering()


class Adapter(pyfuse3.Operations):
    """`Operations` as pyfuse3 calls it. What is not here is answered by ENOSYS, once each."""

    supports_dot_lookup = False

    def __init__(self, operations: Operations) -> None:
        super().__init__()
        self._operations = operations

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """See `Operations.lookup`."""
        with _answering:
            return _entry(await self._operations.lookup(Inode(parent_inode), name, ctx.pid))

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """See `Operations.getattr`."""
        with _answering:
            return _attributes(self._operations.getattr(Inode(inode)))

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """See `Operations.forget`."""
        self._operations.forget([(Inode(inode), count) for inode, count in inode_list])

    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        """See `Operations.readlink`."""
        with _answering:
            return self._operations.readlink(Inode(inode))

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """See `Operations.open`. Files never change under their inode: pages stay valid."""
        with _answering:
            handle = await self._operations.open(Inode(inode), flags, ctx.pid)
            return pyfuse3.FileInfo(fh=handle, keep_cache=True)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """See `Operations.read`."""
        with _answering:
            # pyfuse3 takes any contiguous buffer, whatever its stubs say.
            return await self._operations.read(Handle(fh), off, size)  # type: ignore[return-value]

    async def release(self, fh: int) -> None:
        """See `Operations.release`."""
        with _answering:
            self._operations.release(Handle(fh))

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """See `Operations.opendir`."""
        with _answering:
            return await self._operations.opendir(Inode(inode), ctx.pid)

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """See `Operations.readdir`. Only what the kernel's buffer took counts as a lookup."""
        with _answering:
            for listed in await self._operations.readdir(Handle(fh), start_id):
                entry = _entry(listed.entry)
                if not pyfuse3.readdir_reply(token, listed.name, entry, listed.following):
                    return
                self._operations.remember(listed)

    async def releasedir(self, fh: int) -> None:
        """See `Operations.releasedir`."""
        with _answering:
            self._operations.releasedir(Handle(fh))

    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """See `Operations.statfs`. The space is told in blocks."""
        with _answering:
            room = await self._operations.statfs()
            answer = pyfuse3.StatvfsData()
            answer.f_bsize = answer.f_frsize = BLOCK_SIZE
            answer.f_blocks = -(-room.total // BLOCK_SIZE)
            answer.f_bfree = answer.f_bavail = room.free // BLOCK_SIZE
            answer.f_namemax = LONGEST_NAME
            return answer

    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        """See `Operations.getxattr`."""
        with _answering:
            return await self._operations.getxattr(Inode(inode), name, ctx.pid)

    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        """See `Operations.listxattr`."""
        with _answering:
            return await self._operations.listxattr(Inode(inode), ctx.pid)


def _attributes(shown: Attributes) -> pyfuse3.EntryAttributes:
    """Attributes never change under an inode."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = shown.inode
    entry.st_mode = shown.mode
    entry.st_nlink = shown.nlink
    entry.st_uid = shown.uid
    entry.st_gid = shown.gid
    entry.st_size = shown.size
    entry.st_blksize = BLOCK_SIZE
    entry.st_blocks = shown.blocks
    entry.st_atime_ns = entry.st_ctime_ns = entry.st_mtime_ns = shown.mtime_ns
    entry.attr_timeout = LASTING
    return entry


def _entry(named: NamedAttributes) -> pyfuse3.EntryAttributes:
    entry = _attributes(named.attributes)
    entry.entry_timeout = named.lifetime
    return entry


class Pyfuse3Session:
    """The process's mount; see `Session`."""

    note = ""

    async def run(self) -> None:
        """See `Session.run`."""
        await pyfuse3.main(min_tasks=MIN_TASKS, max_tasks=MAX_TASKS)

    def stop(self) -> None:
        """See `Session.stop`."""
        pyfuse3.terminate()

    def close(self) -> None:
        """See `Session.close`. Detaches lazily: what is still open must not keep us."""
        pyfuse3.close(unmount=True)


class Pyfuse3Binding:
    """The binding; see `Binding`."""

    name = "pyfuse3"

    def mount(self, operations: Operations, path: str, options: frozenset[str]) -> Pyfuse3Session:
        """See `Binding.mount`. libfuse tells its own reasons on stderr."""
        try:
            pyfuse3.init(Adapter(operations), path, set(options))
        except RuntimeError as error:
            why = f"{error}{BOXED if is_boxed() else ''}"
            raise UnsupportedError(
                f"mounting on {path} was refused ({why}); libfuse says why beside this line, "
                "remove that obstacle and mount again"
            ) from error
        return Pyfuse3Session()
