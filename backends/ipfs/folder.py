"""Names of an IPFS node: keys as paths in its mutable file system (MFS), and the folders above.

A value has a name in `tmp/` while it is stored, which tells its key and when it began: so that
what nobody finished can be found, and a value that takes another one's place can be read while
neither has the name. The node gives a name that is taken to nobody else, but has no command that
replaces what has it.

The root is made where `create` allows it, and once its marker was seen a root without one is
UnavailableError: a node that was set up anew must not look like lost keys.

Concurrency: `_known` and `_placed` change between awaits; the worst of a stale one is a request
more.
"""

import posixpath
import secrets
from dataclasses import dataclass
from typing import Any, Final

import trio

from ...cid import Cid, parse_cid
from ...errors import DeniedError, KeyNotFoundError, UnavailableError
from ...ids import Key
from ..base import Listed
from ..http.sidebyside import side_by_side
from ..keys import MARKER_KEY, RESERVED, is_key, is_replaced
from .rpc import Rpc
from .uploads import Upload, parse_upload

LISTERS: Final = 8
"""Folders that are listed at once."""
FRESH: Final = 5.0
"""Seconds for which a root that was there is taken to be there still, before a write."""
KNOWN: Final = 4096
LOOKS: Final = 3
"""Times that a key is looked for while it is replaced."""
_DIRECTORY: Final = 1


@dataclass(frozen=True, slots=True)
class Found:
    """What has a name: its CID and, of a file, its size in bytes."""

    name: str
    cid: Cid
    size: int
    folder: bool


