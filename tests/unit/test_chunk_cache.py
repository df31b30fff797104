"""The chunk cache while other threads use its chunks."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Thread

import pytest

from modelfloat.cas.read import cache as module
from modelfloat.cas.read.cache import ChunkCache, Loaded
from modelfloat.ids import ChunkId
from modelfloat.tests.support.countingloader import chunk_id

SIZE = 1000


class _UsedMeanwhile(OrderedDict[ChunkId, object]):
    """Between looking for the chunk that goes next and finding it, another thread uses chunks."""

    use: Callable[[], object]

    def __iter__(self) -> Iterator[ChunkId]:
        found = super().__iter__()
        thread = Thread(target=type(self).use)
        thread.start()
        thread.join(0.1)  # one that has to wait for us comes afterwards
        return found


def _put(cache: ChunkCache, number: int) -> ChunkId:
    id_ = chunk_id(1, number)
    cache.put(id_, Loaded(memoryview(bytearray(SIZE)), 0, SIZE))
    return id_


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> ChunkCache:
    """Two chunks fill it; another thread uses both whenever one is looked for."""
    monkeypatch.setattr(module, "OrderedDict", _UsedMeanwhile)
    cache = ChunkCache(2 * SIZE)

    def use() -> None:
        for number in range(2):
            cache.get(chunk_id(1, number))

    monkeypatch.setattr(_UsedMeanwhile, "use", use, raising=False)
    for number in range(2):
        _put(cache, number)
    return cache


def test_a_chunk_may_be_used_while_another_one_goes(cache: ChunkCache) -> None:
    assert _put(cache, 2) in cache
    assert cache.size == 2 * SIZE


@pytest.mark.parametrize("passed", [[0], [0, 1], [1, 0]])
def test_a_passed_chunk_may_be_used_while_memory_is_made(
    cache: ChunkCache, passed: list[int]
) -> None:
    cache.passed(chunk_id(1, number) for number in passed)
    assert cache.shed(SIZE)
    assert cache.size == SIZE


@pytest.mark.parametrize("alone", [False, True])
def test_what_one_stream_alone_has_passed_goes_at_once_from_what_is_more_than_usual(
    alone: bool,
) -> None:
    cache = ChunkCache(2 * SIZE)
    cache.budget = 5 * SIZE  # much is loaded ahead
    ids = [_put(cache, number) for number in range(5)]
    cache.passed(ids[:4], alone=alone)
    kept = not alone
    assert [id_ in cache for id_ in ids] == [kept, kept, kept, True, True]
    assert cache.size == (2 if alone else 5) * SIZE
