"""Sealed packs out to the backends: placed, put, placed elsewhere where a backend refuses.

A pack counts as stored when k of its shards are durable and as many more as the caller wants, one
unless it says otherwise; those that are missing are made later, by `verify --repair` and by the
next add. One that cannot be stored leaves nothing behind, as far as its backends can still be
asked.

Concurrency: all shards of a pack are in flight at once; places change between awaits only.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from ...backends.base import Buffer
from ...backends.keys import shard_key
from ...backends.retry import RetryBackend
from ...errors import BackendError, DeniedError, QuotaError, TimedOutError, UnavailableError
from ...ids import BackendId, Key
from ..formats.journal import NOWHERE, PackStored
from .builder import SealedPack
from .evenness import Evenness
from .health import Event, State, Taking
from .members import Member, Members
from .placement import Candidate, Crowding, crowding, limits, place

SPARE: Final = 1
"""Shards more than k that must be durable where nobody says how many."""
PATIENCE: Final = 20.0
"""Seconds after which the backend that a put waits for is looked at,"""
SURE: Final = 5.0
"""and seconds after which it is once more before it is given up."""
CLEANUP: Final = 10.0
"""Seconds that removing the shards of a pack that could not be stored may take."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """A put on its way, begun at `began` by the event loop's clock."""

    member: Member
    began: float
    scope: trio.CancelScope


