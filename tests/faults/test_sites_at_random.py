"""Two sites at random: adds, reads, removals and collections side by side, late, with wrong clocks,
given up in between. What was added is there until it is removed, and garbage goes."""

import contextlib
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from modelfloat.cas.gc import elsewhere, merging, others
from modelfloat.cas.lease import lease
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import ConflictError, DamageError, NotFoundError
from modelfloat.opening import open_store
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.sluggish import SluggishBackend
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

CONTENTS = 3
"""Files that differ; repositories of one of them share its chunks."""


@dataclass(slots=True)
class Expected:
    """Repositories by number: those that must be there, and those of which nothing is known."""

    there: set[int] = field(default_factory=set)
    unsure: set[int] = field(default_factory=set)
    made: int = 0


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lease, others):
        monkeypatch.setattr(module, "POLL", 0.01)
    # Garbage goes beside whoever is at work, and packs are copied for little.
    monkeypatch.setattr(elsewhere, "AT_ONCE", 0)
    monkeypatch.setattr(merging, "MANY", 2)


SEEDS = [1, 2, *(pytest.param(number, marks=pytest.mark.slow) for number in range(3, 20))]


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost_between_two_sites(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance, expected = random.Random(seed), Expected()
    files = [weights(tmp_path / f"f{n}", 400_000, f"f{n}") for n in range(CONTENTS)]
    async with fresh_store(tmp_path / "s", "2+1") as here:
        other = await another_site(tmp_path / "s", tmp_path / "other")
        async with open_store(str(other)) as there:
            sites = (here, there)
            for number, store in enumerate(sites):
                for member in store.members:
                    skew = chance.uniform(-5e4, 5e4)
                    member.backend = SluggishBackend(member.backend, 0.02, skew, seed + number)
            for _ in range(6):
                async with trio.open_nursery() as nursery:
                    for store in sites:
                        nursery.start_soon(act, store, tmp_path, expected, chance)
    await settle(tmp_path, expected, files)


async def act(store: Store, tmp_path: Path, expected: Expected, chance: random.Random) -> None:
    """Do one thing at a site; one in four is given up on the way."""
    what = chance.choice(("add", "add", "remove", "gc", "gc", "read", "read"))
    patience = chance.uniform(0.05, 0.5) if chance.random() < 0.25 else 100.0
    with trio.move_on_after(patience), contextlib.suppress(NotFoundError, ConflictError):
        if what == "add":
            expected.made += 1
            number = expected.made
            expected.unsure.add(number)
            await add(store, tmp_path / f"f{number % CONTENTS}", f"acme/r{number}")
            expected.unsure.discard(number)
            expected.there.add(number)
        elif what == "remove" and expected.there:
            number = chance.choice(sorted(expected.there))
            expected.there.discard(number)
            expected.unsure.add(number)
            await store.remove(parse_address(f"acme/r{number}"))
        elif what == "read" and expected.there:
            await look_at(store, chance.choice(sorted(expected.there)), tmp_path, expected)
        elif what == "gc":
            await store.gc(grace=0)


async def look_at(store: Store, number: int, tmp_path: Path, expected: Expected) -> None:
    """Read what is there, by an index that may be behind. A removal meanwhile may take it."""
    name = f"f{number % CONTENTS}"
    wanted = await trio.Path(tmp_path / name).read_bytes()
    try:
        assert await read(store, f"acme/r{number}/{name}") == wanted
    except DamageError:
        if number in expected.there:
            raise


async def settle(tmp_path: Path, expected: Expected, files: list[bytes]) -> None:
    """Everything that must be there is, at both sites, and what is not reached is gone."""
    for path in (tmp_path / "s", tmp_path / "other"):
        async with open_store(str(path)) as store:
            async with store.access.writing("a test") as journal:
                await journal.take_over()
            for number in expected.there:
                content = await read(store, f"acme/r{number}/f{number % CONTENTS}")
                assert content == files[number % CONTENTS]
            await store.gc(grace=0)
            report = await store.verify()
            assert (report.exit_status, report.problems) == (0, [])
            for number in expected.unsure:
                with contextlib.suppress(NotFoundError):
                    await read(store, f"acme/r{number}/f{number % CONTENTS}")
    async with open_store(str(tmp_path / "s")) as store:
        for number in expected.there | expected.unsure:
            with contextlib.suppress(NotFoundError):
                await store.remove(parse_address(f"acme/r{number}"))
        await store.gc(grace=0)
        assert shard_files(tmp_path / "s") == []
