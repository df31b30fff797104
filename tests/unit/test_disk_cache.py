"""A store read through its disk cache: what is there is not fetched, nothing wrong is served."""

import errno
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from blake3 import blake3

from modelfloat.cas.cache import diskcache, sharedfile, writer
from modelfloat.cas.cache.cachedfile import CachedFile
from modelfloat.cas.cache.datafile import Piece
from modelfloat.cas.cache.diskcache import DiskCache
from modelfloat.cas.cache.folder import CacheFolder
from modelfloat.cas.cache.mapfile import MapFile
from modelfloat.cas.cache.options import CacheOptions
from modelfloat.cas.cache.survey import survey
from modelfloat.cas.cache.writer import CacheWriter
from modelfloat.cas.formats.cachemap import MapHead
from modelfloat.cas.read import diskfiles
from modelfloat.cas.read.budget import MemoryBudget
from modelfloat.cas.read.diskfiles import DiskFile
from modelfloat.cas.read.filereader import FileReader
from modelfloat.cas.read.options import ReadOptions
from modelfloat.cas.read.recipe import ChunkSpan
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.ids import ChunkId
from modelfloat.opening import open_store
from modelfloat.tests.support import cachedsample
from modelfloat.tests.support.diskcaches import cached_data, caching, until
from modelfloat.tests.support.mounted import PATIENCE
from modelfloat.tests.support.mounts import small_tmpfs
from modelfloat.tests.support.samples import STORE, noise
from modelfloat.tests.support.stores import add, data_shards, fresh_store, read, weights

