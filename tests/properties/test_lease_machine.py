"""Leases under random delays, pauses, wrong clocks and deaths: never two holders at a time."""

import random
from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.lease.lease import MARGIN, TERM, Lease, Leases
from modelfloat.errors import LeaseLostError
from modelfloat.ids import SiteId
from modelfloat.tests.support.samples import STORE
from modelfloat.tests.support.sluggish import SluggishBackend


@dataclass(slots=True)
class World:
    """Who believes to have the lease; whoever does so beside another has broken it."""

    holders: dict[int, Lease] = field(default_factory=dict)
    steps: int = 0

    def step(self, site: int) -> None:
        """One destructive step of `site`, whose lease is good."""
        self.steps += 1
        for other, lease in self.holders.items():
            if other != site:
                with pytest.raises(LeaseLostError):
                    lease.require()


@settings(max_examples=settings.default.max_examples // 10)  # type: ignore[union-attr]
@given(
    st.integers(0, 1 << 32),
    st.lists(
        st.tuples(
            st.floats(0, 2 * TERM),  # how late its backend is
            st.floats(-6e4, 6e4),  # how far its wall clock is ahead
            st.floats(0.9, 1.1),  # how fast its own clock runs
        ),
        min_size=2,
        max_size=4,
    ),
)
def test_never_two_holders(seed: int, sites: list[tuple[float, float, float]]) -> None:
    async def main() -> None:
        home, world = MemoryBackend("home"), World()
        await trio.sleep(8e4)
        with trio.move_on_after(20 * (TERM + MARGIN)):
            async with trio.open_nursery() as nursery:
                for number, (slow, skew, rate) in enumerate(sites):
                    backend = SluggishBackend(home, slow, skew, seed + number)
                    nursery.start_soon(_site, world, backend, number, rate, seed)

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def _site(
    world: World, backend: SluggishBackend, number: int, rate: float, seed: int
) -> None:
    chance = random.Random(seed * 7 + number)
    site = SiteId(bytes([number + 1]) * 16)
    leases = Leases(backend, STORE, site, "store", lambda: trio.current_time() * rate + number)
    while True:
        life = chance.uniform(0, 8 * TERM)  # then it dies, and nobody cleans up behind it
        with trio.move_on_after(life):
            await _work(world, leases, number, chance)
        world.holders.pop(number, None)
        await trio.sleep(chance.uniform(0, TERM))


async def _work(world: World, leases: Leases, number: int, chance: random.Random) -> None:
    while True:
        lease = await leases._acquire(wait=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lease.keep)
            world.holders[number] = lease
            try:
                for _ in range(chance.randrange(10)):
                    lease.require()
                    world.step(number)
                    await trio.sleep(chance.choice((0.1, 1, TERM / 3, TERM)))
            except LeaseLostError:
                pass
            nursery.cancel_scope.cancel()
        del world.holders[number]
        await lease.give_back()
        await trio.sleep(chance.uniform(0, TERM))
