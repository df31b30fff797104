"""Sealed packs out to the backends: placed, put, placed elsewhere where a backend refuses.

A pack counts as stored when min(k+1, k+m) of its shards are durable. One that cannot be leaves
nothing behind, as far as its backends can still be asked.

Concurrency: all shards of a pack are in flight at once; places change between awaits only.
"""

import logging
from collections.abc import Callable
from typing import Final

import trio

from ...backends.base import Buffer
from ...backends.keys import shard_key
from ...backends.retry import RetryBackend
from ...errors import BackendError, UnavailableError
from ...ids import BackendId, Key
from ..formats.journal import NOWHERE, PackStored
from .builder import SealedPack
from .members import Member, Members
from .placement import Crowding, crowding, limits, place

CLEANUP: Final = 10.0
"""Seconds that removing the shards of a pack that could not be stored may take."""

log = logging.getLogger(__name__)


class PackStorer:
    """Stores packs over the store's members; says once what keeps them from their places."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._warned: set[str] = set()

    async def store(self, pack: SealedPack) -> PackStored:
        """Make all shards of a pack durable, and say where they are.

        A shard that no backend takes stays missing as long as min(k+1, k+m) others are durable;
        below that what a backend said. UnavailableError, before anything is written, where the
        backends that are up would have to hold more of a pack on one of them than parity replaces.
        """
        info = pack.info
        places = self._places(info.pack, info.m, len(pack.payloads))
        locations = await _Storing(self._members, pack, places, self._warn).run()
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

    def _places(self, seed: bytes, m: int, count: int) -> list[BackendId]:
        everyone = [member.candidate for member in self._members]
        up = {member.id: member.candidate for member in self._members.up()}
        if not up:
            raise UnavailableError("no backend is up: nothing can be stored; see `backend ls`")
        most = limits(m, count, everyone)
        places = place(seed, list(up.values()), count, most=most)
        if len(places) < count:
            # Domains give way first: with a host down its shards may lie on another one.
            places = place(seed, list(up.values()), count, most=Crowding(most.backend, count))
        down = ", ".join(sorted(member.name for member in self._members.down()))
        if len(places) < count:
            raise UnavailableError(
                f"with {down} down, {count} shards of a pack do not fit on the others with at most "
                f"{most.backend} on each; bring one back, or take it off the list with "
                "`modelfloat backend rm`"
            )
        best = {candidate.id: candidate for candidate in everyone}
        whole = crowding(best[id_] for id_ in place(seed, everyone, count, most=most))
        if down and crowding(up[id_] for id_ in places).exceeds(whole):
            self._warn(
                f"with {down} down, what is stored now lies on fewer backends and survives less"
            )
        return places

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
        warn: Callable[[str], None],
    ) -> None:
        self._members = members
        self._pack = pack
        self._places = places
        self._warn = warn
        self._most = limits(pack.info.m, len(places), [member.candidate for member in members])
        self._refused: set[BackendId] = set()
        self._begun: list[tuple[Member, Key]] = []
        self._failures: list[BackendError] = []

    async def run(self) -> list[BackendId]:
        """Where the shards are, NOWHERE for those that no backend took."""
        info = self._pack.info
        stored = False
        try:
            async with trio.open_nursery() as nursery:
                for index in range(len(self._places)):
                    nursery.start_soon(self._put, index)
            durable = sum(where != NOWHERE for where in self._places)
            stored = durable >= min(info.k + 1, info.k + info.m)
            if not stored:
                raise self._failures[0]
        finally:
            if not stored and (self._failures or _is_cancelled()):
                await self._discard()
        missing = len(self._places) - durable
        if missing:
            log.warning(
                "pack %s is stored without %d of its shards: %s",
                info.pack.hex(),
                missing,
                self._failures[-1],
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
                try:
                    self._begun.append((member, key))
                    await RetryBackend(member.backend).put(key, parts)
                except BackendError as error:
                    self._members.note_failure(member, error)
                    self._failures.append(error)
                    if not member.down:
                        self._warn(
                            f"backend {member.name} refuses shards: they go to others where those "
                            "have room; see `modelfloat backend ls`"
                        )
                else:
                    return
            self._refused.add(self._places[index])
            self._places[index] = self._elsewhere(index)

    def _elsewhere(self, index: int) -> BackendId:
        others = [self._members.get(id_) for i, id_ in enumerate(self._places) if i != index]
        taken = [member.candidate for member in others if member is not None]
        free = [m.candidate for m in self._members.up() if m.id not in self._refused]
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


def _is_cancelled() -> bool:
    return trio.current_effective_deadline() == float("-inf")
