"""How much data a store has room for: the space of its backends, less what parity takes.

Backends on one disk share its space, which counts once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio

from ..erasure.scheme import Scheme
from ..errors import BackendError
from .packs.members import Member, Members

DEADLINE: Final = 2.0
"""Seconds in which backends have to tell their space; who takes longer does not count."""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of data, without parity, that fit into a store in all, and besides what is there."""

    total: int
    free: int


async def room_of(members: Members, scheme: Scheme) -> Room | None:
    """The room of the backends that are up, for packs of `scheme`; None where none tells."""
    found: dict[str, tuple[int, int]] = {}
    limits: dict[str, list[tuple[int, int] | None]] = {}

    async def ask(member: Member) -> None:
        try:
            usage = await member.backend.usage()
        except BackendError as error:
            members.note_failure(member, error)
        else:
            space, own = usage.space or f"backend:{member.name}", None
            if member.capacity is not None and member.left is not None:
                own = member.capacity, member.left
            if member.health.decided is not None:
                if own is None and (usage.total is None or usage.free is None):
                    return
                own = _as_it_is(own or (usage.total or 0, usage.free or 0))
            limits.setdefault(space, []).append(own)
            if usage.total is not None and usage.free is not None:
                found[space] = usage.total, usage.free

    with trio.move_on_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            for member in members.up():
                nursery.start_soon(ask, member)
    spaces = {*found, *(space for space, own in limits.items() if None not in own)}
    if not spaces:
        return None
    least = [_least(found.get(space), limits.get(space, [])) for space in spaces]
    total, free = (sum(column) for column in zip(*least, strict=True))
    return Room(total * scheme.k // scheme.n, free * scheme.k // scheme.n)


def _as_it_is(space: tuple[int, int]) -> tuple[int, int]:
    """The room of what gets nothing more, by its user's decision: what it holds now."""
    total, free = space
    return total - free, 0


def _least(
    space: tuple[int, int] | None, limits: Sequence[tuple[int, int] | None]
) -> tuple[int, int]:
    """Bytes in all and free of what backends share: no more than their capacities together."""
    own = [limit for limit in limits if limit is not None]
    if len(own) < len(limits) or not own:
        return space or (0, 0)
    total, free = (sum(column) for column in zip(*own, strict=True))
    return (total, free) if space is None else (min(total, space[0]), min(free, space[1]))
