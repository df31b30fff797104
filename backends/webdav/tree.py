"""What lies on a WebDAV server and where: paths of keys, resources asked for, folders made, lists.

The root is where the URL points. It is never made but where `create` allows it, and once its
marker was seen a root without one is UnavailableError: what a server shares while a disk is not
mounted must not look like lost keys, and nothing is written there.

Concurrency: `_known` and `_placed` change between awaits; the worst of a stale one is a request
more. Folders are made one after the other: a server may lock what it makes.
"""

import posixpath
import secrets
from collections.abc import Sequence
from typing import Final

import trio

from ...errors import KeyNotFoundError, UnavailableError
from ...ids import Key
from ..base import Listed
from ..http.sidebyside import side_by_side
from ..keys import MARKER_KEY, RESERVED, is_key, is_replaced
from .answers import QUESTION, MalformedError, Multistatus, Resource, date
from .requests import DavHttp

LISTERS: Final = 8
"""Folders that are listed at once."""
FRESH: Final = 5.0
"""Seconds for which a root that was there is taken to be there still, before a write."""
KNOWN: Final = 4096
TRIES: Final = 5
"""Times that a folder is listed whose listing breaks off."""
LOOKS: Final = 20
PAUSE: Final = 0.1
"""Times that a key is looked for while it is replaced, and seconds between them."""
MARK: Final = "~"
"""Stands for a slash in the name of an upload, and before its random part; no key has it."""
_ABSENT: Final = frozenset({404, 410})
_FOUND: Final = 207


