"""What the answers to all kinds of requests share: the store, its inodes, threads, and failures."""

import errno
from collections.abc import Callable
from typing import Final, TypeVar

import trio

from ..cas.formats.manifest import Manifest
from ..errors import ChunkDamagedError
from ..ids import Inode
from .attributes import Look
from .failures import RecentErrors, engine_failure, refusal
from .inodes import Inodes
from .nodes import FileNode, Node
from .source import Source
from .tree import Tree

THREADS: Final = 4
"""Reads of the index that run at once."""

T = TypeVar("T")


class Requests:
    """The state of one mount that more than one kind of request needs."""

    def __init__(self, source: Source, look: Look, inodes: Inodes) -> None:
        self.source = source
        self.look = look
        self.inodes = inodes
        self.tree = Tree(source)
        self.errors = RecentErrors()
        self._threads = trio.CapacityLimiter(THREADS)

    def node(self, inode: Inode) -> Node:
        """What a number stands for; ESTALE when it should not be known."""
        node = self.inodes.node(inode)
        if node is None:
            raise refusal(errno.ESTALE)
        return node

    async def manifest(self, node: FileNode, pid: int) -> Manifest:
        """A file's manifest, whose size is what its directory says."""

        def load() -> Manifest:
            manifest = self.source.objects.manifest(node.manifest)
            if manifest.size != node.size:
                raise ChunkDamagedError(
                    f"its directory says {node.size} bytes, its manifest {manifest.size}; "
                    "run `modelfloat verify --repair`"
                )
            return manifest

        return await self.engine("open", node, pid, load)

    async def engine(self, request: str, node: Node, pid: int, job: Callable[[], T]) -> T:
        """Run `job`, reads of the index, in a worker thread; failures as OSError."""
        try:
            # A job that is dropped changes nothing: it only reads.
            return await trio.to_thread.run_sync(job, abandon_on_cancel=True, limiter=self._threads)
        except NotADirectoryError as error:
            raise refusal(errno.ENOTDIR) from error
        except Exception as error:
            raise self.failure(error, request, node, pid) from error

    def failure(self, error: Exception, request: str, node: Node, pid: int) -> OSError:
        """The answer to a request that failed; logs it and remembers it among the last ones."""
        return engine_failure(error, request, node.label, pid, self.errors)
