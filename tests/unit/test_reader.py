"""The reader: what is loaded, how often, for whom; and what its cache pins."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from modelfloat.cas.buffers import SizedBuffers
from modelfloat.cas.formats.manifest import ChunkRef, Manifest, PageRef, encode_entries
from modelfloat.cas.read.cache import ChunkCache, Loaded
from modelfloat.cas.read.extents import EXTENT
from modelfloat.cas.read.filereader import FileReader
from modelfloat.cas.read.reader import Reader
from modelfloat.cas.read.recipe import Recipe
from modelfloat.cas.read.streams import NEAR, STREAMS, TOLERANCE
from modelfloat.cas.read.windows import FIRST_WINDOW
from modelfloat.errors import ChunkDamagedError, DataLostError, ModelFloatError, UsageError
from modelfloat.ids import ObjectId
from modelfloat.tests.support.countingloader import (
    CHUNK,
    CountingLoader,
    chunk_id,
    make_reader,
    manifest,
)
from modelfloat.tests.support.samples import id_of


async def test_one_stream_loads_everything_once(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(manifest(1, 1000))
    for number in range(1000):
        data = await file.read(number * CHUNK, CHUNK)
        assert bytes(data[:8]) == chunk_id(1, number)[:8]
    assert set(loader.count().values()) == {1}
    assert len(loader.count()) == 1000


@pytest.mark.parametrize("streams", [2, 4, 8])
async def test_streams_do_not_push_out_what_others_have_ahead(
    nursery: trio.Nursery, streams: int
) -> None:
    loader = CountingLoader()
    reader = make_reader(nursery, loader)
    files = [reader.open(manifest(number, 320)) for number in range(streams)]
    for number in range(320):
        for file in files:
            await file.read(number * CHUNK, CHUNK)
            await wait_all_tasks_blocked()
    # Their first windows, from the third chunk on, were loaded when the reader did not know yet how
    # many streams there would be.
    first = FIRST_WINDOW // CHUNK + 2
    later = [chunk_id(s, n) for s in range(streams) for n in range(first, 320)]
    assert {loader.count()[id_] for id_ in later} == {1}


async def test_a_closed_file_leaves_the_cache_to_others(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    reader = make_reader(nursery, loader, memory=64 << 20)

    async def longest_load(file: FileReader) -> int:
        del loader.loads[:]
        for number in range(600):
            await file.read(number * CHUNK, CHUNK)
        return max(map(len, loader.loads)) * CHUNK

    others = [reader.open(manifest(number, 600)) for number in range(8)]
    for other in others:
        await other.read(0, CHUNK)
        await other.read(CHUNK, CHUNK)
    assert await longest_load(reader.open(manifest(100, 600))) < EXTENT
    for other in others:
        other.close()
    assert await longest_load(reader.open(manifest(101, 600))) == EXTENT


async def test_a_stream_in_use_is_not_forgotten(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(manifest(1, 5000))
    await file.read(0, CHUNK)
    far = range(4 * TOLERANCE, 5000 * CHUNK, 3 * NEAR)
    for number, offset in enumerate(far[: 3 * STREAMS], start=1):
        await file.read(offset, CHUNK)
        del loader.sequential[:]
        await file.read(number * 2 * CHUNK, CHUNK)
        await wait_all_tasks_blocked()
        assert all(loader.sequential)


async def test_a_reader_that_goes_away_harms_no_other(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    loader.gate = trio.Event()
    file = make_reader(nursery, loader).open(manifest(1, 1))
    gone = trio.CancelScope()
    found: list[bytes] = []

    async def leave() -> None:
        with gone:
            await file.read(0, CHUNK)

    async def stay() -> None:
        found.append(bytes(await file.read(0, 8)))

    async with trio.open_nursery() as readers:
        readers.start_soon(leave)
        await wait_all_tasks_blocked()
        readers.start_soon(stay)
        await wait_all_tasks_blocked()
        gone.cancel()
        await wait_all_tasks_blocked()
        loader.gate.set()
    assert gone.cancelled_caught
    assert found == [chunk_id(1, 0)[:8]]
    assert loader.loads == [(chunk_id(1, 0),)]


async def test_who_waits_together_hears_of_one_failure_together(nursery: trio.Nursery) -> None:
    """Three chunks are loaded at once; one is lost. Each is loaded once more, for both readers."""
    loader = CountingLoader()
    loader.bad = {chunk_id(1, 1)}
    file = make_reader(nursery, loader).open(manifest(1, 3))
    errors: list[ModelFloatError] = []

    async def fail() -> None:
        with pytest.raises(DataLostError, match="gone") as caught:
            await file.read(0, 3 * CHUNK)
        errors.append(caught.value)

    async with trio.open_nursery() as readers:
        readers.start_soon(fail)
        readers.start_soon(fail)
    assert len({id(error) for error in errors}) == 2
    assert loader.loads[0] == tuple(chunk_id(1, n) for n in range(3))
    assert loader.count() == {chunk_id(1, 0): 2, chunk_id(1, 1): 2, chunk_id(1, 2): 1}
    assert bytes((await file.read(2 * CHUNK, CHUNK))[:8]) == chunk_id(1, 2)[:8]


async def test_a_mistake_fails_a_read_and_no_more(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    loader = CountingLoader()
    loader.bad = {chunk_id(1, 0)}
    loader.failure = lambda: ZeroDivisionError("a mistake")
    file = make_reader(nursery, loader).open(manifest(1, 2))
    with pytest.raises(ZeroDivisionError):
        await file.read(0, 10)
    assert "a load ahead of a reader failed" in caplog.text
    assert len(await file.read(CHUNK, 10)) == 10


async def test_a_store_that_is_closed_says_so() -> None:
    loader = CountingLoader()
    loader.gate = trio.Event()
    engine = trio.CancelScope()
    reader: list[Reader] = []

    async def run_engine() -> None:
        with engine:
            async with trio.open_nursery() as loads:
                reader.append(make_reader(loads, loader))
                await trio.sleep_forever()

    async def read() -> None:
        with pytest.raises(UsageError, match="closed"):
            await reader[0].open(manifest(1, 2)).read(0, CHUNK)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_engine)
        await wait_all_tasks_blocked()
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        engine.cancel()


@pytest.mark.parametrize("raw", [CHUNK - 1, CHUNK + 1])
async def test_a_manifest_that_lies_about_a_length_is_an_error(
    nursery: trio.Nursery, raw: int
) -> None:
    file = make_reader(nursery, CountingLoader()).open(manifest(1, 3, raw))
    for _ in "loaded", "cached":
        with pytest.raises(ChunkDamagedError, match="add the file again"):
            await file.read(raw, raw)


def test_pages_out_of_order_are_an_error() -> None:
    pages = (PageRef(ObjectId(id_of("a")), 0, 1), PageRef(ObjectId(id_of("b")), CHUNK, 1))
    packed = encode_entries([ChunkRef(chunk_id(1, 0), CHUNK)])
    for starts in [(CHUNK, 0), (0, 3 * CHUNK), (CHUNK, 2 * CHUNK)]:
        moved = tuple(PageRef(page.id, start, 1) for page, start in zip(pages, starts, strict=True))
        recipe = Recipe(Manifest(2 * CHUNK, b"", 2, pages=moved), lambda _page: packed)
        with pytest.raises(ChunkDamagedError, match="add the file again"):
            recipe.spans(0, 2 * CHUNK)


def test_the_cache_counts_the_memory_that_its_chunks_pin() -> None:
    """One small chunk of each buffer is read again and again: the buffers fill the cache."""
    cache = ChunkCache(8 * EXTENT)
    buffers = SizedBuffers(EXTENT, count=9)
    for file in range(40):
        memory = buffers.take(EXTENT)
        for number in range(EXTENT // CHUNK):
            cache.put(chunk_id(file, number), Loaded(memory, number * CHUNK, CHUNK))
        for hot in range(file + 1):
            cache.get(chunk_id(hot, 0))
        assert cache.size <= cache.budget
        kept = [f for f in range(40) if any(chunk_id(f, n) in cache for n in range(64))]
        assert cache.size == len(kept) * EXTENT
    assert len(kept) == 8


def test_the_cache_counts_a_slot_used_in_part_whole() -> None:
    cache = ChunkCache(EXTENT)
    cache.put(chunk_id(1, 0), Loaded(SizedBuffers(EXTENT, count=1).take(3 << 20), 0, CHUNK))
    assert cache.size == EXTENT
    cache.put(chunk_id(1, 1), Loaded(memoryview(bytearray(CHUNK)), 0, CHUNK))
    assert chunk_id(1, 0) not in cache
    assert cache.size == CHUNK


def test_the_cache_keeps_the_last_chunk_however_large() -> None:
    cache = ChunkCache(10)
    cache.put(chunk_id(1, 0), Loaded(memoryview(bytearray(CHUNK)), 0, CHUNK))
    assert cache.get(chunk_id(1, 0)) is not None


# What other threads are given at once


async def test_at_once_is_only_what_is_in_memory(nursery: trio.Nursery) -> None:
    loader, left = CountingLoader(), list[Callable[[], object]]()
    file = make_reader(nursery, loader).open(manifest(1, 10))
    assert file.at_once(0, 10, left.append) is None
    assert loader.loads == []
    whole = bytes(await file.read(0, 10 * CHUNK))
    for offset, size in ((0, 1), (CHUNK - 3, 6), (5, 3 * CHUNK), (9 * CHUNK, CHUNK), (7, 0)):
        parts = file.at_once(offset, size, left.append)
        assert parts is not None
        assert b"".join(parts) == whole[offset : offset + size]
    assert file.at_once(10 * CHUNK - 2, 100, left.append) == [whole[-2:]]
    assert file.at_once(10 * CHUNK, 100, left.append) == []


async def test_at_once_in_threads_reads_ahead_as_reads_do(nursery: trio.Nursery) -> None:
    """Each chunk is loaded once, far fewer jobs come to the loop than reads, and few reads wait."""
    loader, token = CountingLoader(), trio.lowlevel.current_trio_token()
    file = make_reader(nursery, loader).open(manifest(1, 2000))
    jobs = []

    def soon(job: Callable[[], object]) -> None:
        jobs.append(job)
        token.run_sync_soon(job)

    waited = 0
    for number in range(2000):
        parts = await trio.to_thread.run_sync(file.at_once, number * CHUNK, CHUNK, soon)
        await wait_all_tasks_blocked()
        if parts is None:
            waited += 1
            parts = [await file.read(number * CHUNK, CHUNK)]
        assert bytes(parts[0][:8]) == chunk_id(1, number)[:8]
    assert set(loader.count().values()) == {1}
    assert waited <= 3
    assert len(jobs) < 200


async def test_a_chunk_of_another_length_is_not_given_at_once(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    reader = make_reader(nursery, loader)
    await reader.open(manifest(1, 1)).read(0, CHUNK)
    file = reader.open(manifest(1, 1, CHUNK - 1))
    with pytest.raises(ChunkDamagedError):
        await file.read(0, 10)
    with pytest.raises(ChunkDamagedError):
        file.at_once(0, 10, lambda _: None)


async def test_a_stream_uses_all_that_is_loaded_ahead_of_it(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    reader = make_reader(nursery, loader)
    file = reader.open(manifest(1, 1000))
    for number in range(1000):
        await file.read(number * CHUNK, CHUNK)
        await wait_all_tasks_blocked()
    counters = reader.counters
    assert counters.loads == len(loader.loads)
    assert counters.chunk_hits + counters.chunk_misses == 1000
    assert counters.chunk_misses < 10
    assert counters.ahead > 900 * CHUNK
    assert (counters.ahead_used, counters.ahead_wasted) == (counters.ahead, 0)


async def test_what_is_loaded_ahead_in_vain_is_told(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    reader = make_reader(nursery, loader, memory=2 * EXTENT)
    begun = reader.open(manifest(1, 1000))
    await begun.read(0, CHUNK)
    await begun.read(CHUNK, CHUNK)
    await wait_all_tasks_blocked()
    ahead = reader.counters.ahead
    assert ahead > 0
    assert reader.counters.ahead_used == 0
    other = reader.open(manifest(2, 1000))
    for number in range(0, 1000, 200):  # no stream
        await other.read(number * CHUNK, CHUNK)
    for number in range(1000):
        await other.read(number * CHUNK, CHUNK)
    counters = reader.counters
    assert counters.ahead_wasted == ahead
    assert counters.ahead_used == counters.ahead - ahead


async def test_loads_that_fail_are_counted(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    loader.bad.add(chunk_id(1, 0))
    reader = make_reader(nursery, loader)
    with pytest.raises(DataLostError):
        await reader.open(manifest(1, 1)).read(0, CHUNK)
    assert (reader.counters.loads, reader.counters.loads_failed) == (1, 1)
