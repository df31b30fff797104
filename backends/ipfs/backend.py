"""An IPFS node as a backend: a value is a file of BLAKE3 blocks, pinned, with its key for a name.

A value is stored in this order: its blocks, its root, a name in `tmp/`, a pin, its name. The name
in `tmp/` keeps all of it from the node's garbage collection before the pin does, and leads to what
a crash left. Where another value has the name, that is unpinned and its name taken away first: for
a moment there is none, which `atomic_replace` tells. Where such values do come (`is_replaced`),
whoever misses one reads the one that is to follow. `if_absent` is decided by the node; but because
of that moment it does not count as `conditional_put`.

A value is read by its root and blocks, each compared with its CID; never as the file that the node
would make of them. Folders are never removed, as that would remove all that lies in them.

Concurrency: as `rpc`, `folder` and `blocks` say; of this object only `_values` and `_swept` change.
"""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import trio

from ...cid import DAG_PB, Cid
from ...errors import BackendError, KeyExistsError, KeyNotFoundError
from ...ids import Key
from ..base import Buffer, Listed, Properties, Usage
from ..fetch import fetch, rest, short
from ..keys import RESERVED, check_key, check_prefix, is_replaced
from .address import node_address
from .blocks import BLOCK, Blocks, Value, damaged, put_value, stamp
from .folder import Folder, Found
from .remembered import Remembered
from .rpc import Reply, Rpc
from .uploads import Upload

LATENCY: Final = 0.02
"""Seconds: a node mostly runs nearby; what it takes is learned while reading."""
CONCURRENCY: Final = 8
"""Values at once; each takes several requests at a time."""
LEFTOVER_AGE: Final = 3600
"""Seconds after which an upload that nobody finished is removed."""
CLEANUP: Final = 5.0
"""Seconds that removing an upload that failed may take."""
TRIES: Final = 4
"""Times that a value is pinned whose blocks the node let go of, or gets a name that is taken."""
_NO_LIMIT: Final = (1 << 53) - 1
"""Bytes that js-ipfs says it may hold where it has no limit."""


