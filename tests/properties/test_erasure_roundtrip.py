"""Any bytes, any scheme, any losses parity can replace: what was there comes back."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.erasure import codec
from modelfloat.erasure.engine import Engine
from modelfloat.erasure.scheme import LARGEST_K, LARGEST_M, Scheme
from modelfloat.errors import DataLostError
from modelfloat.tests.support.erasure_engines import engines, oracle_data, oracle_parity


class Case(NamedTuple):
    scheme: Scheme
    data: list[bytes]
    lost: frozenset[int]
    start: int
    stop: int


@st.composite
def cases(
    draw: st.DrawFn, smallest_k: int = 1, smallest_m: int = 0, largest_size: int = 96
) -> Case:
    scheme = Scheme(
        draw(st.integers(smallest_k, LARGEST_K)), draw(st.integers(smallest_m, LARGEST_M))
    )
    size = draw(st.integers(0, largest_size))
    run = draw(st.binary(min_size=scheme.k * size, max_size=scheme.k * size))
    data = [run[i * size : (i + 1) * size] for i in range(scheme.k)]
    lost = draw(st.frozensets(st.integers(0, scheme.n - 1), max_size=scheme.m))
    start, stop = sorted((draw(st.integers(0, size)), draw(st.integers(0, size))))
    return Case(scheme, data, lost, start, stop)


def _encoded(case: Case, engine: Engine) -> list[bytes]:
    parity = [bytearray(len(case.data[0])) for _ in range(case.scheme.m)]
    codec.encode(case.scheme, case.data, parity, using=engine)
    return [*case.data, *map(bytes, parity)]


@engines
@settings(deadline=None)
@given(case=cases())
def test_lost_shards_come_back(engine: Engine, case: Case) -> None:
    shards = _encoded(case, engine)
    present = {i: shard for i, shard in enumerate(shards) if i not in case.lost}
    wanted = {i: memoryview(bytearray(len(shards[0]))) for i in case.lost}
    codec.decode(case.scheme, present, wanted, using=engine)
    assert {i: bytes(view) for i, view in wanted.items()} == {i: shards[i] for i in case.lost}


@engines
@settings(deadline=None)
@given(case=cases())
def test_lost_ranges_come_back(engine: Engine, case: Case) -> None:
    shards = _encoded(case, engine)
    window = slice(case.start, case.stop)
    present = {i: memoryview(s)[window] for i, s in enumerate(shards) if i not in case.lost}
    wanted = {i: memoryview(bytearray(case.stop - case.start)) for i in case.lost}
    codec.decode(case.scheme, present, wanted, using=engine)
    assert all(bytes(view) == shards[i][window] for i, view in wanted.items())


@engines
@settings(deadline=None, max_examples=50)
@given(case=cases(smallest_k=2, smallest_m=1, largest_size=8))
def test_parity_and_decoding_are_those_of_reedsolo(engine: Engine, case: Case) -> None:
    size = len(case.data[0])
    shards = _encoded(case, engine)
    assert shards[case.scheme.k :] == oracle_parity(case.scheme, case.data)
    present = {i: shard for i, shard in enumerate(shards) if i not in case.lost}
    assert oracle_data(case.scheme, present, size) == case.data


@engines
@settings(deadline=None)
@given(case=cases(smallest_m=1), data=st.data())
def test_one_loss_too_many_is_data_lost(engine: Engine, case: Case, data: st.DataObject) -> None:
    count = case.scheme.m + 1
    everything = st.integers(0, case.scheme.n - 1)
    lost = data.draw(st.frozensets(everything, min_size=count, max_size=count))
    shards = _encoded(case, engine)
    present = {i: shard for i, shard in enumerate(shards) if i not in lost}
    wanted = {i: memoryview(bytearray(len(shards[0]))) for i in lost}
    with pytest.raises(DataLostError):
        codec.decode(case.scheme, present, wanted, using=engine)
