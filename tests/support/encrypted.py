"""Encrypted stores for tests, with keys that never change and keyrings that cost no time."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from modelfloat.cas.encryption.founding import Encryption
from modelfloat.cas.encryption.keys import StoreKeys
from modelfloat.cas.encryption.secrets import Secret, key_file, passphrase
from modelfloat.cas.formats.keyring import Cost
from modelfloat.cas.store import Store
from modelfloat.creating import create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.opening import open_store

MASTER = bytes(range(32))
KEYS = StoreKeys.from_master(MASTER)
OTHER_KEYS = StoreKeys.from_master(bytes(32))
CHEAP = Cost(1, 8, 1)
"""The least that Argon2id can cost: 8 KiB, one pass."""
WORDS = "correct horse battery"
ALICE = passphrase(WORDS)
BOB = passphrase("staple and a tape")
DISK = key_file(bytes(range(32)), "disk.key")


async def make_encrypted(
    path: Path, scheme: str = "2+1", *, sheet: Path | None = None, secret: Secret = ALICE
) -> None:
    """A new encrypted store of k+m directories, which ALICE opens."""
    target = None if sheet is None else str(sheet)
    encryption = Encryption(secret, target, "first", CHEAP, MASTER)
    await create_store(str(path), Scheme.parse(scheme), [], reserve=0, encryption=encryption)


def keyrings(path: Path) -> dict[str, list[str]]:
    """Which keyrings the store's own directories have, by name."""
    return {
        folder.name: sorted(file.name for file in folder.glob("keys/*"))
        for folder in sorted((path / "backends").iterdir())
    }


@contextlib.asynccontextmanager
async def fresh_encrypted(path: Path, scheme: str = "2+1") -> AsyncIterator[Store]:
    """A new encrypted store at `path`, open with KEYS."""
    await make_encrypted(path, scheme)
    async with open_store(str(path), keys=KEYS) as store:
        yield store


@contextlib.asynccontextmanager
async def unlocked(path: Path) -> AsyncIterator[Store]:
    """The store at `path`, open with KEYS."""
    async with open_store(str(path), keys=KEYS) as store:
        yield store