class Folder:
    """The keys of a backend as files below its root."""

    def __init__(self, rpc: Rpc, *, create: bool) -> None:
        self._rpc = rpc
        self._root = rpc.address.path
        self._create = create
        self._marked = False
        self._placed = float("-inf")
        self._known: set[str] = set()

    def path(self, key: str) -> str:
        """The path of a key, or of the folder of that name; "" is the root."""
        return f"{self._root}/{key}" if key else self._root

    def saw(self, key: Key) -> None:
        """That key was read or written here."""
        self._marked = self._marked or key == MARKER_KEY

    def upload(self, key: Key, *, if_absent: bool) -> Upload:
        """A new name for a value of a key."""
        began = int(self._rpc.now() or 0)
        return Upload(key, began, is_replaced(key) and not if_absent, secrets.token_hex(8))

    async def file(self, key: Key) -> Found:
        """The file of a key; KeyNotFoundError where there is none and the root is there."""
        found = await (self._replaced(key) if is_replaced(key) else self._look(key))
        if found is None or found.folder:
            await self.check_root()
            name = self._rpc.name
            raise KeyNotFoundError(f"backend {name}: {key} is not there", backend=name, key=key)
        self.saw(key)
        return found

    async def lies(self, key: Key) -> Found | None:
        """What lies at a key, a file or a folder; None where nothing does and the root is there."""
        found = await self._look(key)
        if found is None:
            await self.check_root()
        return found

    async def link(self, cid: Cid, key: str) -> bool:
        """Give a file a name; False where another one has it, KeyNotFoundError where the node has
        let go of the file's root."""
        for tried in range(LOOKS):
            await self._make(posixpath.dirname(key))
            reply = await self._rpc.ask(
                "files/cp",
                key,
                [("arg", f"/ipfs/{cid}"), ("arg", self.path(key))],
                again=False,  # it may have happened, and would find itself in its way
            )
            if reply.done:
                return True
            if reply.present:
                return False
            if reply.gone:
                name = self._rpc.name
                raise KeyNotFoundError(
                    f"backend {name}: {key}: the node let go of its root {cid}; try again",
                    backend=name,
                    key=key,
                )
            if not reply.absent or tried == LOOKS - 1:
                raise self._rpc.failure("files/cp", key, reply)
            self.forget(key)
            await self.prepare()
        raise AssertionError("the last try returns or raises")

    async def unlink(self, key: str) -> None:
        """Take a file's name away; none is fine."""
        reply = await self._rpc.ask("files/rm", key, [("arg", self.path(key))])
        if not reply.done and not reply.absent:
            raise self._rpc.failure("files/rm", key, reply)

    async def uploads(self) -> list[tuple[Upload, Found]]:
        """What is being stored, or was given up, the oldest first."""
        inside = await self._inside(RESERVED, check=False)  # which asks for these again
        found = [(parse_upload(each.name), each) for each in inside if not each.folder]
        known = [(upload, each) for upload, each in found if upload is not None]
        return sorted(known, key=lambda pair: (pair[0].began, pair[0].random))

    async def coming(self, key: Key) -> list[Found]:
        """Values that are to take a key's place, the oldest first."""
        return [found for up, found in await self.uploads() if up.key == key and up.replaces]

    async def list_replaced(self, prefix: str) -> list[Listed]:
        """The keys that begin with a prefix whose values are replaced, none left out that has no
        name for the moment of that."""
        found: dict[Key, Listed] = {}
        for look in range(2):
            folders = [posixpath.dirname(prefix)]
            while folders:
                found |= {each.key: each for each in await self.list_round(folders, prefix)}
            for upload, value in await self.uploads() if look == 0 else ():
                key = Key(upload.key)
                if upload.replaces and key.startswith(prefix) and key not in found:
                    found[key] = Listed(key, value.size)
        return list(found.values())

    async def list_round(self, folders: list[str], prefix: str) -> list[Listed]:
        """The files of up to LISTERS of `folders`, whose own folders take their places there."""
        batch = [folders.pop() for _ in range(min(LISTERS, len(folders)))]
        inside = await side_by_side(self._inside, batch)
        keys: list[Listed] = []
        for folder, entries in zip(batch, inside, strict=True):
            for each in entries:
                key = f"{folder}/{each.name}" if folder else each.name
                if not is_key(key) or not key.startswith(prefix):  # RESERVED is none either
                    continue
                if each.folder:
                    folders.append(key)
                else:
                    keys.append(Listed(Key(key), each.size))
        return keys

    async def check_root(self) -> None:
        """UnavailableError unless the root is there, with its marker if it had one."""
        found = await self._stat("", self._root)
        if found is None or not found.folder:
            raise self._gone()
        if self._marked and await self._replaced(MARKER_KEY) is None:
            raise self._gone()
        self._placed = trio.current_time()

    async def prepare(self) -> None:
        """Make sure of the root, so that something can be written."""
        if trio.current_time() - self._placed <= FRESH:
            return
        try:
            await self.check_root()
        except UnavailableError:
            if self._marked or not self._create or await self._stat("", self._root) is not None:
                raise
            await self._mkdir("", self._root)
            await self.check_root()

    def forget(self, key: str) -> None:
        """The folders above a key may be gone."""
        self._placed = float("-inf")
        while key:
            key = posixpath.dirname(key)
            self._known.discard(key)

    def refuse_folder(self, key: Key) -> DeniedError:
        """The error for a key where a folder lies."""
        return DeniedError(
            f"backend {self._rpc.name}: {key} is in the way of a folder, or a folder of it; "
            "look what lies there",
            backend=self._rpc.name,
            key=key,
        )

    async def _replaced(self, key: Key) -> Found | None:
        """The value of a key that is replaced: the one that is to get the name, if none has it."""
        found = await self._look(key)
        for _ in range(LOOKS):
            if found is not None:
                break
            values = await self.coming(key)
            found = await self._look(key)
            if found is None and not values:
                return None
            if found is None and await self._look(key) is None:
                return values[-1]
        return found

    async def _look(self, key: str) -> Found | None:
        return await self._stat(key, self.path(key))

    async def _stat(self, key: str, path: str) -> Found | None:
        reply = await self._rpc.ask("files/stat", key, [("arg", path)])
        if reply.absent:
            return None
        # What lies below a file is no file either.
        if reply.says("not a directory"):
            return None
        if not reply.done:
            raise self._rpc.failure("files/stat", key, reply)
        return self._found(key, posixpath.basename(path), self._rpc.decoded(key, reply))

    async def _inside(self, folder: str, *, check: bool = True) -> list[Found]:
        """What a folder holds; nothing where it is none, as it may vanish while others delete. With
        `check` the root must be there then."""
        arguments = [("arg", self.path(folder)), ("long", "true"), ("U", "true")]
        reply = await self._rpc.ask("files/ls", folder, arguments)
        if reply.absent or reply.says("not a directory"):
            if check:
                await self.check_root()
            return []
        if not reply.done:
            raise self._rpc.failure("files/ls", folder, reply)
        told = self._rpc.decoded(folder, reply)
        try:
            entries = told["Entries"] or []
            found = [self._found(folder, entry["Name"], entry) for entry in entries]
        except (TypeError, KeyError):
            raise self._rpc.stranger(folder, "a listing has no entries") from None
        # A file is listed as the one entry of itself.
        itself = posixpath.basename(folder)
        if len(found) == 1 and found[0].name == itself and not found[0].folder:
            there = await self._look(folder)
            return [] if there is None or not there.folder else found
        return found

    def _found(self, key: str, name: str, told: Any) -> Found:
        """What a node tells of one name; UnavailableError where it tells no such thing."""
        try:
            folder = told["Type"] in ("directory", _DIRECTORY)
            size, cid = told["Size"], parse_cid(told["Hash"])
        except (TypeError, KeyError, ValueError, AttributeError):
            size, folder = -1, False
        if type(size) is not int or size < 0:
            raise self._rpc.stranger(key, "what it tells of a file is no such thing")
        return Found(str(name), cid, size, folder)

    async def _make(self, folder: str) -> None:
        if not folder or folder in self._known:
            return
        await self._mkdir(folder, self.path(folder))
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known.add(folder)

    async def _mkdir(self, key: str, path: str) -> None:
        reply = await self._rpc.ask("files/mkdir", key, [("arg", path), ("parents", "true")])
        if not reply.done and not reply.present:
            raise self._rpc.failure("files/mkdir", key, reply)

    def _gone(self) -> UnavailableError:
        name = self._rpc.name
        return UnavailableError(
            f"backend {name}: the folder {self._root} of the node on {self._rpc.address.host} is "
            + ("not the one it was" if self._marked else "not there")
            + "; check its URL, and which repository the node serves",
            backend=name,
        )
