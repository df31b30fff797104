"""What is loaded ahead of readers: how much, how soon, and how little where they jump.

Times are those of a clock that only waiting moves, so they are exact.
"""

import random
from collections.abc import Iterable

import pytest
import trio
from trio.testing import MockClock

from modelfloat.cas.formats.manifest import TAG_REGIONS, Manifest
from modelfloat.cas.formats.regiontable import TableRegion, encode_regions
from modelfloat.cas.read import readahead
from modelfloat.cas.read.extents import EXTENT
from modelfloat.cas.read.filereader import FileReader
from modelfloat.cas.read.pace import KEPT, Pace
from modelfloat.tests.support.countingloader import (
    CHUNK,
    CountingLoader,
    chunk_id,
    make_reader,
    manifest,
)
from modelfloat.tests.support.slowlink import LaneLoader, Link, SlowLoader

REQUEST = 128 << 10
MIB = 1 << 20


def weights(file: int, sizes: Iterable[int]) -> Manifest:
    """A file of tensors of so many bytes each, after a header of one chunk."""
    regions, offset = [TableRegion(0, CHUNK, 0, "", ())], CHUNK
    for number, size in enumerate(sizes):
        regions.append(TableRegion(offset, size, 3, f"layer.{number}", (size,)))
        offset += size
    plain = manifest(file, offset // CHUNK)
    (part,) = encode_regions(regions, offset)
    return Manifest(
        plain.size, b"", plain.chunk_count, plain.inline, extensions={TAG_REGIONS: part.data}
    )


async def go_through(file: FileReader, start: int, end: int, size: int = REQUEST) -> None:
    for offset in range(start, end, size):
        await file.read(offset, min(size, end - offset))


def loaded(loader: CountingLoader) -> int:
    """Bytes that were loaded in all."""
    return sum(map(len, loader.loads)) * CHUNK


async def test_a_region_table_that_cannot_be_used_costs_its_help_only(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a mistake in the program")

    monkeypatch.setattr(readahead, "TensorMap", fail)
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(weights(1, [MIB] * 40))
    await go_through(file, 0, 4 * MIB)
    await trio.testing.wait_all_tasks_blocked()
    assert loaded(loader) > 4 * MIB
    assert "a region table cannot be used" in caplog.text


async def test_a_first_read_that_is_cancelled_leaves_the_help_to_the_next(
    nursery: trio.Nursery,
) -> None:
    """Then the region table is read all the same: jumps load a tensor each, and no more."""
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(weights(1, [4 * MIB] * 40))
    with trio.CancelScope() as scope:
        scope.cancel()
        await file.read(0, 1)
    assert scope.cancelled_caught
    for number in range(30, 0, -5):
        start = CHUNK + number * 4 * MIB
        await go_through(file, start, start + 2 * MIB)
        await trio.testing.wait_all_tasks_blocked()
    assert loaded(loader) == 6 * 4 * MIB + CHUNK


# Windows


async def test_a_far_backend_is_read_at_its_full_rate(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    link = Link()
    file = make_reader(nursery, SlowLoader(link)).open(weights(1, [16 * MIB] * 90))
    await file.read(0, REQUEST)
    assert trio.current_time() <= 2.5 * link.delay
    await file.read(CHUNK, REQUEST)
    begun = trio.current_time()
    half = file.size // 2
    await go_through(file, CHUNK, half)
    middle = trio.current_time()
    await go_through(file, half, file.size)
    assert (file.size - half) / (trio.current_time() - middle) >= 0.9 * link.total
    assert half / (middle - begun) >= 0.75 * link.total


async def test_backends_that_are_each_a_narrow_place_are_all_kept_at_work(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """1 GB of 4+2 on six links of 20 MB/s, 80 ms away: from the first byte to the last."""
    links = [Link(delay=0.08, each=20e6, total=20e6) for _ in range(6)]
    loader = LaneLoader(links, 4, 2)
    file = make_reader(nursery, loader, memory=1 << 30, far=True).open(weights(1, [32 * MIB] * 30))
    begun = trio.current_time()
    await go_through(file, 0, file.size, MIB)
    assert file.size / (trio.current_time() - begun) >= 0.85 * 6 * 20e6


async def test_near_backends_that_a_busy_machine_makes_late_get_no_long_window(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    loader = SlowLoader(Link(total=100e6))
    file = make_reader(nursery, loader, memory=1 << 30).open(weights(1, [32 * MIB] * 20))
    longest = 0
    for offset in range(0, file.size - MIB, MIB):
        await file.read(offset, MIB)
        longest = max(longest, loaded(loader) - offset)
    assert longest <= 64 * MIB


@pytest.mark.parametrize("request_size", [REQUEST, MIB])
async def test_tensors_copied_out_of_a_mapping_come_at_the_full_rate(
    nursery: trio.Nursery, autojump_clock: MockClock, request_size: int
) -> None:
    """Of each its last bytes are read first, and then the others from its beginning on."""
    link, tensor = Link(), 32 * MIB
    file = make_reader(nursery, SlowLoader(link)).open(weights(1, [tensor] * 40))
    await file.read(0, CHUNK)
    begun = 0.0
    for start in range(CHUNK, file.size, tensor):
        last = start + tensor - request_size
        await file.read(last, request_size)
        await go_through(file, start, last, request_size)
        if start == CHUNK + 7 * tensor:
            begun = trio.current_time()
    assert 32 * tensor / (trio.current_time() - begun) >= 0.8 * link.total


async def test_tensors_copied_by_two_threads_come_at_most_of_the_rate(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Each copies half of every tensor, its last bytes first; nobody begins the next one before."""
    link, tensor = Link(), 32 * MIB
    file = make_reader(nursery, SlowLoader(link)).open(weights(1, [tensor] * 40))
    await file.read(0, CHUNK)

    async def copy(start: int, end: int) -> None:
        await file.read(end - MIB, MIB)
        await go_through(file, start, end - MIB, MIB)

    begun = 0.0
    for start in range(CHUNK, file.size, tensor):
        async with trio.open_nursery() as threads:
            threads.start_soon(copy, start, start + tensor // 2)
            threads.start_soon(copy, start + tensor // 2, start + tensor)
        if start == CHUNK + 7 * tensor:
            begun = trio.current_time()
    assert 32 * tensor / (trio.current_time() - begun) >= 0.7 * link.total


async def test_small_tensors_that_are_read_alone_are_loaded_ahead(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A page of each, as a fault reads it; what lies between is not loaded."""
    link, layer, norm = Link(), 16 * MIB, 64 << 10
    loader = SlowLoader(link)
    file = make_reader(nursery, loader).open(weights(1, [layer, norm] * 60))
    await file.read(0, CHUNK)
    begun, moved = trio.current_time(), link.moved
    for start in range(CHUNK + layer, file.size, layer + norm):
        await file.read(start, 4096)
    assert trio.current_time() - begun <= 8 * link.delay
    assert link.moved - moved <= 60 * 2 * CHUNK


@pytest.mark.parametrize("shift", [0, 120])
@pytest.mark.parametrize("below_first", [False, True])
async def test_tensors_that_are_touched_in_order_are_loaded_where_they_begin(
    nursery: trio.Nursery, autojump_clock: MockClock, below_first: bool, shift: int
) -> None:
    """A fault in its first page has a megabyte on each side read, in two requests at once."""
    link, layer, norm, count = Link(), 16 * MIB, 8 << 10, 60
    loader = SlowLoader(link)
    sizes = [layer + shift, *[norm, layer] * count]
    sizes.append(-sum(sizes) % CHUNK)
    file = make_reader(nursery, loader).open(weights(1, sizes))
    await file.read(0, CHUNK)
    begun, moved = trio.current_time(), link.moved
    for number in range(count):
        page = (CHUNK + layer + shift + number * (layer + norm)) // 4096 * 4096
        async with trio.open_nursery() as kernel:
            for start in (page - MIB, page) if below_first else (page, page - MIB):
                kernel.start_soon(file.read, start, MIB)
                await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() - begun <= count / 3 * link.delay
    assert link.moved - moved <= 1.1 * count * 2 * MIB


async def test_tensors_that_are_read_on_are_not_taken_for_touched(nursery: trio.Nursery) -> None:
    """Every other tensor is read, as one of two processes does: the others are left alone."""
    loader, tensor = CountingLoader(), 8 * MIB
    file = make_reader(nursery, loader).open(weights(1, [tensor] * 40))
    await file.read(0, CHUNK)
    for start in range(CHUNK, file.size, 2 * tensor):
        await go_through(file, start, start + tensor)
        await trio.testing.wait_all_tasks_blocked()
    assert loaded(loader) <= 1.05 * 20 * tensor + CHUNK


async def test_a_slow_reader_gets_no_longer_window_than_it_needs(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """It takes 25 MB/s of a link that has 400: the first window, grown once, is enough for it."""
    link = Link()
    loader = SlowLoader(link)
    file = make_reader(nursery, loader).open(weights(1, [16 * MIB] * 40))
    longest = 0
    for offset in range(0, file.size, MIB):
        await go_through(file, offset, min(offset + MIB, file.size))
        await trio.sleep(MIB / 25e6)
        longest = max(longest, loaded(loader) - offset)
    assert longest <= 40 * MIB


async def test_a_link_without_end_does_not_make_windows_without_end(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    loader = SlowLoader(Link(delay=1.0, each=1e9, total=100e9))
    reader = make_reader(nursery, loader, memory=256 * MIB)
    file = reader.open(weights(1, [64 * MIB] * 24))
    await go_through(file, 0, file.size)
    assert reader.budget.peak <= reader.budget.limit


def test_the_least_time_is_looked_for_again_when_it_is_old() -> None:
    pace = Pace(long=100)
    for second in range(4):
        pace.end(pace.start(float(second)), 100, second + 0.1 * (second + 1))
    assert pace.delay == pytest.approx(0.1)
    assert pace.rate == pytest.approx(1000)
    assert not pace.looking(5.0)
    late = KEPT + 5
    pace.end(queued := pace.start(late), 100, late + 0.4)
    assert queued.came == 400
    assert pace.looking(late + 0.4)
    pace.end(pace.start(late + 1), 100, late + 1.2)
    assert not pace.looking(late + 2)
    assert pace.delay == pytest.approx(0.2)


# Random access


async def test_small_reads_at_random_load_their_chunks_and_no_more(nursery: trio.Nursery) -> None:
    loader, dice = CountingLoader(), random.Random(7)
    file = make_reader(nursery, loader).open(weights(1, [8 * MIB] * 40))
    touched = set()
    for _ in range(800):
        offset = dice.randrange(file.size // 4096) * 4096
        touched.add(offset // CHUNK)
        await file.read(offset, 4096)
    await trio.testing.wait_all_tasks_blocked()
    assert loaded(loader) <= 1.1 * len(touched) * CHUNK


@pytest.mark.parametrize("tensor", [64 * MIB, 32 * MIB, 8 * MIB, 0])
async def test_ranges_at_random_load_hardly_more_than_they_are(
    nursery: trio.Nursery, tensor: int
) -> None:
    loader, dice = CountingLoader(), random.Random(3)
    size = 1024 * MIB
    described = weights(1, [tensor] * (size // tensor)) if tensor else manifest(1, size // CHUNK)
    file = make_reader(nursery, loader).open(described)
    touched = 0
    for _ in range(40):
        start = dice.randrange(file.size - 10_000_000) // 4096 * 4096
        end = start + 10_000_000
        await go_through(file, start, end)
        touched += ((end - 1) // CHUNK - start // CHUNK + 1) * CHUNK
    await trio.testing.wait_all_tasks_blocked()
    assert loaded(loader) <= 1.1 * touched


async def test_what_was_read_at_random_stays_in_memory_that_nobody_needs(
    nursery: trio.Nursery,
) -> None:
    loader = CountingLoader()
    reader = make_reader(nursery, loader, memory=512 * MIB)
    file = reader.open(weights(1, [8 * MIB] * 40))
    places = random.Random(1).sample(range(16, file.size // MIB), 100)
    for _ in range(2):
        for place in places:
            await file.read(place * MIB, 4096)
    await trio.testing.wait_all_tasks_blocked()
    assert max(loader.count()[chunk_id(1, place * MIB // CHUNK)] for place in places) == 1
    assert reader.budget.peak <= reader.budget.limit


# Tensors


@pytest.mark.parametrize("before", [0, 64 << 10])
async def test_a_read_at_a_tensors_beginning_loads_the_tensor_and_not_beyond(
    nursery: trio.Nursery, before: int
) -> None:
    """A read(2) begins there; a fault there asks for as much before it."""
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(weights(1, [3 * MIB] * 20))
    await file.read(0, 4096)
    await trio.testing.wait_all_tasks_blocked()
    for tensor in (12, 5, 17):
        del loader.loads[:]
        start = CHUNK + 3 * MIB * tensor
        await file.read(start - before, REQUEST)
        await trio.testing.wait_all_tasks_blocked()
        ids = set(loader.count())
        wanted = range(start // CHUNK, (start + 3 * MIB) // CHUNK)
        assert ids - {chunk_id(1, wanted[0] - 1)} == {chunk_id(1, n) for n in wanted}


async def test_tensors_in_file_order_are_loaded_beyond_their_ends(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(weights(1, [MIB] * 60))
    start = CHUNK + 20 * MIB
    await file.read(0, 4096)
    await go_through(file, start, start + 3 * MIB)
    await trio.testing.wait_all_tasks_blocked()
    assert chunk_id(1, (start + 5 * MIB) // CHUNK) in loader.count()


async def test_who_reads_only_what_says_where_the_tensors_are_gets_no_more(
    nursery: trio.Nursery,
) -> None:
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(weights(1, [MIB] * 60))
    for offset in range(0, CHUNK, 4096):
        await file.read(offset, 4096)
        await trio.testing.wait_all_tasks_blocked()
    assert loader.loads == [(chunk_id(1, 0),)]


# Streams


async def test_threads_in_one_file_are_streams_each(nursery: trio.Nursery) -> None:
    """Eight go through a part of it each, in turn: nothing is loaded twice, or for nobody."""
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(manifest(1, 2048))
    part = file.size // 8
    for offset in range(0, part, REQUEST):
        for thread in range(8):
            await file.read(thread * part + offset, REQUEST)
            await trio.testing.wait_all_tasks_blocked()
    assert set(loader.count().values()) == {1}
    assert loaded(loader) == file.size


async def test_a_stream_may_skip_a_little_and_step_back(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(manifest(1, 2000))
    await go_through(file, 0, 24 * MIB)
    for offset in (26 * MIB, 25 * MIB, 29 * MIB, 28 * MIB, 32 * MIB):
        await trio.testing.wait_all_tasks_blocked()
        loads = len(loader.loads)
        await file.read(offset, REQUEST)
        assert not any(
            chunk_id(1, offset // CHUNK) in ids for ids in loader.loads[loads:]
        )  # it was there


async def test_requests_that_overtake_each_other_are_one_stream(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(manifest(1, 640))
    offsets = list(range(0, file.size, REQUEST))
    for at in range(0, len(offsets) - 1, 2):
        offsets[at], offsets[at + 1] = offsets[at + 1], offsets[at]
    for offset in offsets:
        await file.read(offset, REQUEST)
    assert set(loader.count().values()) == {1}
    assert max(map(len, loader.loads)) * CHUNK == EXTENT


async def test_a_mapping_that_is_copied_from_the_end_of_each_megabyte_is_a_stream(
    nursery: trio.Nursery,
) -> None:
    """What the kernel asks for when memmove copies so: seen of glibc with 128 KiB."""
    loader = CountingLoader()
    file = make_reader(nursery, loader).open(manifest(1, 640))
    page = 4096
    for block in range(0, file.size, MIB):
        await trio.testing.wait_all_tasks_blocked()
        loads = len(loader.loads)
        top = block + 239 * page
        await file.read(top, min(32 * page, file.size - top))
        for offset in range(top - 17 * page, block - 1, -17 * page):
            await file.read(offset, 17 * page)
        needed = {chunk_id(1, number) for number in range(block // CHUNK, (block + MIB) // CHUNK)}
        if block >= 4 * MIB:  # it was there
            assert needed.isdisjoint(id_ for ids in loader.loads[loads:] for id_ in ids)
    assert set(loader.count().values()) == {1}
    assert len(list(file._ahead.streams)) <= 2  # the file's beginning is one


# Memory


async def test_many_readers_stay_within_the_memory_they_have(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """64 readers of 16 files: what they keep stays below the cap, but for what they wait for."""
    loader = SlowLoader(Link(delay=0.01, each=200e6, total=2e9))
    reader = make_reader(nursery, loader, memory=96 * MIB)
    files = [reader.open(weights(number, [8 * MIB] * 4)) for number in range(16)]

    async def read(number: int) -> None:
        file = files[number % 16]
        start = (number // 16) * file.size // 4
        for offset in range(start, start + file.size, REQUEST):
            at = offset % file.size
            data = await file.read(at, min(REQUEST, file.size - at))
            assert bytes(data[:8]) == chunk_id(number % 16, at // CHUNK)[:8] or at % CHUNK

    async with trio.open_nursery() as readers:
        for number in range(64):
            readers.start_soon(read, number)
    assert reader.budget.peak <= reader.budget.limit + 64 * 2 * 3 * CHUNK
    for file in files:
        file.close()
    await trio.testing.wait_all_tasks_blocked()
    assert reader.budget.used <= 56 * MIB
