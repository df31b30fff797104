"""Encrypted stores do what others do, tell their backends nothing, and need no key to mend."""

import hashlib
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import trio
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.backendchanges import add_backend
from modelfloat.backends.marker import ENCRYPTED
from modelfloat.cas.cache.options import CacheOptions
from modelfloat.cas.encryption.keys import StoreKeys
from modelfloat.cas.formats.shard import TRAILER_SIZE, decode_tail, footer_length
from modelfloat.cas.get.getting import get
from modelfloat.cas.read.options import ReadOptions
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.config import read_config
from modelfloat.creating import create_store
from modelfloat.draining import MoveRequest, drain_backend
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import DamageError, FormatError, KeyNeededError, ShardDamagedError
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.diskcaches import until
from modelfloat.tests.support.encrypted import KEYS, OTHER_KEYS, fresh_encrypted, unlocked
from modelfloat.tests.support.stores import (
    add,
    data_shards,
    flip_bit,
    forget_chunks,
    read,
    shard_files,
    weights,
)

NAME = "a-telling-name.safetensors"
ADDRESS = f"acme/model/{NAME}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    weights(path, 7_000_000)
    return path


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return tmp_path / "store"


def content(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


async def fill(path: Path, source: Path) -> None:
    async with fresh_encrypted(path) as store:
        await add(store, source)


async def test_what_goes_in_comes_out(stored: Path, source: Path) -> None:
    await fill(stored, source)
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == content(source)
        file = store.open_file(parse_address(ADDRESS))
        assert bytes(await file.read(3_000_001, 77)) == content(source)[3_000_001:3_000_078]
        file.close()
        assert (await store.verify()).exit_status == 0


async def test_the_same_again_is_not_stored_again(stored: Path, source: Path) -> None:
    async with fresh_encrypted(stored) as store:
        await add(store, source)
        before = data_shards(stored)
        report = await add(store, source, "acme/other")
        assert (report.new, report.already) == (0, len(content(source)))
        assert data_shards(stored) == before


async def test_backends_hold_nothing_that_tells(stored: Path, source: Path) -> None:
    (note := source.with_name("note.txt")).write_bytes(b"a very telling line\n" * 500)
    async with fresh_encrypted(stored) as store:
        await add(store, source, "acme/secretmodel")
        await add(store, note, "acme/secretmodel")
        await store.remove(parse_address("acme/secretmodel"))
        await add(store, source, "acme/secretmodel")
        ids = [bytes(id_) for id_, _ in store.index.each_chunk()]
        objects = [bytes(head.commit) for head in store.index.refs()]
    whole = content(source)
    telling = [b"acme", b"secretmodel", b"telling", b"safetensors", b"layer.", b"note"]
    telling += [whole[at : at + 24] for at in range(0, len(whole) - 24, 250_000)]
    for data in (whole, note.read_bytes()):
        telling += [blake3(data).digest(), hashlib.sha256(data).digest()]
        telling += [blake3(data).hexdigest().encode()]
    telling += ids + objects
    files = [path for path in (stored / "backends").rglob("*") if path.is_file()]
    kinds = Counter(path.relative_to(stored / "backends").parts[1] for path in files)
    assert set(kinds) >= {"modelfloat.json", "packs", "journal"}
    told = [(path, what) for path in files for what in telling if what in path.read_bytes()]
    assert told == []
    assert not any(what.decode("latin1") in str(path) for path in files for what in telling[:6])


async def test_ids_tell_nobody_whether_a_file_is_there(stored: Path, source: Path) -> None:
    """The id of a chunk is not what anybody computes who has the file."""
    async with fresh_encrypted(stored) as store:
        await add(store, source)
        manifest = store.objects.manifest(store.find(parse_address(ADDRESS)).object)
        spans = list(store.objects.recipe(manifest).all())
        whole = content(source)
        for span in spans:
            raw = whole[span.offset : span.offset + span.raw]
            assert span.id == blake3(raw, key=KEYS.chunk_ids).digest()
            assert span.id != blake3(raw).digest()
        assert manifest.blake3 == blake3(whole).digest()


async def test_equal_stores_share_nothing_that_shows(tmp_path: Path, source: Path) -> None:
    """Two stores of one file, even with one key, have no block in common."""
    blocks: Counter[bytes] = Counter()
    for name in ("one", "two"):
        await fill(tmp_path / name, source)
        for path in data_shards(tmp_path / name):
            data = path.read_bytes()
            blocks.update(data[at : at + 4096] for at in range(0, len(data) - 4096, 4096))
    assert max(blocks.values()) == 1


async def test_marker_and_configuration_say_so(stored: Path, source: Path) -> None:
    await fill(stored, source)
    assert read_config(str(stored)).encrypted
    async with unlocked(stored) as store:
        from modelfloat.backends.marker import read_marker

        assert {(await read_marker(m.backend)).incompat for m in store.members} == {ENCRYPTED}


async def test_without_the_key_shards_are_checked_and_mended(stored: Path, source: Path) -> None:
    await fill(stored, source)
    lost, hurt = data_shards(stored)[0], data_shards(stored)[-1]
    before = lost.read_bytes(), hurt.read_bytes()
    async with open_store(str(stored)) as store:
        report = await store.verify()
        assert (report.exit_status, report.locked) == (0, True)
        lost.unlink()
        report = await store.verify(repair=True)
        assert (report.exit_status, [p.repaired for p in report.problems]) == (3, [True])
        flip_bit(hurt, -40)  # in its trailer
        assert (await store.verify(repair=True)).exit_status == 3
        assert (await store.verify()).exit_status == 0
    assert (lost.read_bytes(), hurt.read_bytes()) == before
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == content(source)
        assert not (await store.verify()).locked


async def test_without_the_key_what_is_beyond_repair_is_told(stored: Path, source: Path) -> None:
    await fill(stored, source)
    for path in data_shards(stored)[:2]:
        path.unlink()
    async with open_store(str(stored)) as store:
        report = await store.verify(repair=True)
        assert report.exit_status == 4
        assert report.lost_files == [f"{ADDRESS}".replace("/model/", "/model@main/")]


async def test_without_the_key_nothing_is_read_or_written(stored: Path, source: Path) -> None:
    await fill(stored, source)
    async with open_store(str(stored)) as store:
        with pytest.raises(KeyNeededError, match="its key was not given"):
            await read(store, ADDRESS)
        with pytest.raises(KeyNeededError):
            await add(store, source, "acme/new")
        with pytest.raises(KeyNeededError):
            await store.remove(parse_address("acme/model"))
        assert (await store.stats()).logical == len(content(source))
    with pytest.raises(KeyNeededError):
        await rebuild_store(str(stored))
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == content(source)


async def test_another_stores_key_opens_nothing(stored: Path, source: Path) -> None:
    await fill(stored, source)
    shutil.rmtree(stored / "index")
    with pytest.raises(FormatError, match="it is not this store's"):
        await rebuild_store(str(stored), keys=OTHER_KEYS)


async def test_the_index_is_made_anew_from_backends_and_keys(stored: Path, source: Path) -> None:
    await fill(stored, source)
    shutil.rmtree(stored / "index")
    report = await rebuild_store(str(stored), keys=KEYS)
    assert (report.exit_status, report.refs) == (0, 1)
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == content(source)


async def test_packs_are_found_by_their_footers(stored: Path, source: Path) -> None:
    """Where every journal record is lost the packs are found again, with the key."""
    await fill(stored, source)
    async with unlocked(stored) as store:
        packs = {pack.id.hex() for pack in store.index.packs()}
    for path in (stored / "backends").glob("*/journal/*/*"):
        path.unlink()
    report = await rebuild_store(str(stored), keys=KEYS)
    assert set(report.found_again) == packs
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == content(source)


async def test_a_degraded_store_is_read(stored: Path, source: Path) -> None:
    await fill(stored, source)
    shutil.rmtree(stored / "backends" / "d1")
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == content(source)


async def test_a_flipped_bit_is_found_and_read_around(stored: Path, source: Path) -> None:
    await fill(stored, source)
    for path in data_shards(stored):
        if path.name.startswith("0-"):
            flip_bit(path, 123_456)
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == content(source)


async def _refuses(store: Store) -> None:
    forget_chunks(store)
    with pytest.raises(DamageError):
        await read(store, ADDRESS)


async def test_shards_of_another_store_are_none(tmp_path: Path, source: Path) -> None:
    """Payloads swapped, tails left: both stores refuse what is not theirs."""
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        await fill(path, source)
    for mine, other in zip(data_shards(one), data_shards(two), strict=True):
        mine.write_bytes(other.read_bytes())
    async with unlocked(one) as store:
        await _refuses(store)
        report = await store.verify()
        assert report.exit_status == 4


async def test_shards_that_change_packs_are_refused(stored: Path, source: Path) -> None:
    """What the same key of the store encrypted for one pack is not taken for another's."""
    other = source.with_name("other")
    other.write_bytes(content(source)[::-1])
    async with fresh_encrypted(stored) as store:
        await add(store, source)
        await add(store, other, "acme/other")
    packs: dict[str, list[Path]] = {}
    for path in data_shards(stored):
        packs.setdefault(path.parent.name, []).append(path)
    (first, second) = packs.values()
    for mine, its in zip(sorted(first), sorted(second), strict=True):
        mine.write_bytes(its.read_bytes())
    async with unlocked(stored) as store:
        report = await store.verify()
        assert report.exit_status == 4
        assert len(report.lost_files) == 1


async def test_a_shard_in_the_clear_is_none_of_an_encrypted_store(
    tmp_path: Path, source: Path
) -> None:
    await fill(tmp_path / "sealed", source)
    await create_store(str(tmp_path / "clear"), Scheme(2, 1), [], reserve=0)
    async with open_store(str(tmp_path / "clear")) as store:
        await add(store, source)
        clear_cipher = store.members.cipher
    async with unlocked(tmp_path / "sealed") as store:
        cipher = store.members.cipher
    for folder, own, others in (("sealed", cipher, clear_cipher), ("clear", clear_cipher, cipher)):
        data = data_shards(tmp_path / folder)[-1].read_bytes()
        length = footer_length(data[-TRAILER_SIZE:], "it") + TRAILER_SIZE
        assert decode_tail(data[-length:], "it", own).chunks
        with pytest.raises(ShardDamagedError, match="encrypted, unlike its store"):
            decode_tail(data[-length:], "it", others)


async def test_gc_and_restripe_encrypt_anew(stored: Path, source: Path) -> None:
    """Packs that are copied get ids, so keys, of their own: nothing is encrypted twice alike."""
    await fill(stored, source)
    before = {path.parent.name for path in shard_files(stored)}
    async with unlocked(stored) as store:
        report = await store.restripe(Scheme(1, 2))
        assert report.made
        await store.gc(grace=0)
        assert await read(store, ADDRESS) == content(source)
        assert (await store.verify()).exit_status == 0
    assert before.isdisjoint({path.parent.name for path in shard_files(stored)})


async def test_keys_are_in_no_message(
    stored: Path, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await fill(stored, source)
    for path in data_shards(stored):
        if path.name.startswith("0-"):
            flip_bit(path, 1000)
    async with unlocked(stored) as store:
        await read(store, ADDRESS)
        await store.verify(repair=True)
    assert caplog.text
    for key in (KEYS.chunk_ids, KEYS.packs, KEYS.records):
        assert key.hex() not in caplog.text
        assert repr(key)[2:20] not in caplog.text


async def test_what_is_got_is_sparse_and_goes_on(stored: Path, source: Path) -> None:
    """Zeros stay holes, and chunks that are there already are not fetched again."""
    write(source, bytes(8 << 20) + content(source)[:3_000_000])
    async with fresh_encrypted(stored) as store:
        await add(store, source)
        out = source.with_name("out")
        await get(store, parse_address(ADDRESS), str(out), verify=True)
        assert content(out) == content(source)
        assert out.lstat().st_blocks * 512 < 4_000_000


async def test_what_is_cached_verifies(stored: Path, source: Path) -> None:
    await fill(stored, source)
    folder = source.parent / "cache"
    options = ReadOptions(cache=CacheOptions(str(folder), keep_free=0, local=True))
    async with open_store(str(stored), keys=KEYS, reading=options) as store:
        disk = store.disk
        assert disk is not None
        assert await read(store, ADDRESS) == content(source)
        await until(lambda: not disk.writer.files)
    for path in data_shards(stored):
        path.unlink()
    async with open_store(str(stored), keys=KEYS, reading=options) as store:
        assert await read(store, ADDRESS) == content(source)


async def test_without_the_key_a_backend_is_drained(stored: Path, source: Path) -> None:
    await fill(stored, source)
    await add_backend(str(stored), "d3", "backends/d3")
    moved = len(shard_files(stored, "d0"))
    await drain_backend(str(stored), "d0", MoveRequest())
    assert shard_files(stored, "d0") == []
    assert len(shard_files(stored, "d3")) >= moved // 2
    async with unlocked(stored) as store:
        assert await read(store, ADDRESS) == content(source)
        assert (await store.verify()).exit_status == 0


@given(st.lists(st.binary(min_size=1, max_size=200_000), min_size=1, max_size=6))
@settings(max_examples=10, deadline=None)
def test_any_files_come_back(files: list[bytes]) -> None:
    """Through a rebuild, with a directory gone."""

    async def work(folder: Path) -> None:
        async with fresh_encrypted(folder / "store") as store:
            for number, data in enumerate(files):
                path = folder / f"{number}.bin"
                path.write_bytes(data)
                await add(store, path)
        shutil.rmtree(folder / "store" / "index")
        await rebuild_store(str(folder / "store"), keys=KEYS)
        shutil.rmtree(folder / "store" / "backends" / "d2")
        async with unlocked(folder / "store") as store:
            for number, data in enumerate(files):
                assert await read(store, f"acme/model/{number}.bin") == data

    with tempfile.TemporaryDirectory() as folder:
        trio.run(work, Path(folder))


async def test_what_a_crash_left_is_taken_over_with_the_key_only(
    stored: Path, source: Path
) -> None:
    """A record that is durable and not in the index: without the key it cannot be applied."""
    async with fresh_encrypted(stored) as store:
        before = content(stored / "index" / "data.mdb")
        await add(store, source)
    (stored / "index" / "data.mdb").write_bytes(before)
    for slot in (stored / "locks").glob("writer-*"):
        writer = slot.read_text().split()[0]
        slot.write_text(f"{writer}\n")
    async with open_store(str(stored)) as store:
        with pytest.raises(KeyNeededError):
            await store.verify(repair=True)
    async with unlocked(stored) as store:
        assert (await store.verify(repair=True)).exit_status in (0, 3)
        assert await read(store, ADDRESS) == content(source)


def test_keys_of_other_masters_differ() -> None:
    assert StoreKeys.from_master(bytes(32)) != KEYS