class DavTree:
    """The keys of a backend as resources below its root."""

    def __init__(self, http: DavHttp, *, create: bool) -> None:
        self._http = http
        self._root = http.address.path
        self._create = create
        self._marked = False
        self._placed = float("-inf")
        self._known: set[str] = set()
        self._making = trio.Lock()

    def path(self, key: str) -> str:
        """The path of a key, or of the folder of that name; "" is the root."""
        return f"{self._root}/{key}" if key else self._root

    def saw(self, key: Key) -> None:
        """That key was read or written here."""
        self._marked = self._marked or key == MARKER_KEY

    async def find(self, key: Key) -> tuple[Resource, float | None]:
        """The file of a key, its size known, and the time by the server's clock."""
        found, now = await self.file(key)
        self.saw(key)
        return found, now

    async def file(self, key: str) -> tuple[Resource, float | None]:
        """The same of an upload under way."""
        found, now = await self._about(key, self.path(key))
        if found is None and is_replaced(key):
            found, now = await self._replaced(key)
        if found is None or found.folder:
            await self.check_root()
            name = self._http.name
            raise KeyNotFoundError(f"backend {name}: {key} is not there", backend=name, key=key)
        if found.size is None:
            raise self._http.stranger(key, "the server tells no size")
        return found, now

    def upload_name(self, key: str) -> str:
        """A new temporary name for a value of a key; it tells which where that may be replaced."""
        name = f"{key.replace('/', MARK)}{MARK}" if is_replaced(key) else ""
        return f"{RESERVED}/{name}{secrets.token_hex(16)}"

    async def list_replaced(self, prefix: str) -> list[Listed]:
        """The keys that begin with a prefix whose values are replaced, none left out that is gone
        for the moment of that: what one look misses, another finds, or it is being uploaded."""
        folder = posixpath.dirname(prefix)
        found: dict[Key, Listed] = {}
        for look in range(2):
            folders = [folder]
            while folders:
                found |= {each.key: each for each in await self.list_round(folders, prefix)}
            for key in await self._uploading() if look == 0 else ():
                if key.startswith(prefix) and key not in found:
                    there, _ = await self._replaced(key)
                    if there is not None and there.size is not None:
                        found[key] = Listed(key, there.size)
        return list(found.values())

    async def _replaced(self, key: str) -> tuple[Resource | None, float | None]:
        """What lies at a key, looked at again while another value of it is on its way."""
        for _ in range(LOOKS):
            coming = key in await self._uploading()
            found, now = await self._about(key, self.path(key))
            if found is not None or not coming:
                break
            await trio.sleep(PAUSE)
        return found, now

    async def _uploading(self) -> set[Key]:
        """Keys of which a value that may replace another is being uploaded, or was given up."""
        found, _ = await self._ask(RESERVED, self.path(RESERVED), "1")
        names = (resource.path.rpartition("/")[2].rpartition(MARK)[0] for resource in found)
        return {Key(key) for key in (name.replace(MARK, "/") for name in names) if is_key(key)}

    async def lies(self, key: str) -> Resource | None:
        """What lies at a key, a file or a folder; None where nothing does and the root is there."""
        found, _ = await self._about(key, self.path(key))
        if found is None:
            await self.check_root()
        return found

    async def root(self) -> Resource:
        """The root itself; UnavailableError where it is not there."""
        found, _ = await self._about("", self._root)
        if found is None or not found.folder:
            raise self._gone()
        return found

    async def check_root(self) -> None:
        """UnavailableError unless the root is there, with its marker if it had one."""
        if not self._marked:
            await self.root()
        else:
            found, _ = await self._about(MARKER_KEY, self.path(MARKER_KEY))
            if found is None or found.folder:
                raise self._gone()
        self._placed = trio.current_time()

    async def prepare(self, key: str) -> None:
        """Make sure of the root and of all folders above a key, so that it can be written."""
        if trio.current_time() - self._placed > FRESH:
            try:
                await self.check_root()
            except UnavailableError:
                if self._marked or not self._create:
                    raise
                await self._make_root()
        folder = posixpath.dirname(key)
        if folder in self._known:
            return
        async with self._making:  # many begin with the same folders
            for end in [i for i, letter in enumerate(folder) if letter == "/"] + [len(folder)]:
                await self._make(folder[:end])

    def forget(self, key: str) -> None:
        """The folders above a key may be gone."""
        self._placed = float("-inf")
        while key:
            key = posixpath.dirname(key)
            self._known.discard(key)

    async def list_round(self, folders: list[str], prefix: str) -> list[Listed]:
        """The files of up to LISTERS of `folders`, whose own folders take their places there."""
        batch = [folders.pop() for _ in range(min(LISTERS, len(folders)))]
        inside = await side_by_side(self._inside, batch)
        keys: list[Listed] = []
        for folder, resources in zip(batch, inside, strict=True):
            self._take(folder, resources, prefix, folders, keys)
        return keys

    def _take(
        self,
        folder: str,
        resources: Sequence[Resource],
        prefix: str,
        folders: list[str],
        keys: list[Listed],
    ) -> None:
        for resource in resources:
            key = self._key(resource.path)
            if key is None or posixpath.dirname(key) != folder or not key.startswith(prefix):
                continue
            if not resource.folder:
                if resource.size is None:
                    raise self._http.stranger(key, "the server tells no size")
                keys.append(Listed(Key(key), resource.size))
            elif key != RESERVED:
                folders.append(key)

    def _key(self, path: str) -> str | None:
        """The key, or the folder's, that a path stands for; None where it is none of ours."""
        if not path.startswith(f"{self._root}/"):
            return None
        key = path[len(self._root) + 1 :]
        return key if is_key(key) or key == RESERVED else None

    async def _inside(self, folder: str) -> list[Resource]:
        """What a folder holds; nothing where it is none. It may vanish while others delete."""
        found, _ = await self._ask(folder, self.path(folder), "1")
        if not found:
            await self.check_root()
        return found

    async def leftovers(self, older: float) -> list[str]:
        """Uploads that began more than `older` seconds ago by the server's clock."""
        found, now = await self._ask(RESERVED, self.path(RESERVED), "1")
        names = []
        for resource in found:
            folder, _, name = resource.path.rpartition("/")
            if resource.folder or folder != self.path(RESERVED):
                continue
            if now is not None and resource.modified is not None:
                names += [name] if now - resource.modified > older else []
        return [f"{RESERVED}/{name}" for name in names]

    async def _about(self, key: str, path: str) -> tuple[Resource | None, float | None]:
        found, now = await self._ask(key, path, "0")
        return (found[0] if found else None), now

    async def _ask(self, key: str, path: str, depth: str) -> tuple[list[Resource], float | None]:
        """What a PROPFIND finds, nothing where nothing is; and the server's time. Some servers
        break off in the middle when a file goes away: then it is asked again."""
        for tried in range(TRIES):
            try:
                found, now = await self._propfind(key, path, depth)
                break
            except MalformedError as error:
                if tried == TRIES - 1:
                    raise self._http.stranger(key, str(error)) from None
        there = [each for each in found if each.status not in _ABSENT]
        refused = [each.status for each in there if each.status >= 300]
        if refused:
            raise self._http.failure("PROPFIND", key, refused[0])
        return there, now

    async def _propfind(
        self, key: str, path: str, depth: str
    ) -> tuple[list[Resource], float | None]:
        headers = {"Depth": depth, "Content-Type": "application/xml; charset=utf-8"}
        async with self._http.ask("PROPFIND", key, path, headers, [QUESTION]) as answer:
            now = date(answer.headers.get("date", ""))
            if answer.is_redirect:
                raise self._http.elsewhere(key, answer.headers.get("location", ""))
            if answer.status_code in _ABSENT:
                return [], now
            if 200 <= answer.status_code < 300 and answer.status_code != _FOUND:
                raise self._http.stranger(key, "what is asked by PROPFIND is answered by a page")
            if answer.status_code != _FOUND:
                raise self._http.failure("PROPFIND", key, answer.status_code)
            reader = Multistatus()
            await self._http.read(answer, reader.feed)
            reader.close()
        return reader.found, now

    async def _make(self, folder: str) -> None:
        if not folder or folder in self._known:
            return
        status = await self._http.status("MKCOL", folder, self.path(folder))
        if status not in (201, 405):
            raise self._http.failure("MKCOL", folder, status)
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known.add(folder)

    async def _make_root(self) -> None:
        """The root and what is above it, as far as the server lets us."""
        parts = self._root.split("/")[1:]
        status = 405
        for count in range(1, len(parts) + 1):
            status = await self._http.status("MKCOL", "", "/" + "/".join(parts[:count]))
        if status not in (201, 405):
            raise self._http.failure("MKCOL", "", status)
        await self.check_root()

    def _gone(self) -> UnavailableError:
        name = self._http.name
        return UnavailableError(
            f"backend {name}: the folder {self._root or '/'} on {self._http.address.host} is "
            + ("not the one it was" if self._marked else "not there")
            + "; check its URL, and what the server shares",
            backend=name,
        )
