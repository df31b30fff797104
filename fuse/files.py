"""Open files: what a mount answers to open, read and release.

Concurrency: everything but `read_at_once` and `go_on` runs in the event loop. `read`, the hot path,
makes no hop of its own.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import trio

from ..cas.formats.tree import EntryType
from ..cas.read.claims import Soon
from ..cas.read.counters import clock
from ..cas.read.sets import in_set, opens_set
from ..errors import DamageError, ModelFloatError
from ..ids import Inode
from .failures import refusal
from .handles import Handle, Handles, OpenedFile, SharedReaders
from .modelsets import manifests_after
from .mountstate import OpenFileState
from .nodes import FileNode, TextNode
from .processes import process_of
from .requests import Requests
from .slowreads import SlowReads
from .source import OpenFile
from .textfile import TextFile

LONGEST: Final = 3600.0
"""Seconds after which a read fails, come what may: longer than the limits of backends, added up for
one chunk. Only a mistake of ours lets a program wait for so long."""


class Files:
    """The open files of a mount."""

    def __init__(self, requests: Requests, slow: SlowReads) -> None:
        self.slow = slow
        self._requests = requests
        self._counters = requests.source.counters
        self._open: Handles[OpenedFile] = Handles()
        self._readers = SharedReaders()

    async def open(self, inode: Inode, flags: int, pid: int = 0) -> Handle:
        """Open a file for reading; EROFS for anything else."""
        node = self._requests.node(inode)
        if not isinstance(node, FileNode | TextNode):
            raise refusal(errno.EISDIR if node.kind is EntryType.DIRECTORY else errno.ELOOP)
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & (os.O_TRUNC | os.O_APPEND):
            raise refusal(errno.EROFS)
        reader = self._readers.reuse(inode)
        if reader is None:
            open_ = await self._opener(node, pid)
            # Somebody else may have opened it during that await.
            reader = self._readers.share(inode, open_)
        handle = self._open.add(OpenedFile(inode, node, reader, process_of(pid)))
        try:
            await reader.prepare()
        except BaseException:  # the kernel will not close what it was not told of
            self.release(handle)
            raise
        self._counters.opened += 1
        return handle

    def backing(self, handle: Handle) -> int | None:
        """A descriptor of a local file that holds just the verified bytes of an open one, valid
        until `release`; None where there is none."""
        file = self._open.get(handle)
        return None if file is None else file.reader.backing()

    async def _opener(self, node: FileNode | TextNode, pid: int) -> Callable[[], OpenFile]:
        """What opens a file; whatever takes time is done."""
        if isinstance(node, TextNode):
            return partial(TextFile, node.text)
        manifest = await self._requests.manifest(node, pid)
        source = self._requests.source
        if not in_set(node.name):
            return partial(source.reader.open, manifest)
        after = partial(manifests_after, source.objects, node)
        return partial(source.reader.open, manifest, after, first=opens_set(node.name))

    async def read(
        self, handle: Handle, offset: int, size: int, came: int | None = None
    ) -> memoryview | bytes:
        """The bytes [offset, offset+size) of an open file, fewer only at its end.

        `came` is when the request was taken, by `clock`; now where nobody looked.
        """
        file = self._open.get(handle)
        if file is None:
            raise refusal(errno.EBADF)
        wanted = max(0, min(size, file.node.size - offset))
        read = self.slow.begin(file, offset, wanted, clock() if came is None else came)
        try:
            data = _whole(await _in_time(file, offset, wanted), wanted, offset)
        except Exception as error:
            self._counters.failed += 1
            raise self._read_failure(file, error) from error
        else:
            self._counters.note_request(wanted, clock() - read.begun)
            return data
        finally:
            self.slow.end(read)

    def read_at_once(
        self, handle: Handle, offset: int, size: int, soon: Soon
    ) -> Sequence[memoryview | bytes] | None:
        """What `read` would answer, in parts, if all of it is in memory or soon loaded; else None.

        Any thread may ask, and may hang with it as a disk does. `soon` runs a job in the event
        loop, when that comes to it.
        """
        file = self._open.get(handle)
        if file is None:
            return None
        wanted = max(0, min(size, file.node.size - offset))
        begun = clock()
        try:
            parts = file.reader.at_once(offset, wanted, soon)
        except Exception:  # noqa: BLE001  `read` meets it again, and tells of it
            return None
        if parts is None or sum(map(len, parts)) != wanted:
            return None
        self._counters.at_once += 1
        self._counters.note_request(wanted, clock() - begun)
        return parts

    def go_on(self, handle: Handle, soon: Soon) -> None:
        """After an answer by `read_at_once`: load what comes next, where that is quickly done."""
        file = self._open.get(handle)
        if file is not None:
            file.reader.go_on(soon)

    def release(self, handle: Handle) -> None:
        """Close a file."""
        file = self._open.remove(handle)
        if file is None:
            raise refusal(errno.EBADF)
        self._readers.release(file.inode)

    def count(self) -> int:
        """How many files `states` tells of."""
        return len({file.inode for file in self._open if isinstance(file.node, FileNode)})

    def states(self) -> Iterator[OpenFileState]:
        """The open files of commits, each with all processes that opened it."""
        pids: dict[Inode, set[int]] = {}
        nodes: dict[Inode, FileNode] = {}
        for file in self._open:
            pids.setdefault(file.inode, set()).update([file.pid] if file.pid else [])
            if isinstance(file.node, FileNode):
                nodes[file.inode] = file.node
        for inode, node in nodes.items():
            yield OpenFileState(node.manifest.hex(), node.label, tuple(sorted(pids[inode])))

    def _read_failure(self, file: OpenedFile, error: Exception) -> OSError:
        if file.told == str(error):
            return refusal(errno.EIO)
        file.told = str(error)
        return self._requests.failure(error, "read", file.node, file.pid)


async def _in_time(file: OpenedFile, offset: int, size: int) -> memoryview | bytes:
    with trio.move_on_after(LONGEST):
        return await file.reader.read(offset, size)
    raise ModelFloatError(
        f"nothing came for offset {offset} in {LONGEST:.0f} s; `modelfloat doctor` shows which "
        "backends answer"
    )


def _whole(data: memoryview | bytes, wanted: int, offset: int) -> memoryview | bytes:
    """`data` if nothing is missing: the kernel would fill the rest with zeros, and keep them."""
    if len(data) != wanted:
        raise DamageError(f"{len(data)} of {wanted} bytes came back at offset {offset}")
    return data
