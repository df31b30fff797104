"""Signing keys for tests, always the same; stores whose refs they sign, and who trusts them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelfloat.cas.encryption.keys import StoreKeys
from modelfloat.cas.formats.journal import NO_ID, Record, RefChanged, RefKind
from modelfloat.cas.signing.signer import Signer
from modelfloat.cas.store import Store
from modelfloat.config import read_config, write_config
from modelfloat.ids import ObjectId
from modelfloat.opening import open_store
from modelfloat.tests.support import samples


@cache
def signer(number: int) -> Signer:
    """The signer of that number, 0 to 255."""
    return Signer.of(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


def signed_record() -> Record:
    """The ref changes of the sample record, the later one signed."""
    before, later = (e for e in samples.record().entries if isinstance(e, RefChanged))
    return replace(samples.record(), entries=(before, signer(1).sign(samples.STORE, later)))


def trust(path: Path, *numbers: int) -> None:
    """Have the store at `path` trust these signers from now on, and no others."""
    trusted = {signer(number).key: f"signer{number}" for number in numbers}
    write_config(str(path), replace(read_config(str(path)), trusted=trusted))


@contextlib.asynccontextmanager
async def signing(path: Path, number: int, keys: StoreKeys | None = None) -> AsyncIterator[Store]:
    """The store at `path`, open for somebody whose changes that signer signs."""
    async with open_store(str(path), signing=lambda: signer(number), keys=keys) as store:
        yield store


@contextlib.asynccontextmanager
async def requiring(path: Path, keys: StoreKeys | None = None) -> AsyncIterator[Store]:
    """The store at `path`, open for somebody who requires signatures."""
    async with open_store(str(path), require_signature=True, keys=keys) as store:
        yield store


def made_branch(commit: ObjectId) -> RefChanged:
    """The change by which somebody who knows of no branch main of acme/model makes one."""
    none = ObjectId(NO_ID)
    return RefChanged(RefKind.BRANCH, "acme", "model", "main", NO_ID, none, commit, 1)


async def record_signed(store: Store, change: RefChanged) -> RefChanged:
    """Record a change, signed by who has the store open; as it was recorded."""
    async with store.access.writing("a test") as journal:
        signed = store.access.signed(change, store.index.last_change_ns())
        await journal.append([signed])
    return signed