FILE = "acme/model/model.safetensors"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cache puts off it does at once; and a disk that others keep busy has its time."""
    monkeypatch.setattr(writer, "IDLE", 0.01)
    monkeypatch.setattr(writer, "LAST", PATIENCE)
    monkeypatch.setattr(diskfiles, "PATIENCE", PATIENCE)
    monkeypatch.setattr(sharedfile, "FRESH", 0.0)


pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """A store with one model of some 5 MB."""
    weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as made:
        await add(made, tmp_path / "model.safetensors")
    return tmp_path / "store"


@pytest.fixture
def content(store: Path) -> bytes:
    return (store.parent / "model.safetensors").read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def disk_file(reader: FileReader) -> DiskFile:
    cached = reader.cached
    assert isinstance(cached, DiskFile)
    return cached


def lose_all(store: Path) -> None:
    """From now on nothing can be fetched."""
    for shard in data_shards(store):
        shard.unlink()


async def wait_for_all_of(store: Store, address: str) -> None:
    """Until a file is whole and sealed in the cache."""
    reader = store.open_file(parse_address(address))
    await disk_file(reader).prepare()
    await until(disk_file(reader).backing)
    reader.close()


async def fill(store: Path, folder: Path, address: str = FILE) -> None:
    """Have a file in the cache, whole and sealed."""
    async with caching(store, folder) as opened:
        await read(opened, address)
        await wait_for_all_of(opened, address)


async def test_what_was_read_is_not_fetched_again(
    store: Path, folder: Path, content: bytes
) -> None:
    await fill(store, folder)
    lose_all(store)
    async with caching(store, folder) as opened:
        assert await read(opened, FILE) == content
        assert (opened.counters.fetched, opened.counters.disk_read) == (0, len(content))
        assert opened.counters.disk_hits > 3


async def test_what_another_process_put_is_found_when_it_cannot_be_fetched(
    store: Path, folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharedfile, "FRESH", 1e9)
    async with caching(store, folder) as opened:
        reader = opened.open_file(parse_address(FILE))
        assert await reader.read(0, 1000) == content[:1000]
        await fill(store, folder)
        lose_all(store)
        assert await reader.read(0, len(content)) == content
        reader.close()


async def test_a_complete_file_can_be_read_by_its_descriptor(
    store: Path, folder: Path, content: bytes
) -> None:
    await fill(store, folder)
    async with caching(store, folder) as opened:
        reader = opened.open_file(parse_address(FILE))
        assert disk_file(reader).backing() is None
        await disk_file(reader).prepare()
        fd = disk_file(reader).backing()
        assert fd is not None
        assert os.pread(fd, len(content) + 1, 0) == content
        reader.close()
        assert disk_file(reader).backing() is None


async def test_damage_in_the_cache_is_fetched_and_mended(
    store: Path, folder: Path, content: bytes
) -> None:
    await fill(store, folder)
    (data,) = cached_data(folder)
    damaged = bytearray(content)
    damaged[2_000_000] ^= 1
    data.write_bytes(damaged)
    async with caching(store, folder) as opened:
        assert await read(opened, FILE) == content
        assert 0 < opened.counters.fetched < len(content)
    await fill(store, folder)
    assert data.read_bytes() == content


async def test_a_part_that_was_read_is_a_part_that_is_there(
    store: Path, folder: Path, content: bytes
) -> None:
    async with caching(store, folder) as opened:
        reader = opened.open_file(parse_address(FILE))
        assert await reader.read(3_000_000, 10) == content[3_000_000:3_000_010]
        reader.close()
        (data,) = cached_data(folder)
        await until(lambda: data.stat().st_blocks)
    assert data.stat().st_size == len(content)
    assert data.stat().st_blocks * 512 < 2 << 20
    lose_all(store)
    async with caching(store, folder) as opened:
        reader = opened.open_file(parse_address(FILE))
        assert await reader.read(3_000_000, 10) == content[3_000_000:3_000_010]
        reader.close()


async def test_two_stores_of_one_folder_know_what_the_other_has(
    store: Path, folder: Path, content: bytes
) -> None:
    """As two mounts of one store do: what one has fetched the other reads, while both are open."""
    async with caching(store, folder) as one, caching(store, folder) as other:
        reader = other.open_file(parse_address(FILE))
        await disk_file(reader).prepare()
        await fill_from(one, content)
        assert await reader.read(4_000_000, 100_000) == content[4_000_000:4_100_000]
        assert other.counters.fetched == 0
        await disk_file(reader).prepare()
        assert disk_file(reader).backing() is not None
        reader.close()


async def fill_from(store: Store, content: bytes) -> None:
    assert await read(store, FILE) == content
    await wait_for_all_of(store, FILE)


async def test_chunks_that_repeat_are_there_wherever_they_belong(
    tmp_path: Path, store: Path, folder: Path
) -> None:
    """Of equal chunks one is loaded; the file is complete all the same. Zeros take no room."""
    block = noise("repeated", 1 << 20)
    path = tmp_path / "repeats.npy"
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + str({"descr": "|u1", "fortran_order": False, "shape": (14 << 20,)}).encode().ljust(117)
        + b"\n"
    )
    path.write_bytes(header + block * 4 + bytes(8 << 20) + block * 2)
    async with fresh_store(tmp_path / "repeating") as made:
        await add(made, path)
    await fill(tmp_path / "repeating", folder, "acme/model/repeats.npy")
    (data,) = cached_data(folder)
    assert data.read_bytes() == path.read_bytes()
    assert data.stat().st_blocks * 512 < 10 << 20


async def test_without_room_nothing_is_kept_and_everything_is_read(
    store: Path, folder: Path, content: bytes
) -> None:
    async with caching(store, folder, size=2_000_000) as opened:
        assert await read(opened, FILE) == content
    (data,) = cached_data(folder)
    assert data.stat().st_blocks * 512 <= 2_000_000


async def test_of_a_file_that_was_only_opened_nothing_stays(store: Path, folder: Path) -> None:
    async with caching(store, folder) as opened:
        reader = opened.open_file(parse_address(FILE))
        await reader.prepare()
        assert len(cached_data(folder)) == 1
        reader.close()
        await until(lambda: not cached_data(folder))
    await fill(store, folder)
    async with caching(store, folder) as opened:
        reader = opened.open_file(parse_address(FILE))
        await reader.prepare()
        reader.close()
    assert len(cached_data(folder)) == 1


async def test_it_knows_whether_it_caches(store: Path, folder: Path) -> None:
    async with caching(store, folder) as opened:
        assert opened.caches
    options = CacheOptions(str(folder), 10**9, keep_free=0, local=False)
    async with open_store(str(store), reading=ReadOptions(cache=options)) as opened:
        assert not opened.caches  # its backends are local


async def test_no_size_is_no_cache(store: Path, folder: Path, content: bytes) -> None:
    async with caching(store, folder, size=0) as opened:
        assert opened.disk is None
        assert not opened.caches
        assert await read(opened, FILE) == content
    assert cached_data(folder) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
async def test_a_disk_that_fails_costs_the_cache_only(
    store: Path,
    folder: Path,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
) -> None:
    failures = []

    def fail(*_: object) -> bool:
        failures.append(code)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(CachedFile, "put", fail)
    async with caching(store, folder) as opened:
        assert await read(opened, FILE) == content
        await until(lambda: failures)
    assert len(failures) == 1
    assert ("reading goes on without it" in caplog.text) == (code == errno.EIO)
    caplog.clear()


async def test_a_map_that_cannot_be_written_is_not_tried_forever(
    store: Path, folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once more, for room was made meanwhile; then the file is let go of, and read all the same."""
    tries = []

    def fail(*_: object) -> None:
        tries.append(1)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(MapFile, "change", fail)
    async with caching(store, folder) as opened:
        disk = opened.disk
        assert disk is not None
        reader = opened.open_file(parse_address(FILE))
        assert await reader.read(0, len(content)) == content
        await until(lambda: tries)
        await until(lambda: not disk.writer.files)
        assert len(tries) == 2
        assert await reader.read(0, len(content)) == content
        reader.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    with small_tmpfs(tmp_path / "tiny", "3m") as path:
        yield path


