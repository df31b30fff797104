"""How much data a store has room for: the space of its backends, less what parity takes.

Backends on one disk share its space, which counts once.
"""

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

    async def ask(member: Member) -> None:
        try:
            usage = await member.backend.usage()
        except BackendError as error:
            members.note_failure(member, error)
        else:
            if usage.total is not None and usage.free is not None:
                found[usage.space or f"backend:{member.name}"] = usage.total, usage.free

    with trio.move_on_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            for member in members.up():
                nursery.start_soon(ask, member)
    if not found:
        return None
    total, free = (sum(column) for column in zip(*found.values(), strict=True))
    return Room(total * scheme.k // scheme.n, free * scheme.k // scheme.n)
