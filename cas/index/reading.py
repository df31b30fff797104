"""How an index is read: one transaction a call, none open while the caller works.

What cannot be read or contradicts itself is IndexDamagedError, naming the sub-database.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from ...ids import StoreId
from ..formats.chunkids import PLAIN
from .environment import Environment, guarded


class Reading:
    """An index that is open, and the store that it is of."""

    def __init__(self, path: str, environment: Environment) -> None:
        self.path = path
        self._env = environment.env
        self._dbs = environment.dbs
        self.ids = PLAIN
        """What names the store's chunks and objects."""

    @contextlib.contextmanager
    def _reading(self, database: str) -> Iterator[Any]:
        """A read transaction on one sub-database; what is read must be decoded within."""
        with (
            guarded(self.path, database),
            self._env.begin(db=getattr(self._dbs, database)) as txn,
        ):
            yield txn

    @property
    def store(self) -> StoreId:
        """The id of the store this index belongs to."""
        with self._reading("meta") as txn:
            return StoreId(bytes(txn.get(b"store") or b""))

    def used(self) -> tuple[int, int]:
        """Bytes in use, and how many the environment has room for."""
        pages: int = self._env.info()["last_pgno"] + 1
        return pages * self._env.stat()["psize"], self._env.info()["map_size"]
