"""Encrypted stores for tests, with keys that never change and keyrings that cost no time."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from modelfloat.cas.encryption.founding import Encryption
from modelfloat.cas.encryption.keys import StoreKeys
from modelfloat.cas.encryption.secrets import Secret, key_file, passphrase
from modelfloat.cas.encryption.storecipher import cipher_of
from modelfloat.cas.formats.chunktable import TAG_SIZE, Kind, PackedChunk, encode_table
from modelfloat.cas.formats.keyring import Cost
from modelfloat.cas.formats.shard import PackInfo, hash_blocks, shard_length
from modelfloat.cas.store import Store
from modelfloat.creating import create_store
from modelfloat.erasure.codec import encode
from modelfloat.erasure.scheme import Scheme
from modelfloat.opening import open_store
from modelfloat.tests.support import samples

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


CIPHER = cipher_of(KEYS, encrypted=True)


def encoded_chunks() -> list[bytes]:
    """What the chunks of the sample pack hold, as encoded."""
    return [samples.noise(f"chunk {n}", c.stored) for n, c in enumerate(samples.chunks())]


def sample_shards() -> tuple[PackInfo, list[bytes]]:
    """The sample pack's chunks encrypted, in shards of 4+2: what footers say, and the payloads."""
    cipher = CIPHER.pack(samples.PACK)
    assert cipher is not None
    data, table = bytearray(), list[PackedChunk]()
    for slot, (chunk, body) in enumerate(zip(samples.chunks(), encoded_chunks(), strict=True)):
        room = bytearray(len(body) + TAG_SIZE)
        cipher.seal(slot, body, memoryview(room))
        table.append(
            PackedChunk(
                CIPHER.ids.of(body), len(data), len(room), chunk.raw, chunk.codec, Kind.DATA, 13
            )
        )
        data += room
    length, size = len(data), shard_length(len(data), 4)
    data += bytes(4 * size - length)
    payloads = [bytes(data[i * size : (i + 1) * size]) for i in range(4)]
    parity = [bytearray(size) for _ in range(2)]
    encode(Scheme(4, 2), payloads, parity)
    payloads += [bytes(p) for p in parity]
    blocks = tuple(hash_blocks(memoryview(p)) for p in payloads)
    sealed = cipher.seal_table(encode_table(table))
    info = PackInfo(
        samples.STORE, samples.PACK, 4, 2, Kind.DATA, length, size, blocks, tuple(table), sealed
    )
    return info, payloads


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
