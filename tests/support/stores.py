"""Stores for tests: made in a folder, opened, read back; and files to put into them."""

import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

from modelfloat.cas.add.report import AddReport
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.creating import BackendSpec, create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.opening import open_store
from modelfloat.tests.support.samples import noise


@contextlib.asynccontextmanager
async def fresh_store(
    path: Path, scheme: str | None = "4+2", backends: tuple[BackendSpec, ...] = ()
) -> AsyncIterator[Store]:
    """A new store at `path`, open."""
    await create_store(str(path), Scheme.parse(scheme) if scheme else None, backends, reserve=0)
    async with open_store(str(path)) as store:
        yield store


async def add(store: Store, source: Path, address: str = "acme/model") -> AddReport:
    """Add one file or folder."""
    return await store.add([str(source)], parse_address(address))


async def read(store: Store, address: str) -> bytes:
    """A stored file, whole, read in pieces that do not fit the chunks."""
    file = store.open_file(parse_address(address))
    parts, offset = [], 0
    while part := bytes(await file.read(offset, 700_001)):
        parts.append(part)
        offset += len(part)
    file.close()
    return b"".join(parts)


def weights(path: Path, size: int = 5_000_000, label: str = "weights") -> bytes:
    """Write a valid safetensors file of random bytes, four tensors and a tail; its bytes."""
    body = noise(label, size)
    step = size // 5
    tensors = {
        f"layer.{i}.weight": {
            "dtype": "U8",
            "shape": [end - i * step],
            "data_offsets": [i * step, end],
        }
        for i, end in ((i, (i + 1) * step if i < 4 else size) for i in range(5))
    }
    header = json.dumps(tensors).encode()
    header += b" " * (-len(header) % 8)
    data = len(header).to_bytes(8, "little") + header + body
    path.write_bytes(data)
    return data


def shard_files(store: Path, backend: str = "*") -> list[Path]:
    """All shards of a store's own directories, or of one of them, sorted."""
    return sorted((store / "backends").glob(f"{backend}/packs/*/*/*"))


def data_shards(store: Path) -> list[Path]:
    """Shards of split packs only."""
    return [p for p in shard_files(store) if p.name.split("-")[1] != "1"]


def flip_bit(path: Path, at: int) -> None:
    """Turn one bit of the byte at `at`, from the end if negative."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def truncate(path: Path, size: int) -> None:
    """Cut a file short."""
    os.truncate(path, size)


def forget_chunks(store: Store) -> None:
    """Let a store's reader forget the chunks it has in memory, as when others push them out."""
    cache = store.reader._flights._cache
    cache.passed(tuple(cache._chunks))
    assert cache.shed(cache.size)