async def test_a_disk_that_is_really_full(store: Path, tiny_disk: Path, content: bytes) -> None:
    """The quota would allow more than there is."""
    async with caching(store, tiny_disk) as opened:
        assert opened.disk is not None
        opened.disk.cache.quota.admit = lambda _: True  # type: ignore[method-assign]
        assert await read(opened, FILE) == content
        assert await read(opened, FILE) == content
    async with caching(store, tiny_disk) as opened:
        assert await read(opened, FILE) == content
        assert 0 < opened.counters.disk_read < len(content)


async def test_a_folder_that_is_removed_while_it_is_used(
    store: Path, folder: Path, content: bytes
) -> None:
    async with caching(store, folder) as opened:
        reader = opened.open_file(parse_address(FILE))
        await reader.read(0, 1_000_000)
        await until(lambda: cached_data(folder))
        shutil.rmtree(folder)
        assert await reader.read(0, len(content)) == content
        reader.close()
        assert await read(opened, FILE) == content
    await fill(store, folder)
    assert cached_data(folder)[0].read_bytes() == content


async def test_a_folder_that_goes_at_the_wrong_moment_stops_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(CacheFolder(str(folder), STORE), CacheOptions(str(folder), keep_free=0))
    make = cache.folder.make

    def make_in_vain() -> None:
        make()
        shutil.rmtree(cache.folder.path)

    monkeypatch.setattr(cache.folder, "make", make_in_vain)
    assert cache.open(cachedsample.HEAD, lambda: cachedsample.PIECES) is None
    assert not cache.refuses
    monkeypatch.setattr(cache.folder, "make", make)
    assert cache.open(cachedsample.HEAD, lambda: cachedsample.PIECES) is not None
    cache.close()


@pytest.fixture
def in_the_way(folder: Path) -> Path:
    folder.write_bytes(b"a file in its place")
    return folder


