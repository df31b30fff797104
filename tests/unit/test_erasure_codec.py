"""Encoding and decoding: buffers, losses, what is refused."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from modelfloat.erasure import codec
from modelfloat.erasure.engine import Engine
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import DataLostError
from modelfloat.tests.support.erasure_engines import (
    ISAL,
    NUMPY,
    engines,
    needs_isal,
    oracle_parity,
    random_shards,
)

FOUR_TWO = Scheme(4, 2)


def _encoded(scheme: Scheme, data: list[bytes], engine: Engine | None = None) -> list[bytes]:
    parity = [bytearray(b"\xaa" * len(data[0])) for _ in range(scheme.m)]
    codec.encode(scheme, data, parity, using=engine)
    return [*data, *map(bytes, parity)]


@engines
@pytest.mark.parametrize("size", [1, 2, 31, 32, 63, 64, 65, 1000])
def test_parity_is_that_of_reedsolo_at_odd_sizes(engine: Engine, size: int) -> None:
    data = random_shards(4, size)
    assert _encoded(FOUR_TWO, data, engine)[4:] == oracle_parity(FOUR_TWO, data)


@engines
def test_every_loss_of_4_2_is_restored(engine: Engine) -> None:
    shards = _encoded(FOUR_TWO, random_shards(4, 257), engine)
    for count in range(FOUR_TWO.m + 1):
        for lost in itertools.combinations(range(FOUR_TWO.n), count):
            present = {i: shard for i, shard in enumerate(shards) if i not in lost}
            wanted = {i: memoryview(bytearray(257)) for i in lost}
            codec.decode(FOUR_TWO, present, wanted, using=engine)
            assert {i: bytes(view) for i, view in wanted.items()} == {i: shards[i] for i in lost}


@engines
def test_one_of_two_lost_shards_may_be_wanted_alone(engine: Engine) -> None:
    shards = _encoded(FOUR_TWO, random_shards(4, 100), engine)
    present = {i: shards[i] for i in (1, 3, 4, 5)}
    wanted = {2: memoryview(bytearray(100))}
    codec.decode(FOUR_TWO, present, wanted, using=engine)
    assert wanted[2] == shards[2]


@engines
def test_a_range_is_decoded_from_ranges(engine: Engine) -> None:
    shards = _encoded(FOUR_TWO, random_shards(4, 5000), engine)
    present = {i: memoryview(shards[i])[1234:4321] for i in (0, 2, 3, 5)}
    target = bytearray(5000)
    codec.decode(FOUR_TWO, present, {1: memoryview(target)[1234:4321]}, using=engine)
    assert target[1234:4321] == shards[1][1234:4321]
    assert not any(target[:1234])
    assert not any(target[4321:])


@engines
def test_replicas_are_verbatim_copies(engine: Engine) -> None:
    scheme = Scheme(1, 3)
    shards = _encoded(scheme, random_shards(1, 333), engine)
    assert shards == [shards[0]] * 4
    wanted = {0: memoryview(bytearray(333)), 3: memoryview(bytearray(333))}
    codec.decode(scheme, {2: shards[2]}, wanted, using=engine)
    assert bytes(wanted[0]) == bytes(wanted[3]) == shards[0]


@needs_isal
@pytest.mark.parametrize("text", ["4+2", "10+4", "32+16"])
@pytest.mark.parametrize("size", [1, 65_537, 300_001])
def test_engines_agree(text: str, size: int) -> None:
    scheme = Scheme.parse(text)
    data = random_shards(scheme.k, size)
    shards = _encoded(scheme, data, ISAL)
    assert _encoded(scheme, data, NUMPY) == shards
    lost = range(min(scheme.m, scheme.k))
    present = {i: shard for i, shard in enumerate(shards) if i not in lost}
    for engine in (ISAL, NUMPY):
        wanted = {i: memoryview(bytearray(size)) for i in lost}
        codec.decode(scheme, present, wanted, using=engine)
        assert all(wanted[i] == shards[i] for i in lost)


def test_without_parity_there_is_nothing_to_fill() -> None:
    codec.encode(Scheme(8, 0), random_shards(8, 10), [])


@engines
def test_empty_shards_are_allowed(engine: Engine) -> None:
    codec.encode(FOUR_TWO, [b""] * 4, [bytearray(), bytearray()], using=engine)
    present = {0: b"", 1: b"", 2: b"", 4: b""}
    codec.decode(FOUR_TWO, present, {3: memoryview(bytearray())}, using=engine)


@engines
def test_every_kind_of_buffer_is_taken_in_place(engine: Engine) -> None:
    data = random_shards(4, 640)
    kinds = [
        data[0],
        bytearray(data[1]),
        memoryview(data[2]).cast("B", (10, 64)),
        np.frombuffer(data[3], np.uint8),
    ]
    array = np.zeros(640, np.uint8)
    backing = bytearray(700)
    codec.encode(FOUR_TWO, kinds, [array, memoryview(backing)[7:647]], using=engine)
    assert [array.tobytes(), bytes(backing[7:647])] == oracle_parity(FOUR_TWO, data)
    assert not any(backing[:7])
    assert not any(backing[647:])


def test_the_same_source_may_stand_for_several_shards() -> None:
    zeros, data = bytes(50), random_shards(1, 50)[0]
    shards = _encoded(FOUR_TWO, [data, zeros, zeros, zeros])
    assert shards[4:] == oracle_parity(FOUR_TWO, [data, zeros, zeros, zeros])


@engines
def test_an_inverse_is_made_once_for_a_loss_pattern(engine: Engine) -> None:
    shards = _encoded(FOUR_TWO, random_shards(4, 64), engine)
    codec._decoder.cache_clear()
    for lost in ((0, 5), (5, 0), (0, 5), (0, 4)):
        present = {i: shards[i] for i in range(6) if i not in lost}
        codec.decode(FOUR_TWO, present, {i: bytearray(64) for i in lost}, using=engine)
    assert codec._decoder.cache_info().misses == 2
    assert codec._decoder.cache_info().maxsize is not None


@engines
def test_threads_do_not_disturb_each_other(engine: Engine) -> None:
    packs = [random_shards(4, 70_000, seed) for seed in range(12)]
    expected = [_encoded(FOUR_TWO, pack, engine) for pack in packs]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda pack: _encoded(FOUR_TWO, pack, engine), packs)) == expected


def test_data_shards_are_preferred() -> None:
    shards = _encoded(FOUR_TWO, random_shards(4, 64))
    present = {**dict(enumerate(shards[:4])), 5: bytes(64)}
    wanted = {4: memoryview(bytearray(64))}
    codec.decode(FOUR_TWO, present, wanted)
    assert wanted[4] == shards[4]


@pytest.mark.parametrize("there", [(), (0, 1, 2), (1, 4, 5)])
def test_too_few_shards_is_data_lost(there: tuple[int, ...]) -> None:
    present = {i: bytes(8) for i in there}
    with pytest.raises(DataLostError, match=rf"4\+2: {len(there)} of 6 shards are there, 4 are"):
        codec.decode(FOUR_TWO, present, {3: memoryview(bytearray(8))})


def test_nothing_wanted_needs_nothing() -> None:
    codec.decode(FOUR_TWO, {}, {})


@pytest.mark.parametrize(("k", "m"), [(3, 2), (5, 2), (4, 1), (4, 3), (0, 2)])
def test_encode_refuses_a_wrong_number_of_buffers(k: int, m: int) -> None:
    with pytest.raises(ValueError, match=r"4\+2 takes 4 data and 2 parity"):
        codec.encode(FOUR_TWO, [bytes(8)] * k, [bytearray(8) for _ in range(m)])


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        codec.encode(FOUR_TWO, [bytes(8)] * 3 + [bytes(7)], [bytearray(8), bytearray(8)])
    with pytest.raises(ValueError, match="differ in length"):
        codec.encode(FOUR_TWO, [bytes(8)] * 4, [bytearray(8), bytearray(9)])
    with pytest.raises(ValueError, match="differ in length"):
        codec.decode(FOUR_TWO, dict.fromkeys(range(4), bytes(8)), {4: memoryview(bytearray(0))})


def test_read_only_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="read-only"):
        codec.encode(FOUR_TWO, [bytes(8)] * 4, [bytearray(8), memoryview(bytes(8))])


def test_scattered_buffers_are_refused() -> None:
    scattered = memoryview(bytearray(16))[::2]
    with pytest.raises(ValueError, match="contiguous"):
        codec.encode(FOUR_TWO, [bytes(8)] * 4, [bytearray(8), scattered])
    with pytest.raises(ValueError, match="contiguous"):
        codec.encode(FOUR_TWO, [bytes(8)] * 3 + [scattered], [bytearray(8), bytearray(8)])


def test_targets_that_overlap_are_refused() -> None:
    whole = memoryview(bytearray(100))
    fine = bytearray(8)
    for first, second in ((0, 0), (0, 7), (20, 13)):
        pair = [whole[first : first + 8], whole[second : second + 8]]
        with pytest.raises(ValueError, match="overlaps"):
            codec.encode(FOUR_TWO, [bytes(8)] * 4, pair)
        with pytest.raises(ValueError, match="overlaps"):
            codec.encode(FOUR_TWO, [bytes(8)] * 3 + [pair[0]], [pair[1], fine])
    codec.encode(FOUR_TWO, [bytes(8)] * 4, [whole[0:8], whole[8:16]])


@pytest.mark.parametrize("index", [-1, 6])
def test_indexes_outside_the_scheme_are_refused(index: int) -> None:
    four = dict.fromkeys(range(4), bytes(8))
    with pytest.raises(ValueError, match=f"shards 0 to 5, not {index}"):
        codec.decode(FOUR_TWO, four, {index: memoryview(bytearray(8))})
    with pytest.raises(ValueError, match=f"shards 0 to 5, not {index}"):
        codec.decode(FOUR_TWO, {**four, index: bytes(8)}, {4: memoryview(bytearray(8))})


def test_a_shard_both_present_and_wanted_is_refused() -> None:
    with pytest.raises(ValueError, match="shard 2 is given both"):
        codec.decode(FOUR_TWO, dict.fromkeys(range(4), bytes(8)), {2: memoryview(bytearray(8))})
