"""How much data a store has room for: the space of its backends, less what parity takes.

Backends on one disk share its space: those of one domain that tell the same total count once.
"""

from dataclasses import dataclass
from typing import Final

import trio

from ..backends.base import Usage
from ..erasure.scheme import Scheme
from ..errors import BackendError
from .members import Member, Members

DEADLINE: Final = 2.0
"""Seconds in which backends have to tell their space; who takes longer does not count."""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of data, without parity, that fit into a store in all, and besides what is there."""

    total: int
    free: int


async def room_of(members: Members, scheme: Scheme) -> Room | None:
    """The room of the backends that are up, for packs of `scheme`; None where none tells."""
    found: dict[tuple[str, int], int] = {}

    async def ask(member: Member) -> None:
        try:
            usage = await member.backend.usage()
        except BackendError as error:
            members.note_failure(member, error)
        else:
            _count(found, member.domain, usage)

    with trio.move_on_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            for member in members.up():
                nursery.start_soon(ask, member)
    if not found:
        return None
    total = sum(total for _, total in found)
    return Room(total * scheme.k // scheme.n, sum(found.values()) * scheme.k // scheme.n)


def _count(found: dict[tuple[str, int], int], domain: str, usage: Usage) -> None:
    if usage.total is not None and usage.free is not None:
        disk = (domain, usage.total)
        found[disk] = max(found.get(disk, 0), usage.free)
