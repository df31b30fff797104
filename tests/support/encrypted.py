"""Encrypted stores for tests, with keys that never change."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from modelfloat.cas.encryption.keys import StoreKeys
from modelfloat.cas.store import Store
from modelfloat.creating import create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.opening import open_store

KEYS = StoreKeys.from_master(bytes(range(32)))
OTHER_KEYS = StoreKeys.from_master(bytes(32))


@contextlib.asynccontextmanager
async def fresh_encrypted(path: Path, scheme: str = "2+1") -> AsyncIterator[Store]:
    """A new encrypted store at `path`, open with KEYS."""
    await create_store(str(path), Scheme.parse(scheme), [], reserve=0, encrypted=True)
    async with open_store(str(path), keys=KEYS) as store:
        yield store


@contextlib.asynccontextmanager
async def unlocked(path: Path) -> AsyncIterator[Store]:
    """The store at `path`, open with KEYS."""
    async with open_store(str(path), keys=KEYS) as store:
        yield store
