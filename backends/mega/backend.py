"""A folder in a MEGA account as a backend: one file a key, laid out as in a directory.

MEGA encrypts in the client, names too, so only who has the password can read what lies there. It
has no conditions: of two puts with `if_absent` at one moment both may believe they won. A value
that is replaced is there until its successor is: readers find one of the two.

Folders are never deleted, as that would delete all that lies in them; empty ones stay behind.

Concurrency: as `api`, `cloud` and `transfers` say; this object changes nothing of its own.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import httpx2

from ...errors import BackendError, KeyExistsError
from ...ids import Key
from ...rate import Rate
from ..base import Buffer, Listed, Properties, Usage
from ..fetch import fetch, short
from ..http.client import HttpClient
from ..keys import check_key, check_prefix, is_replaced
from .address import address_of
from .api import MegaApi
from .cloud import Cloud
from .codes import RefusedError
from .nodes import Node
from .transfers import Transfers

CONCURRENCY: Final = 16
LATENCY: Final = 0.1
"""Seconds: a request for an address, and one for bytes."""
PATIENCE: Final = httpx2.Timeout(120.0, connect=10.0, pool=None)
"""Seconds without a byte: so long may MEGA think about an account with many files."""
TRIES: Final = 3
"""Times that a key is looked for whose file was replaced meanwhile."""

log = logging.getLogger(__name__)


class MegaBackend:
    """Keys as files below a folder of a drive; see `Backend` for the methods.

    Opening asks MEGA nothing. With `create` the folder is made at the first write.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        domain: str | None = None,
        create: bool = False,
        state: str | None = None,
    ) -> None:
        address = address_of(name, url)
        self.name = name
        self._http = HttpClient(name, kept=CONCURRENCY, patience=PATIENCE)
        self._api = MegaApi(self._http, address, state)
        self._cloud = Cloud(self._api, address, create=create)
        secure = address.endpoint.startswith("https:")
        self._transfers = Transfers(self._http, self._api, secure=secure)
        account = "mega" if address.account is None else f"mega:{address.account.label}"
        self._account = account
        self.properties = Properties(
            url=url,
            domain=account if domain is None else domain,
            conditional_put=False,
            concurrency=CONCURRENCY,
            latency=LATENCY,
            rate=Rate(account=account),  # MEGA publishes none; the user may set one
        )

    @classmethod
    def from_url(
        cls, name: str, url: str, *, domain: str | None, create: bool, state: str | None
    ) -> "MegaBackend":
        """Open a `mega://` URL; UsageError where it cannot be one."""
        return cls(name, url, domain=domain, create=create, state=state)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`. What a cancelled one had uploaded MEGA drops by itself."""
        check_key(key)
        if if_absent or is_replaced(key):
            tree = await self._cloud.refreshed()
            if if_absent and tree.find(key) is not None:
                raise KeyExistsError(
                    f"backend {self.name}: {key} is there already", backend=self.name, key=key
                )
        await self._cloud.root()
        token, contents = await self._transfers.store(key, parts)
        tree = await self._cloud.tree()
        before = tree.all_of(key)
        await self._cloud.place(key, token, contents, await self._cloud.generation(key))
        for node in before:
            await self._drop(node, key)

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        check_key(key)
        if offset < 0:
            raise ValueError(f"offset {offset} of {key} is negative")
        target = buffer.cast("B")
        node = await self._cloud.node(key)
        for _ in range(TRIES):
            if offset + len(target) > node.size:
                raise short(self.name, key, offset + len(target), node.size)
            if not len(target) or await self._transfers.fetch(node, key, offset, target):
                return
            node = await self._cloud.node(key, fresh=True)
        raise self._api.strange(key, "what it lists is not there, again and again")

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        check_key(key)
        return await fetch(self, key, offset, size, most)

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        check_key(key)
        return (await self._cloud.node(key, fresh=True)).size

    async def age(self, key: Key) -> float:
        """See `Backend.age`: by MEGA's clock, which dates its files and its answers."""
        check_key(key)
        node = await self._cloud.node(key, fresh=True)
        now = self._api.now()
        if now is None:
            raise self._api.strange(key, "it tells no time")
        return max(0.0, now - node.written)

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`. It is gone for good, not in the rubbish bin."""
        check_key(key)
        tree = await self._cloud.refreshed()
        await self._cloud.root()
        for node in tree.all_of(key):
            await self._cloud.remove(node, key)

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        check_prefix(prefix)
        tree = await self._cloud.refreshed()
        await self._cloud.root()
        for listed in tree.keys(prefix):
            yield listed

    async def usage(self) -> Usage:
        """See `Backend.usage`: of the whole account."""
        command = {"a": "uq", "xfer": 1, "strg": 1, "v": 1}
        try:
            answer = await self._api.ask(command)
        except RefusedError as refused:
            raise self._cloud.failure("", refused) from None
        found = answer if isinstance(answer, dict) else {}
        total, used = found.get("mstrg"), found.get("cstrg")
        if not isinstance(total, int) or not isinstance(used, int):
            return Usage(None, None, space=self._account)
        return Usage(max(0, total - used), total, space=self._account)

    async def aclose(self) -> None:
        """Close the connections; the session goes on for the next process."""
        await self._cloud.aclose()
        await self._api.aclose()
        await self._http.aclose()

    async def _drop(self, node: Node, key: Key) -> None:
        """Remove what was replaced, best effort: its successor counts."""
        try:
            await self._cloud.remove(node, key)
        except BackendError as error:
            log.info("backend %s: what %s was is there still: %s", self.name, key, error)
