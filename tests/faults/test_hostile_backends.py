"""A backend of an encrypted store that writes what it likes: nothing is deleted elsewhere, and no
ref is lost, as long as the others keep what they have."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelfloat.backends.keys import condemned_key, journal_key, parse_journal_key, shard_key
from modelfloat.cas.formats.condemned import Condemned, encode_condemned
from modelfloat.cas.formats.journal import (
    NO_ID,
    JournalEntry,
    PackDeleted,
    Record,
    ShardPlaced,
    decode_head,
    encode_record,
)
from modelfloat.cas.gc.sweeping import Sweeper
from modelfloat.cas.index.records import PackRecord
from modelfloat.cas.store import Store
from modelfloat.ids import BackendId, PackId, StoreId, WriterId, random_writer_id
from modelfloat.opening import rebuild_store
from modelfloat.tests.support.encrypted import KEYS, fresh_encrypted, unlocked
from modelfloat.tests.support.stores import add, read, shard_files, weights

ADDRESS = "acme/model/model"


@pytest.fixture
async def stored(tmp_path: Path) -> Path:
    """A store of 2+1 over three directories, of which d0 is hostile, with one file in it."""
    weights(tmp_path / "model", 1_500_000)
    async with fresh_encrypted(tmp_path / "s") as store:
        await add(store, tmp_path / "model")
    return tmp_path / "s"


def forge(
    path: Path,
    entries: Sequence[JournalEntry],
    writer: WriterId | None = None,
    seq: int = 1,
    file: Path | None = None,
) -> None:
    """Put a record on d0 that was made without the key, or into the `file` of another one."""
    store = store_id(path)
    own = writer or random_writer_id()
    record = Record(store, own, seq, previous(path, own, seq), 1 << 62, tuple(entries))
    target = file or path / "backends/d0" / journal_key(own, seq, 0)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode_record(record))


def journal_files(path: Path) -> list[Path]:
    return sorted((path / "backends").glob("*/journal/*/*"))


def last_record(path: Path) -> bytes:
    found = [file.read_bytes() for file in journal_files(path)]
    return max(found, key=lambda data: decode_head(data, "x").seq)


def store_id(path: Path) -> StoreId:
    return decode_head(journal_files(path)[0].read_bytes(), "x").store


def previous(path: Path, writer: WriterId, seq: int) -> bytes:
    """The end of the record before, as a backend knows it that has a copy."""
    for file in journal_files(path):
        data = file.read_bytes()
        head = decode_head(data, "x")
        if (head.writer, head.seq) == (writer, seq - 1):
            return data[-32:]
    return NO_ID


async def packs(path: Path) -> list[PackRecord]:
    async with unlocked(path) as store:
        return list(store.index.packs())


async def is_whole(path: Path) -> bool:
    async with unlocked(path) as store:
        report = await store.verify()
        content = await read(store, ADDRESS)
    assert content == (path.parent / "model").read_bytes()
    return report.exit_status == 0


async def test_it_cannot_delete_packs(stored: Path) -> None:
    """Neither by another writer's record nor by one that continues a writer's."""
    shards = shard_files(stored)
    gone = [PackDeleted(pack.id) for pack in await packs(stored)]
    head = decode_head(last_record(stored), "x")
    forge(stored, gone)
    forge(stored, gone, head.writer, head.seq + 1)
    async with unlocked(stored) as store:
        await store.gc(grace=0)
    assert shard_files(stored) == shards
    async with unlocked(stored) as store:
        assert (await store.verify(repair=True)).exit_status in (0, 3)
    assert shard_files(stored) == shards
    await rebuild_store(str(stored), keys=KEYS)
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == (stored.parent / "model").read_bytes()
    assert shard_files(stored) == shards


async def test_it_cannot_hide_that_a_ref_moved(stored: Path) -> None:
    """By another record in place of its copy, that says nothing of it."""
    for file in journal_files(stored):
        parsed = parse_journal_key("/".join(file.parts[-3:]))
        assert parsed is not None
        writer, seq, copy = parsed
        if copy == 1:
            forge(stored, [], writer, seq, file)
    shutil.rmtree(stored / "index")
    await rebuild_store(str(stored), keys=KEYS)
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == (stored.parent / "model").read_bytes()
        assert (await store.verify(repair=True)).exit_status == 3
    assert await is_whole(stored)


async def test_it_cannot_have_shards_deleted_that_it_says_were_moved_to_it(stored: Path) -> None:
    """Even where it shows them: what it shows now it may lose later."""
    shards = {file for file in shard_files(stored) if "/d0/" not in str(file)}
    where = await own_id(stored)
    for pack in await packs(stored):
        for index, holder in enumerate(pack.backends):
            if holder != where:
                copy_to_d0(stored, pack, index)
        forge(stored, [ShardPlaced(pack.id, index, where) for index in range(pack.n)])
    async with unlocked(stored) as store:
        await store.gc(grace=0)
    assert shards <= set(shard_files(stored))
    await rebuild_store(str(stored), keys=KEYS)
    shutil.rmtree(stored / "backends/d0/packs")
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == (stored.parent / "model").read_bytes()


async def own_id(path: Path) -> BackendId:
    async with unlocked(path) as store:
        return next(member.id for member in store.members if member.name == "d0")


def copy_to_d0(path: Path, pack: PackRecord, index: int) -> None:
    key = shard_key(pack.id, index, pack.k, pack.m)
    (found,) = (path / "backends").glob(f"*/{key}")
    target = path / "backends/d0" / key
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(found, target)


async def test_what_another_site_stores_is_not_condemned_by_it(stored: Path) -> None:
    """Its shards are there before any record names the pack."""
    shards = shard_files(stored, "d1")
    pack = PackId(b"n" * 16)
    async with unlocked(stored) as store:
        copy = stored / "backends/d1" / shard_key(pack, 0, 2, 1)
        copy.parent.mkdir(parents=True)
        shutil.copy(shards[0], copy)
        claim(store, stored, pack)
        async with store.access.writing("a test", alone=True) as journal:
            sweeper = Sweeper(store.index, store.members, 2)
            assert await sweeper.finish(journal, beside=True) == 1
            assert copy.exists()
            assert not store.index.is_deleted(pack)
            assert await sweeper.finish(journal, beside=False) == 0
            assert not copy.exists()


def claim(store: Store, path: Path, pack: PackId) -> None:
    """Have d0 say that a pack on d1 is condemned."""
    d1 = next(member.id for member in store.members if member.name == "d1")
    nowhere = BackendId(bytes(16))
    record = Condemned(store.id, pack, 2, 1, (d1, nowhere, nowhere))
    target = path / "backends/d0" / condemned_key(pack)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode_condemned(record))
