"""Any bytes, any small scheme, any m backends lost: what was added is what is read."""

import random
import shutil
import tempfile
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.opening import open_store
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read

EDGES = [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (4 << 20) + 1]
SIZES = st.one_of(st.sampled_from(EDGES), st.integers(0, 3_000_000))


@settings(max_examples=25)
@given(
    sizes=st.lists(SIZES, min_size=1, max_size=4),
    repeated=st.integers(0, 3),
    k=st.integers(1, 5),
    m=st.integers(0, 3),
    seed=st.integers(0, 1 << 30),
)
def test_what_was_added_is_what_is_read(
    sizes: list[int], repeated: int, k: int, m: int, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        trio.run(_round_trip, Path(name), sizes, repeated, f"{k}+{m}", seed)


async def _round_trip(
    folder: Path, sizes: list[int], repeated: int, scheme: str, seed: int
) -> None:
    source = folder / "source"
    source.mkdir()
    for number, size in enumerate(sizes):
        # Compressible, random and repeated stretches in one file.
        data = noise(f"{seed} {number}", size - size // 3) + bytes(size // 3)
        (source / str(number)).write_bytes(data * (1 + repeated % 2))
    async with fresh_store(folder / "store", scheme) as store:
        await add(store, source)
        members = [member.name for member in store.members]
    chance = random.Random(seed)
    for name in chance.sample(members, int(scheme.partition("+")[2])):
        shutil.rmtree(folder / "store" / "backends" / name)
    async with open_store(str(folder / "store")) as store:
        for path in source.iterdir():
            assert await read(store, f"acme/model/{path.name}") == path.read_bytes()