async def test_a_folder_that_cannot_be_made_costs_the_cache_only(
    store: Path, in_the_way: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with caching(store, in_the_way) as opened:
        assert await read(opened, FILE) == content
    assert "the disk cache cannot be kept in" in caplog.text
    caplog.clear()


async def test_a_disk_that_hangs_is_given_up(
    store: Path,
    folder: Path,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fill(store, folder)
    hangs, calls = trio.Event(), []
    token = trio.lowlevel.current_trio_token()

    def hang(*_: object) -> list[bool]:
        calls.append(1)
        trio.from_thread.run(hangs.wait, trio_token=token)
        return []

    monkeypatch.setattr(CachedFile, "read", hang)
    async with caching(store, folder) as opened:
        reader = opened.open_file(parse_address(FILE))
        await reader.prepare()
        monkeypatch.setattr(diskfiles, "PATIENCE", 0.01)
        assert await reader.read(0, len(content)) == content
        assert opened.counters.fetched >= 5_000_000
        hangs.set()
        reader.close()
    assert calls
    assert "did not answer within" in caplog.text
    caplog.clear()


async def test_threads_that_hang_keep_no_place(
    store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs for some files is there for the others."""
    monkeypatch.setattr(DiskCache, "hush", lambda *_: None)
    goes_on = threading.Event()
    async with caching(store, folder) as opened:
        files = opened.disk
        assert files is not None
        with monkeypatch.context() as patched:
            patched.setattr(diskfiles, "PATIENCE", 0.5)
            async with trio.open_nursery() as nursery:
                for _ in range(diskfiles.THREADS):
                    nursery.start_soon(files.in_thread, goes_on.wait)
        try:
            assert await files.in_thread(lambda: "answered") == "answered"
        finally:
            goes_on.set()


async def test_a_mistake_in_the_cache_costs_the_cache_only(
    store: Path,
    folder: Path,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(diskcache.DiskCache, "settle", fail)
    async with caching(store, folder) as opened:
        assert await read(opened, FILE) == content
        await until(lambda: "the disk cache failed" in caplog.text)
        assert await read(opened, FILE) == content
    caplog.clear()


async def test_what_waits_is_bounded_and_charged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not keep up: what finds no room in the queue is left."""
    hangs, token = trio.Event(), trio.lowlevel.current_trio_token()
    put = CachedFile.put

    def slow(self: CachedFile, piece: Piece, chunk: memoryview) -> bool:
        trio.from_thread.run(hangs.wait, trio_token=token)
        return put(self, piece, chunk)

    monkeypatch.setattr(CachedFile, "put", slow)
    chunks = [noise(f"chunk {n}", 1000) for n in range(10)]
    spans = [
        ChunkSpan(ChunkId(blake3(c).digest()), 1000 * n, 1000, n) for n, c in enumerate(chunks)
    ]
    cache = DiskCache(CacheFolder(str(folder), STORE), CacheOptions(str(folder), keep_free=0))
    shared = cache.open(MapHead(10_000, 10, bytes(32), bytes(32)), lambda: spans)
    assert shared is not None
    budget = MemoryBudget(4000 * writer.SHARE)
    queue = CacheWriter(cache, budget)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.run)
        for span, chunk in zip(spans, chunks, strict=True):
            queue.put(shared, span, memoryview(chunk))
        assert budget.used == 4000
        hangs.set()
        await until(lambda: budget.used == 0 and not shared.file.changed)
        assert shared.file.missing == 6
        nursery.cancel_scope.cancel()


async def test_what_was_written_of_a_file_is_durable_before_all_of_it_is(
    store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who interrupts `warm` has not fetched in vain."""
    monkeypatch.setattr(diskfiles, "FLUSH", 1)
    async with caching(store, folder) as opened:
        reader = opened.open_file(parse_address(FILE))
        file, spans = disk_file(reader), reader.spans(0, 2_500_000)
        await file.prepare()
        chunks = await opened.loader.load([span.id for span in spans])
        assert await file.keep(spans, chunks)
        entry = survey(opened.disk.cache.folder)[0] if opened.disk else None
        assert entry is not None
        assert entry.there == len(spans) < entry.chunks
        reader.close()


async def test_what_was_released_is_closed_while_there_is_much_to_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is slower than its readers: whenever a chunk is written the next one waits."""
    cache = DiskCache(CacheFolder(str(folder), STORE), CacheOptions(str(folder), keep_free=0))
    queue = CacheWriter(cache, MemoryBudget(512 << 20))
    filled = cache.open(cachedsample.HEAD, lambda: cachedsample.PIECES)
    released = cache.open(MapHead(1, 1, bytes(32), bytes(32)), list)
    assert filled is not None
    assert released is not None
    left, users = iter(cachedsample.PIECES), []

    def more() -> None:
        if (piece := next(left, None)) is not None:
            queue.put(filled, piece, memoryview(cachedsample.chunk(piece.number)))
        else:
            users.append(released.users)

    put = DiskCache.put

    def slow(*arguments: Any) -> bool:
        trio.from_thread.run_sync(more)
        return put(*arguments)

    monkeypatch.setattr(DiskCache, "put", slow)
    async with trio.open_nursery() as nursery:
        more()
        queue.release(released)
        nursery.start_soon(queue.run)
        await until(lambda: users)
        nursery.cancel_scope.cancel()
    assert users == [0]


async def test_what_is_read_back_keeps_nobody_from_writing(folder: Path) -> None:
    """As many files as are read back at once, each for as long as a large one takes."""
    cache = DiskCache(CacheFolder(str(folder), STORE), CacheOptions(str(folder), keep_free=0))
    queue = CacheWriter(cache, MemoryBudget(512 << 20))
    begun, goes_on = [], threading.Event()

    def long() -> list[ChunkSpan]:
        begun.append(1)
        assert goes_on.wait(60)
        return []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.run)
        for n in range(writer.SETTLES):
            shared = cache.open(MapHead(1, 1, bytes([n]) * 32, bytes(32)), long)
            assert shared is not None
            queue.tidy(shared)
        await until(lambda: len(begun) == writer.SETTLES)
        filled = cache.open(cachedsample.HEAD, lambda: cachedsample.PIECES)
        assert filled is not None
        queue.put(filled, cachedsample.PIECES[0], memoryview(cachedsample.chunk(0)))
        try:
            await until(lambda: filled.file.has(0))
        finally:
            goes_on.set()
        nursery.cancel_scope.cancel()


async def test_the_cache_leaves_most_descriptors_to_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(CacheFolder(str(folder), STORE), CacheOptions(str(folder), keep_free=0))
    heads = [MapHead(1, 1, bytes([n]) * 32, bytes(32)) for n in range(4)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 * diskcache.DESCRIPTORS, 10**6))
    opened = [cache.open(head, list) for head in heads]
    assert [shared is None for shared in opened] == [False, False, False, True]
    assert cache.open(heads[0], list) is opened[0]
    assert opened[1] is not None
    assert cache.release(opened[1])
    assert cache.open(heads[3], list) is not None
    cache.close()


def test_what_small_files_take_is_what_they_were_admitted_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their maps take more than they do."""
    cache = DiskCache(CacheFolder(str(folder), STORE), CacheOptions(str(folder), keep_free=0))
    admitted: list[int] = []
    monkeypatch.setattr(cache.quota, "admit", lambda size: admitted.append(size) or True)
    for n in range(20):
        chunk = noise(f"small {n}", 1000)
        id_ = ChunkId(blake3(chunk).digest())
        shared = cache.open(MapHead(1000, 1, id_, bytes(32)), list)
        assert shared is not None
        assert cache.put(shared, ChunkSpan(id_, 0, 1000, 0), memoryview(chunk))
        cache.release(shared)
    taken = sum(entry.size for entry in cache.folder.entries())
    assert 20 * 20_000 < taken <= sum(admitted)


async def test_many_small_files_hold_few_descriptors(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FILES", 3)
    monkeypatch.setattr(writer, "IDLE", 60.0)
    source = tmp_path / "many"
    source.mkdir()
    for n in range(30):
        (source / f"{n}").write_bytes(noise(f"small {n}", 3000))
    async with fresh_store(tmp_path / "small") as made:
        await add(made, source, "acme/small")
    async with caching(tmp_path / "small", folder) as opened:
        disk = opened.disk
        assert disk is not None
        for n in range(30):
            assert await read(opened, f"acme/small/{n}") == noise(f"small {n}", 3000)
            await until(lambda: disk.writer.files < 3)
        await until(lambda: not disk.writer.files)
    assert len(cached_data(folder)) > 25
