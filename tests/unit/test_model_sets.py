"""Models in several files: which follow which, and what is loaded before they are opened."""

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from modelfloat.cas.formats.manifest import Manifest
from modelfloat.cas.read.sets import following, in_set, opens_set
from modelfloat.fuse.modelsets import manifests_after
from modelfloat.fuse.nodes import FileNode, RootNode
from modelfloat.fuse.tree import Tree
from modelfloat.tests.support.countingloader import (
    CHUNK,
    CountingLoader,
    chunk_id,
    make_reader,
    manifest,
)
from modelfloat.tests.support.slowlink import Link, SlowLoader
from modelfloat.tests.support.stores import add, fresh_store, weights
from modelfloat.tests.support.waiting import until

NAMES = [
    b"model-00003-of-00003.safetensors",
    b"model-00001-of-00003.safetensors",
    b"model-00002-of-00003.safetensors",
    b"model-00002-of-00002.safetensors",
    b"pytorch_model-00001-of-00002.bin",
    b"model.safetensors.index.json",
    b"config.json",
]


def named(described: Manifest, number: int) -> Manifest:
    """With a digest of its own."""
    return replace(described, blake3=number.to_bytes(32, "big"))


def test_what_follows_what() -> None:
    first, second, third = sorted(NAMES[:3])
    assert following(first, NAMES) == [second, third]
    assert following(third, NAMES) == following(b"config.json", NAMES) == []
    assert following(b"model.safetensors.index.json", NAMES) == [
        first,
        b"model-00002-of-00002.safetensors",
        second,
        third,
    ]
    assert following(b"pytorch_model.bin.index.json", NAMES) == [NAMES[4]]
    assert [name for name in NAMES if not in_set(name)] == [b"config.json"]
    assert sorted(filter(opens_set, NAMES)) == [first, NAMES[5], NAMES[4]]


class After:
    """Finds the files that follow one, and tells when it has been asked."""

    def __init__(self, files: list[Manifest]) -> None:
        self._files = files
        self._asked = threading.Event()

    def __call__(self) -> list[Manifest]:
        self._asked.set()
        return self._files

    async def told(self) -> None:
        """Wait for it."""
        await trio.to_thread.run_sync(until, self._asked.is_set)


async def test_opening_a_set_far_away_loads_the_first_chunk_of_each(nursery: trio.Nursery) -> None:
    loader, after = CountingLoader(), After([named(manifest(n, 64), n) for n in range(1, 5)])
    file = make_reader(nursery, loader, far=True).open(named(manifest(0, 1), 0), after, first=True)
    await file.read(0, 100)
    await trio.to_thread.run_sync(until, lambda: len(loader.loads) == 5)
    assert sorted(loader.loads) == [(chunk_id(number, 0),) for number in range(5)]
    file.close()


@pytest.mark.parametrize(("far", "first"), [(False, True), (True, False)])
async def test_no_first_chunks_are_loaded_where_they_are_not_wanted(
    nursery: trio.Nursery, far: bool, first: bool
) -> None:
    loader, after = CountingLoader(), After([named(manifest(1, 64), 1)])
    reader = make_reader(nursery, loader, far=far)
    await reader.open(named(manifest(0, 200), 0), after, first=first).read(0, 100)
    await after.told()
    await wait_all_tasks_blocked()
    assert loader.loads == [(chunk_id(0, 0),)]


@pytest.mark.parametrize("warm", [True, False])
async def test_the_next_file_is_on_its_way_when_the_last_one_ends(
    nursery: trio.Nursery, autojump_clock: MockClock, warm: bool
) -> None:
    """Going through a set costs a round trip or two, not one for each of its files."""
    link, work = Link(delay=0.5, each=1e9, total=1e9), 0.02
    loader = SlowLoader(link)
    reader = make_reader(nursery, loader, warm_sets=warm)
    files = [named(manifest(number, 128), number) for number in range(8)]
    for number, described in enumerate(files):
        after = After(files[number + 1 :])
        file = reader.open(described, after)
        await file.read(0, CHUNK)
        if warm:
            await after.told()
        for offset in range(0, file.size, CHUNK):
            await file.read(offset, CHUNK)
            await trio.sleep(work)
        file.close()
    assert set(loader.count().values()) == {1}
    waited = trio.current_time() - work * sum(file.size for file in files) / CHUNK
    assert (waited <= 4 * link.delay) == warm


async def test_a_file_that_was_opened_is_left_alone(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    reader = make_reader(nursery, loader)
    one, two = named(manifest(1, 64), 1), named(manifest(2, 640), 2)
    reader.open(two)
    file = reader.open(one, lambda: [two])
    for offset in range(0, file.size, CHUNK):
        await file.read(offset, CHUNK)
        await wait_all_tasks_blocked()
    assert chunk_id(2, 0) not in loader.count()


async def test_a_file_that_was_closed_is_left_alone(nursery: trio.Nursery) -> None:
    """A set that is read from its end to its beginning is loaded once."""
    loader = CountingLoader()
    reader = make_reader(nursery, loader, memory=128 * CHUNK)
    sizes = [64, 640, 64]
    files = [named(manifest(number, size), number) for number, size in enumerate(sizes)]
    for number in (2, 1, 0):
        file = reader.open(files[number], After(files[number + 1 :]))
        for offset in range(0, file.size, CHUNK):
            await file.read(offset, CHUNK)
            await wait_all_tasks_blocked()
        file.close()
    assert set(loader.count().values()) == {1}


async def test_a_set_that_is_opened_anew_is_loaded_anew(nursery: trio.Nursery) -> None:
    loader = CountingLoader()
    reader = make_reader(nursery, loader, memory=512 * CHUNK, far=True)
    index, other = named(manifest(0, 1), 0), named(manifest(9, 9000), 9)
    files = [named(manifest(number, 8), number) for number in range(1, 5)]
    for times in (1, 2):
        after = After(files)
        file = reader.open(index, after, first=True)
        await file.read(0, 100)
        await trio.to_thread.run_sync(until, partial(heads_are, loader, times, 4))
        file.close()
        # They are read, and what is read of others then takes their memory.
        for described, step in [*((each, 1) for each in files), (other, 20)]:
            file = reader.open(described)
            for offset in range(0, file.size, step * CHUNK):
                await file.read(offset, CHUNK)
            file.close()
        assert heads_are(loader, times, 4)


def heads_are(loader: CountingLoader, times: int, count: int) -> bool:
    """Whether the first chunk of each of the first files was loaded so many times."""
    return all(loader.count()[chunk_id(n, 0)] == times for n in range(1, count + 1))


async def test_the_files_of_a_set_are_found_where_it_stands(tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    for number in (1, 2, 3):
        weights(source / f"model-0000{number}-of-00003.safetensors", 200_000, str(number))
    (source / "model.safetensors.index.json").write_text("{}")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        tree = Tree(store)
        found = tree.lookup(RootNode(), b"acme")
        for name in (b"model", b"model-00001-of-00003.safetensors"):
            assert found is not None
            found = tree.lookup(found.node, name)
        assert found is not None
        assert isinstance(found.node, FileNode)
        after = manifests_after(store.objects, found.node)
        assert len(after) == 2
        assert store.objects.manifest(found.node.manifest) not in after