class IpfsBackend:
    """Keys as files of the node's MFS; see `Backend` for the methods.

    Opening asks the node nothing. With `create` the folder is made at the first write.
    """

    def __init__(
        self, name: str, url: str, *, domain: str | None = None, create: bool = False
    ) -> None:
        address = node_address(name, url)
        self.name = name
        self._rpc = Rpc(name, address)
        self._folder = Folder(self._rpc, create=create)
        self._blocks = Blocks(name, self._fetch)
        self._values = Remembered[Key]()  # of those that are written once
        self._swept = False
        self.properties = Properties(
            url=url,
            domain=domain if domain is not None else f"host:{address.host}",
            conditional_put=False,
            concurrency=CONCURRENCY,
            latency=LATENCY,
            atomic_replace=False,
        )

    @classmethod
    def from_url(cls, name: str, url: str, *, domain: str | None, create: bool) -> "IpfsBackend":
        """Open an `ipfs://` or `ipfs+https://` URL; UsageError where it cannot be one."""
        return cls(name, url, domain=domain, create=create)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`. What a cancelled one had stored is removed by a later sweep."""
        check_key(key)
        await self._folder.prepare()
        await self._sweep()
        began = stamp(self._rpc.now())
        upload = self._folder.upload(key, if_absent=if_absent)
        value = await self._store(upload, parts, began)
        try:
            await self._pin(key, value.root, parts, began)
            await self._publish(key, value, if_absent=if_absent)
        except BackendError:
            await self._discard(upload, value.root)
            raise
        self._remember(key, value)
        self._folder.saw(key)
        with contextlib.suppress(BackendError):  # the value is stored: a sweep will remove it
            await self._folder.unlink(f"{RESERVED}/{upload}")

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        check_key(key)
        if offset < 0:
            raise ValueError(f"offset {offset} of {key} is negative")
        target = buffer.cast("B")
        if not len(target):
            rest(self.name, key, await self.head(key), offset)
            return
        value, known = await self._value(key)
        try:
            await self._fill(key, value, offset, target)
        except BackendError:
            if not known:
                raise
            self._values.drop(key)  # it may have been stored anew by somebody
            value, _ = await self._value(key)
            await self._fill(key, value, offset, target)

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        check_key(key)
        return await fetch(self, key, offset, size, most)

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        check_key(key)
        return (await self._folder.file(key)).size

    async def age(self, key: Key) -> float:
        """See `Backend.age`: by the node's clock, which dated the root as well."""
        check_key(key)
        found = await self._folder.file(key)
        value, now = await self._blocks.root(key, found.cid), self._rpc.now()
        if value.time is None or now is None:
            raise self._rpc.stranger(key, "the node tells no time")
        return max(0.0, now - value.time)

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        check_key(key)
        self._values.drop(key)
        found = await self._folder.lies(key)
        if found is not None and not found.folder:
            await self._remove(key, found.cid)
        if is_replaced(key):  # one that was to follow would be read in its place
            for upload, coming in await self._folder.uploads():
                if upload.key == key and upload.replaces:
                    await self._remove(f"{RESERVED}/{upload}", coming.cid)

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        folders = [check_prefix(prefix).rpartition("/")[0]]
        await trio.lowlevel.checkpoint()
        if is_replaced(prefix):
            for listed in await self._folder.list_replaced(prefix):
                yield listed
            return
        while folders:
            for listed in await self._folder.list_round(folders, prefix):
                yield listed

    async def usage(self) -> Usage:
        """See `Backend.usage`: up to the limit that the node's owner set."""
        told = await self._rpc.document("repo/stat", "", [("size-only", "true")])
        space = f"ipfs:{self._rpc.address.base}"
        try:
            used, most = int(told["RepoSize"]), int(told["StorageMax"])
        except (TypeError, KeyError, ValueError):
            return Usage(None, None, space)
        if not 0 < most < _NO_LIMIT:
            return Usage(None, None, space)
        return Usage(max(0, most - used), most, space)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._rpc.aclose()

    async def _value(self, key: Key) -> tuple[Value, bool]:
        """A key's value, and whether it was known."""
        known = self._values.find(key)
        if known is not None:
            return known, True
        found = await self._folder.file(key)
        value = await self._blocks.root(key, found.cid)
        self._remember(key, value)
        return value, False

    def _remember(self, key: Key, value: Value) -> None:
        if not is_replaced(key):
            self._values.add(key, value)

    async def _fill(self, key: Key, value: Value, offset: int, target: memoryview) -> None:
        if offset + len(target) > value.size:
            raise short(self.name, key, offset + len(target), value.size)
        await self._blocks.fill(key, value, offset, target)

    async def _fetch(self, key: str, cid: Cid, most: int) -> bytes:
        """A block as the node has it."""
        reply = await self._rpc.ask("block/get", key, [("arg", str(cid))], most=most + BLOCK)
        if reply.gone:
            raise damaged(self.name, key, f"the node has lost its block {cid}")
        if not reply.done:
            raise self._rpc.failure("block/get", key, reply)
        return reply.body

    async def _put_block(self, key: str, cid: Cid, block: bytes) -> None:
        """Put a block; what the node calls it must be what we do."""
        codec = [("format", "dag-pb")] if cid.codec == DAG_PB else [("format", "raw"), _RAW]
        reply = await self._rpc.ask(
            "block/put", key, [*codec, ("mhtype", "blake3"), ("mhlen", "32")], data=block
        )
        if not reply.done:
            raise self._rpc.failure("block/put", key, reply)
        told = self._rpc.decoded(key, reply)
        if not isinstance(told, dict) or told.get("Key") != str(cid):
            raise self._rpc.stranger(key, f"the block {cid} was given another name")

    async def _store(self, upload: Upload, parts: Sequence[Buffer], began: int | None) -> Value:
        """Put a value's blocks and give its root a name; again, where the node's garbage collection
        comes between."""
        tried = 0
        while True:
            tried += 1
            value = await put_value(self._put_block, upload.key, parts, began)
            try:
                await self._folder.link(value.root, f"{RESERVED}/{upload}")
            except KeyNotFoundError as error:
                if tried == TRIES:
                    raise self._rpc.stranger(upload.key, "it keeps no block") from error
            else:
                return value

    async def _pin(self, key: Key, root: Cid, parts: Sequence[Buffer], began: int | None) -> None:
        """Pin a value. Blocks that the node's garbage collection took before they had a name are
        put again."""
        for tried in range(TRIES):
            reply = await self._rpc.ask("pin/add", key, [("arg", str(root))])
            if reply.done and str(root).encode() in reply.body:
                return
            if not reply.gone or tried == TRIES - 1:
                raise self._rpc.failure("pin/add", key, reply)
            await put_value(self._put_block, key, parts, began)

    async def _publish(self, key: Key, value: Value, *, if_absent: bool) -> None:
        """Give a value its name, and take it from another one first."""
        for _ in range(TRIES):
            if await self._folder.link(value.root, key):
                return
            found = await self._folder.lies(key)
            if found is not None and found.folder:
                raise self._folder.refuse_folder(key)
            if found is not None and found.cid == value.root:
                return
            if if_absent:
                raise KeyExistsError(
                    f"backend {self.name}: {key} is there already", backend=self.name, key=key
                )
            if found is not None:
                await self._remove(key, found.cid)
        raise self._rpc.failure("files/cp", key, Reply(500, b"", "others give it to other files"))

    async def _remove(self, key: str, cid: Cid) -> None:
        """Unpin a value and take its name away. In this order: what has a name is not collected."""
        await self._unpin(key, cid)
        await self._folder.unlink(key)

    async def _unpin(self, key: str, cid: Cid) -> None:
        reply = await self._rpc.ask("pin/rm", key, [("arg", str(cid))])
        if not reply.done and not reply.says("not pinned") and not reply.gone:
            raise self._rpc.failure("pin/rm", key, reply)

    async def _discard(self, upload: Upload, cid: Cid) -> None:
        """Remove an upload, best effort."""
        with trio.move_on_after(CLEANUP), contextlib.suppress(BackendError):
            await self._drop(upload, cid)

    async def _drop(self, upload: Upload, cid: Cid) -> None:
        """Remove an upload, whose value may have got its name."""
        found = await self._folder.lies(Key(upload.key))
        if found is not None and found.cid == cid:
            await self._folder.unlink(f"{RESERVED}/{upload}")
        else:
            await self._remove(f"{RESERVED}/{upload}", cid)

    async def _sweep(self) -> None:
        """Remove uploads that nobody finished, best effort, once."""
        if self._swept:
            return
        self._swept = True
        now = self._rpc.now()
        if now is None:
            return
        with contextlib.suppress(BackendError):
            for upload, found in await self._folder.uploads():
                if now - upload.began > LEFTOVER_AGE:
                    await self._finish(upload, found)

    async def _finish(self, upload: Upload, found: Found) -> None:
        """End an upload that was given up: the value that was to take another one's place gets it
        where there is none now."""
        if upload.replaces:
            with contextlib.suppress(KeyNotFoundError):
                latest = (await self._folder.coming(Key(upload.key)))[-1]
                if latest.cid == found.cid:
                    await self._folder.link(found.cid, upload.key)
        await self._drop(upload, found.cid)


_RAW: Final = ("cid-codec", "raw")
