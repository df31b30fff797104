"""A folder of IPFS as a backend that is only read, through any gateway, which is not trusted.

The URL names the CID of a node's folder as it was at one moment; from there on everything is found
block by block, and each block is compared with the CID that the one above it gave. So no gateway
can change, add or leave out anything: it can only not answer. What is asked for are raw blocks
(`?format=raw`), as the specification of trustless gateways says
(specs.ipfs.tech/http-gateways/trustless-gateway).

Concurrency: `_folders`, `_values` and `_clock` change between awaits; they hold what never changes,
and what is assigned as a whole.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2
import trio

from ...cid import Cid
from ...errors import BackendError, DeniedError, KeyNotFoundError, UnavailableError, one_failure
from ...ids import Key
from ..base import Buffer, Listed, Properties, Usage
from ..fetch import fetch, rest, short
from ..http.client import HttpClient, TooLongError
from ..keys import check_key, check_prefix, is_key
from .address import gateway_address
from .blocks import BLOCK, Blocks, Value
from .dagpb import DIRECTORY, SHARDED
from .remembered import Remembered

CONNECTIONS: Final = 16
LATENCY: Final = 0.2
LISTERS: Final = 8
"""Values whose sizes are looked up at once."""
FOLDERS: Final = 256
"""Folders that are remembered; the root never changes, so what was read is true."""
MOST: Final = 1 << 20
"""Names of the largest folder that is read."""
DEEPEST: Final = 16
"""Nodes that lie between a sharded folder and a name in it, at most."""
REDIRECTS: Final = 5
_MISSING: Final = frozenset({404, 410, 504})
_DENIED: Final = frozenset({400, 401, 403, 405, 406, 451, 501})

Names = dict[str, Cid]


class GatewayBackend:
    """Keys as files below a root that never changes; see `Backend` for the methods.

    Opening asks the gateway nothing. All that writes is DeniedError.
    """

    def __init__(self, name: str, url: str, *, domain: str | None = None) -> None:
        address, self._root = gateway_address(name, url)
        self.name = name
        self._base, self._host = address.base, address.host
        self._client = HttpClient(name, kept=CONNECTIONS)
        self._blocks = Blocks(name, self._fetch)
        self._folders: OrderedDict[Cid, Names] = OrderedDict()
        self._values = Remembered[Cid]()
        self._slots = trio.CapacityLimiter(CONNECTIONS)
        self._clock: float | None = None
        self.properties = Properties(
            url=url,
            domain=domain if domain is not None else f"host:{self._host}",
            conditional_put=False,
            concurrency=CONNECTIONS,
            latency=LATENCY,
            read_only=True,
        )

    @classmethod
    def from_url(cls, name: str, url: str, *, domain: str | None, create: bool) -> "GatewayBackend":
        """Open an `ipfs+gateway://` URL; UsageError where it cannot be one. Nothing is created."""
        return cls(name, url, domain=domain)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`: DeniedError."""
        check_key(key)
        await trio.lowlevel.checkpoint()
        raise self._refused(key)

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        check_key(key)
        if offset < 0:
            raise ValueError(f"offset {offset} of {key} is negative")
        value, target = await self._value(key), buffer.cast("B")
        rest(self.name, key, value.size, offset)
        if offset + len(target) > value.size:
            raise short(self.name, key, offset + len(target), value.size)
        await self._blocks.fill(key, value, offset, target)

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        check_key(key)
        return await fetch(self, key, offset, size, most)

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        check_key(key)
        return (await self._value(key)).size

    async def age(self, key: Key) -> float:
        """See `Backend.age`: by the gateway's clock, against that of the node which stored it."""
        check_key(key)
        value = await self._value(key)
        if value.time is None or self._clock is None:
            raise UnavailableError(
                f"backend {self.name}: {key}: the gateway tells no time, as others do; name "
                "another one",
                backend=self.name,
                key=key,
            )
        return max(0.0, self._clock + time.monotonic() - value.time)

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`: DeniedError."""
        check_key(key)
        await trio.lowlevel.checkpoint()
        raise self._refused(key)

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`. Each key's size takes a request."""
        folders = [check_prefix(prefix).rpartition("/")[0]]
        await trio.lowlevel.checkpoint()
        while folders:
            folder = folders.pop()
            names = await self._inside(folder)
            keys = [f"{folder}/{name}" if folder else name for name in names or ()]
            wanted = [key for key in keys if is_key(key) and key.startswith(prefix)]
            for at in range(0, len(wanted), LISTERS):
                for key, size in await self._sizes(wanted[at : at + LISTERS]):
                    if size is None:
                        folders.append(key)
                    else:
                        yield Listed(Key(key), size)

    async def usage(self) -> Usage:
        """See `Backend.usage`: nobody can tell."""
        await trio.lowlevel.checkpoint()
        return Usage(None, None, space=f"ipfs:{self._root}")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _sizes(self, keys: Sequence[str]) -> Sequence[tuple[str, int | None]]:
        """The size of each value, None where a folder lies."""
        found: dict[str, int | None] = {}

        async def look(key: str) -> None:
            found[key] = None
            if await self._inside(key) is None:
                found[key] = (await self._value(Key(key))).size

        with one_failure():
            async with trio.open_nursery() as nursery:
                for key in keys:
                    nursery.start_soon(look, key)
        return [(key, found[key]) for key in keys]

    async def _value(self, key: Key) -> Value:
        above, _, last = key.rpartition("/")
        cid = (await self._inside(above) or {}).get(last)
        if cid is None or await self._names(key, cid) is not None:
            raise KeyNotFoundError(
                f"backend {self.name}: {key} is not there", backend=self.name, key=key
            )
        value = self._values.find(cid)
        if value is None:
            value = await self._blocks.root(key, cid)
            self._values.add(cid, value)
        return value

    async def _inside(self, folder: str) -> Names | None:
        """What a folder holds; None where it is none."""
        names = await self._names(folder, self._root)
        for part in folder.split("/") if folder else ():
            cid = (names or {}).get(part)
            if cid is None:
                return None
            names = await self._names(folder, cid)
        return names

    async def _names(self, key: str, cid: Cid) -> Names | None:
        """The names in a folder with that CID; None where it is a file."""
        known = self._folders.get(cid)
        if known is not None:
            self._folders.move_to_end(cid)
            return known
        if self._values.find(cid) is not None:
            return None
        names: Names = {}
        if not await self._read(key, cid, names, 0):
            return None
        self._folders[cid] = names
        if len(self._folders) > FOLDERS:
            self._folders.popitem(last=False)
        return names

    async def _read(self, key: str, cid: Cid, names: Names, depth: int) -> bool:
        """Add what a folder's node holds to `names`; False where it is the node of a file.

        In a sharded folder each link's name begins with its slot, in as many digits as the last
        slot has; what has no more name than that is a node of the same folder.
        """
        try:
            node = await self._blocks.node(key, cid)
        except ValueError as error:
            raise self._strange(key, f"the block {cid} is no node ({error})") from None
        if node.kind not in (DIRECTORY, SHARDED):
            return False
        width = len(f"{max(node.fanout, 1) - 1:X}") if node.kind == SHARDED else 0
        for link in node.links:
            if len(link.name) > width:
                names[link.name[width:]] = link.cid
            elif width and depth < DEEPEST:
                await self._read(key, link.cid, names, depth + 1)
        if len(names) > MOST:
            raise self._strange(key, "a folder has more names than any of ours")
        return True

    async def _fetch(self, key: str, cid: Cid, most: int) -> bytes:
        """A block, as the gateway or one that it sends us to has it."""
        url = httpx2.URL(f"{self._base}/ipfs/{cid}?format=raw")
        for _ in range(REDIRECTS):
            async with (
                self._slots,
                self._client.ask(
                    "GET", str(url), key=key, headers={"Accept": "application/vnd.ipld.raw"}
                ) as answer,
            ):
                self._note(answer.headers.get("date", ""))
                if not answer.is_redirect:
                    return await self._body(key, cid, answer, most)
                onward = url.join(answer.headers.get("location", ""))
            if onward.scheme not in ("https", url.scheme) or not onward.host:
                break
            url = onward
        raise self._strange(key, "the gateway sends us on and on")

    async def _body(self, key: str, cid: Cid, answer: httpx2.Response, most: int) -> bytes:
        if answer.status_code != 200:
            raise self._failure(key, cid, answer.status_code)
        try:
            return await self._client.body(answer, most + BLOCK)
        except TooLongError:
            raise self._strange(key, "an answer is longer than what was asked for") from None

    def _note(self, date: str) -> None:
        try:
            self._clock = parsedate_to_datetime(date).timestamp() - time.monotonic()
        except (TypeError, ValueError):
            return

    def _failure(self, key: str, cid: Cid, status: int) -> BackendError:
        what = f"backend {self.name}: {key}" if key else f"backend {self.name}"
        if status in _DENIED:
            return DeniedError(
                f"{what}: the gateway on {self._host} serves us no raw block (status {status}); "
                "name a trustless gateway, or a node of your own",
                backend=self.name,
                key=key,
            )
        found = "finds nobody who has" if status in _MISSING else "does not give us"
        return UnavailableError(
            f"{what}: the gateway on {self._host} {found} the block {cid} (status {status}); check "
            "that the node which holds it is reached, or name another gateway",
            backend=self.name,
            key=key,
        )

    def _strange(self, key: str, problem: str) -> UnavailableError:
        what = f"backend {self.name}: {key}" if key else f"backend {self.name}"
        return UnavailableError(
            f"{what}: {problem}, as no folder of ModelFloat's has it; check the CID in its URL",
            backend=self.name,
            key=key,
        )

    def _refused(self, key: Key) -> DeniedError:
        return DeniedError(
            f"backend {self.name}: {key}: a gateway only reads; write to the node itself, at "
            "ipfs://HOST:5001/FOLDER",
            backend=self.name,
            key=key,
        )
