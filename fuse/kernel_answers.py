"""What the binding of our own says to each of the kernel's requests, by `Operations`.

A request that is malformed, unknown, or met by a mistake of ours gets an errno: none ends a mount.
"""

import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from . import protocol
from .failures import number_of, refusal
from .operations import Operations
from .passthrough import Passthrough
from .protocol import CHANGES, Feature, Opcode, Request

BACKGROUND: Final = 64
"""Requests of its own, for reading ahead, that the kernel may have under way."""
FEATURES: Final = (
    Feature.ASYNC_READ
    | Feature.READDIRPLUS
    | Feature.ASYNC_DIO
    | Feature.PARALLEL_DIROPS
    | Feature.ABORT_ERROR
    | Feature.MAX_PAGES
    | Feature.CACHE_SYMLINKS
)
"""What is agreed on where the kernel can do it. Links' texts never change under an inode. Listings
always have attributes with them, which cost us nothing: left to choose (READDIRPLUS_AUTO) the
kernel asks for most of a long folder without, and then for each entry alone."""

Buffer = bytes | memoryview

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request: an errno, 0 for none, and bytes."""

    number: int = 0
    data: Buffer = b""


class Answers:
    """Answers requests; used in the event loop only."""

    def __init__(self, operations: Operations, passthrough: Passthrough) -> None:
        self._operations = operations
        self._passthrough = passthrough
        self._handlers: Final[dict[int, Callable[[Request], Awaitable[Answer]]]] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.GETATTR: self._getattr,
            Opcode.READLINK: self._readlink,
            Opcode.OPEN: self._open,
            Opcode.READ: self._read,
            Opcode.STATFS: self._statfs,
            Opcode.RELEASE: self._release,
            Opcode.GETXATTR: self._getxattr,
            Opcode.LISTXATTR: self._listxattr,
            Opcode.INIT: self._init,
            Opcode.OPENDIR: self._opendir,
            Opcode.READDIR: self._readdir,
            Opcode.RELEASEDIR: self._releasedir,
            Opcode.DESTROY: self._destroy,
            Opcode.READDIRPLUS: self._readdirplus,
        }

    async def answer(self, request: Request) -> Answer:
        """The answer to a request that wants one. Fails only by being cancelled."""
        handler = self._handlers.get(request.opcode)
        if handler is None:
            return Answer(errno.EROFS if request.opcode in CHANGES else errno.ENOSYS)
        try:
            return await handler(request)
        except ValueError as error:
            log.warning("request %d: %s", request.opcode, error)
            return Answer(errno.EIO)
        except Exception as error:  # noqa: BLE001  it is logged there
            return Answer(number_of(error))

    def forget(self, request: Request) -> None:
        """FORGET and BATCH_FORGET, which no reply is wanted to; ValueError for one that is none."""
        if request.opcode == Opcode.BATCH_FORGET:
            self._operations.forget(protocol.parse_batch(request.body))
        else:
            self._operations.forget([(request.inode, protocol.parse_number(request.body))])

    async def _init(self, request: Request) -> Answer:
        hello = protocol.parse_init(request.body)
        if hello.major != protocol.MAJOR or hello.minor < protocol.OLDEST:
            if hello.major > protocol.MAJOR:  # it will ask again, in our words
                return Answer(0, protocol.init(protocol.MINOR, 0, 0, BACKGROUND, protocol.PAGES))
            log.error("the kernel speaks FUSE %d.%d, too old", hello.major, hello.minor)
            return Answer(errno.EPROTO)
        minor, features = min(hello.minor, protocol.MINOR), hello.features & FEATURES
        features |= self._passthrough.wanted(hello.features)
        log.debug("FUSE %d.%d, %s", hello.major, hello.minor, Feature(features))
        # The kernel takes the smaller one of this and what its sysfs says when it gets it.
        ahead = max(hello.read_ahead, protocol.LARGEST)
        data = protocol.init(minor, features, ahead, BACKGROUND, protocol.PAGES)
        return Answer(0, data)

    async def _destroy(self, _request: Request) -> Answer:
        return Answer()

    async def _lookup(self, request: Request) -> Answer:
        name = protocol.parse_name(request.body)
        found = await self._operations.lookup(request.inode, name, request.pid)
        return Answer(0, protocol.entry(found.attributes, found.lifetime))

    async def _getattr(self, request: Request) -> Answer:
        return Answer(0, protocol.attributes(self._operations.getattr(request.inode)))

    async def _readlink(self, request: Request) -> Answer:
        return Answer(0, self._operations.readlink(request.inode))

    async def _open(self, request: Request) -> Answer:
        """Files never change under their inode: pages stay valid."""
        inode, flags = request.inode, protocol.parse_open(request.body)
        handle = await self._operations.open(inode, flags, request.pid)
        backing = self._passthrough.opened(inode, handle, flags, self._operations.backing)
        if backing is None:
            return Answer(0, protocol.opened(handle, protocol.KEEP_CACHE))
        self._operations.counters.passed_through += 1
        return Answer(0, protocol.opened(handle, protocol.PASSTHROUGH, backing))

    async def _read(self, request: Request) -> Answer:
        handle, offset, size = protocol.parse_read(request.body)
        return Answer(0, await self._operations.read(handle, offset, size, request.came))

    async def _release(self, request: Request) -> Answer:
        handle = protocol.parse_handle(request.body)
        self._passthrough.released(handle)  # first: its descriptor is the open file's
        self._operations.release(handle)
        return Answer()

    async def _opendir(self, request: Request) -> Answer:
        return Answer(
            0, protocol.opened(await self._operations.opendir(request.inode, request.pid))
        )

    async def _releasedir(self, request: Request) -> Answer:
        self._operations.releasedir(protocol.parse_handle(request.body))
        return Answer()

    async def _readdir(self, request: Request) -> Answer:
        handle, offset, room = protocol.parse_read(request.body)
        out = bytearray()
        for found in await self._operations.readdir(handle, offset):
            entry = protocol.listed(found.name, found.entry.attributes, found.following)
            if len(out) + len(entry) > room:
                break
            out += entry
        return Answer(0, bytes(out))

    async def _readdirplus(self, request: Request) -> Answer:
        """Each entry is a lookup as well."""
        handle, offset, room = protocol.parse_read(request.body)
        out = bytearray()
        for found in await self._operations.readdir(handle, offset):
            shown = found.entry.attributes
            entry = protocol.entry(shown, found.entry.lifetime)
            entry += protocol.listed(found.name, shown, found.following)
            if len(out) + len(entry) > room:
                break
            out += entry
            self._operations.remember(found)
        return Answer(0, bytes(out))

    async def _statfs(self, _request: Request) -> Answer:
        return Answer(0, protocol.space(await self._operations.statfs()))

    async def _getxattr(self, request: Request) -> Answer:
        room, name = protocol.parse_getxattr(request.body)
        return _sized(await self._operations.getxattr(request.inode, name, request.pid), room)

    async def _listxattr(self, request: Request) -> Answer:
        room = protocol.parse_room(request.body)
        names = await self._operations.listxattr(request.inode, request.pid)
        return _sized(b"".join(name + b"\0" for name in names), room)


def _sized(value: bytes, room: int) -> Answer:
    """`value`, or how long it is where it was only asked for that."""
    if not room:
        return Answer(0, protocol.length(len(value)))
    if len(value) > room:
        raise refusal(errno.ERANGE)
    return Answer(0, value)