class PackStorer:
    """Stores packs over the store's members; says once what keeps them from their places."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._warned: set[str] = set()
        self._even = Evenness()

    async def store(self, pack: SealedPack, spare: int = SPARE) -> PackStored:
        """Make all shards of a pack durable, and say where they are.

        A shard that no backend takes stays missing as long as k + min(spare, m) others are
        durable; below that what a backend said. UnavailableError, QuotaError or DeniedError, before
        anything is written, where those that are up and have room would have to hold more of a
        pack on one of them than parity replaces.
        """
        info = pack.info
        needed = info.k + min(spare, info.m)
        places = await self._places(pack, needed)
        locations = await _Storing(self._members, pack, places, needed, self._warn).run()
        return PackStored(
            info.pack,
            info.k,
            info.m,
            info.kind,
            info.length,
            info.shard,
            tuple(locations),
            info.chunks,
        )

    async def _places(self, pack: SealedPack, needed: int) -> list[BackendId]:
        """A place for each shard, NOWHERE for those that may be missing and find none."""
        seed, m, count = pack.info.pack, pack.info.m, pack.info.k + pack.info.m
        everyone = [member.candidate for member in self._members.wanted()]
        if not self._members.up():
            raise UnavailableError(
                f"no backend is up ({self._members.why_none()}): nothing can be stored; see "
                "`backend ls`"
            )
        most = limits(m, count, everyone)
        taking, places = self._choose(pack, most)
        if len(places) < needed and await self._ask_again():
            taking, places = self._choose(pack, most)
        if len(places) < needed:
            raise self._no_room(taking, needed, most.backend)
        best = {candidate.id: candidate for candidate in everyone}
        whole = crowding(best[id_] for id_ in place(seed, everyone, count, most=most))
        left_out = self._left_out(taking)
        if left_out and crowding(taking[id_] for id_ in places).exceeds(whole):
            self._warn(
                f"with {left_out}, what is stored now lies on fewer backends and survives less"
            )
        dealt = self._even.deal(places, pack.info.k) if pack.info.k > 1 else places
        return [*dealt, *[NOWHERE] * (count - len(places))]

    async def _ask_again(self) -> bool:
        """Whether one that was down is up again, or one that was full may have room now."""
        return any([await self._members.look_again(), await self._members.ask_for_room()])

    def _choose(
        self, pack: SealedPack, most: Crowding
    ) -> tuple[dict[BackendId, Candidate], list[BackendId]]:
        """The members that may take shards, and places on them for as many as there are."""
        size, count = _shard_size(pack), pack.info.k + pack.info.m
        taking = {member.id: member for member in self._members.taking(size)}
        while True:
            candidates = {id_: member.candidate for id_, member in taking.items()}
            places = place(pack.info.pack, list(candidates.values()), count, most=most)
            if len(places) < count:
                # Domains give way first: with a host down its shards may lie on another one.
                loose = Crowding(most.backend, count)
                places = place(pack.info.pack, list(candidates.values()), count, most=loose)
            shards = Counter(places)
            small = [id_ for id_ in shards if not taking[id_].has_room(shards[id_] * size)]
            if not small:
                return candidates, places
            for id_ in small:
                del taking[id_]

    def _left_out(self, taking: Collection[BackendId]) -> str:
        """Which members get no shard, and why: `d0, d1 down and d4 full`."""
        names: dict[State, list[str]] = {}
        for member in self._members:
            if member.id not in taking:
                # One that is up, and gets none, has no room for it, or for none so large.
                full = member.state in (State.UP, State.SUSPECT)
                names.setdefault(State.FULL if full else member.state, []).append(member.name)
        groups = [f"{', '.join(sorted(names[why]))} {why}" for why in sorted(names)]
        return " and ".join(groups)

    def _no_room(self, taking: Collection[BackendId], needed: int, most: int) -> BackendError:
        left_out = self._left_out(taking)
        full = any(member.health.taking is Taking.FULL for member in self._members)
        if not (taking or full or self._members.down()):
            return DeniedError(
                f"no backend takes new shards ({self._members.why_none()}): nothing can be stored; "
                "add one that does, or see `backend ls`"
            )
        if not self._members.down():
            return QuotaError(
                f"with {left_out}, {needed} shards of a pack do not fit on the others with at most "
                f"{most} on each; add a backend, or give one more capacity"
            )
        return UnavailableError(
            f"with {left_out}, {needed} shards of a pack do not fit on the others with at most "
            f"{most} on each; bring one back, or take it off the list with `modelfloat backend rm`"
        )

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            log.warning("%s", message)


class _Storing:
    """One pack on its way. `places` holds for each shard where it is, or is going."""

    def __init__(
        self,
        members: Members,
        pack: SealedPack,
        places: list[BackendId],
        needed: int,
        warn: Callable[[str], None],
    ) -> None:
        self._members = members
        self._pack = pack
        self._places = places
        self._needed = needed
        self._warn = warn
        self._most = limits(
            pack.info.m, len(places), [member.candidate for member in members.wanted()]
        )
        self._refused: set[BackendId] = set()
        self._begun: list[tuple[Member, Key]] = []
        self._failures: list[BackendError] = []
        self._sent: dict[int, _Sent] = {}

    async def run(self) -> list[BackendId]:
        """Where the shards are, NOWHERE for those that no backend took."""
        info = self._pack.info
        stored = False
        try:
            async with trio.open_nursery() as watching:
                watching.start_soon(self._watch)
                async with trio.open_nursery() as nursery:
                    for index in range(len(self._places)):
                        nursery.start_soon(self._put, index)
                watching.cancel_scope.cancel()
            durable = sum(where != NOWHERE for where in self._places)
            stored = durable >= self._needed
            if not stored:
                raise self._failures[0]
        finally:
            if not stored and (self._failures or _is_cancelled()):
                await self._discard()
        missing = len(self._places) - durable
        if missing:
            why = self._failures[-1] if self._failures else "no backend may take them"
            log.warning(
                "pack %s is stored without %d of its shards: %s", info.pack.hex(), missing, why
            )
        return self._places

    async def _put(self, index: int) -> None:
        """Put one shard to its place, or to the next one that takes it."""
        info = self._pack.info
        key = shard_key(info.pack, index, info.k, info.m)
        parts: list[Buffer] = [self._pack.payloads[index], self._pack.tails[index]]
        while self._places[index] != NOWHERE:
            member = self._members.get(self._places[index])
            if member is not None:
                size = sum(map(len, parts))
                member.used += size
                try:
                    self._begun.append((member, key))
                    await self._send(index, member, key, parts)
                except BackendError as error:
                    member.used -= size
                    self._members.note_failure(member, error, writing=True)
                    self._failures.append(error)
                    if member.health.takes_shards:
                        self._warn(
                            f"backend {member.name} refuses shards: they go to others where those "
                            "have room; see `modelfloat backend ls`"
                        )
                else:
                    if member.health.failures:
                        self._members.hear(member, Event.STORED)
                    return
            self._refused.add(self._places[index])
            self._places[index] = self._elsewhere(index)

    async def _send(self, index: int, member: Member, key: Key, parts: Sequence[Buffer]) -> None:
        """Put a shard; TimedOutError where nobody waits for it any more."""
        began = trio.current_time()
        with trio.CancelScope() as scope:
            self._sent[index] = _Sent(member, began, scope)
            try:
                await RetryBackend(member.backend).put(key, parts)
            finally:
                del self._sent[index]
        if scope.cancelled_caught:
            seconds = trio.current_time() - began
            raise TimedOutError(
                f"backend {member.name}: put {key} took longer than {seconds:.0f} s; check the "
                "disk or its connection",
                backend=member.name,
                key=key,
            )

    async def _watch(self) -> None:
        """Give up puts to backends that do not answer: a call of many bytes may take minutes."""
        while True:
            await trio.sleep(PATIENCE)
            late = await self._late()
            if late:
                await trio.sleep(SURE)
                for sent in await self._late():
                    if sent in late:
                        sent.scope.cancel()

    async def _late(self) -> list[_Sent]:
        """Puts that take long, to backends that a look finds down."""
        latest = trio.current_time() - PATIENCE
        late = [sent for sent in self._sent.values() if sent.began <= latest]
        async with trio.open_nursery() as nursery:
            for id_ in {sent.member.id for sent in late}:
                nursery.start_soon(self._look, id_)
        return [sent for sent in late if sent.member.down]

    async def _look(self, id_: BackendId) -> None:
        member = self._members.get(id_)
        if member is not None:
            await self._members.look_at(member)

    def _elsewhere(self, index: int) -> BackendId:
        others = [self._members.get(id_) for i, id_ in enumerate(self._places) if i != index]
        taken = [member.candidate for member in others if member is not None]
        size = len(self._pack.payloads[index]) + len(self._pack.tails[index])
        free = [m.candidate for m in self._members.taking(size) if m.id not in self._refused]
        found = place(self._pack.info.pack, free, 1, taken, self._most)
        return found[0] if found else NOWHERE

    async def _discard(self) -> None:
        """Remove what was written, best effort: nothing will ever name it."""

        async def delete(member: Member, key: Key) -> None:
            try:
                await member.backend.delete(key)
            except BackendError as error:
                log.info("%s; its shard stays behind", error)

        with trio.move_on_after(CLEANUP, shield=True):
            async with trio.open_nursery() as nursery:
                for member, key in self._begun:
                    if not member.down:
                        nursery.start_soon(delete, member, key)


def _shard_size(pack: SealedPack) -> int:
    """Bytes of the pack's longest shard."""
    return max(len(p) + len(t) for p, t in zip(pack.payloads, pack.tails, strict=True))


def _is_cancelled() -> bool:
    return trio.current_effective_deadline() == float("-inf")
