"""What `backend ls` tells of each backend: its state, what it holds, its space and how it answers.

All are asked at once, and one that hangs holds the answer up for some seconds only.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import trio

from ..backends.base import Usage
from ..errors import BackendError
from ..ids import BackendId
from .lease.home import home_of
from .packs.members import Member, Members
from .storestats import BackendStatus

DEADLINE: Final = 2.0
"""Seconds in which a backend has to tell its space; it is unknown of one that takes longer."""


async def ask_backends(
    members: Members, counts: Mapping[BackendId, tuple[int, int]]
) -> list[BackendStatus]:
    """Every backend as it is now; `counts` has the shards on each, and the bytes they take."""
    usages: dict[BackendId, Usage] = {}

    async def ask(member: Member) -> None:
        with trio.move_on_after(DEADLINE):
            try:
                usages[member.id] = await member.backend.usage()
            except BackendError as error:
                members.note_failure(member, error)

    async with trio.open_nursery() as nursery:
        for member in members.up():
            nursery.start_soon(ask, member)
    unknown, home = Usage(None, None), home_of(members)
    return [
        replace(
            _status(member, usages.get(member.id, unknown), counts.get(member.id, (0, 0))),
            ref_home=member is home,
        )
        for member in members
    ]


def _status(member: Member, usage: Usage, counted: tuple[int, int]) -> BackendStatus:
    (shards, used), capacity = counted, member.capacity
    free, total = usage.free, usage.total
    if capacity is not None:
        left = max(0, capacity - used)
        free = left if free is None else min(free, left)
        total = capacity if total is None else min(total, capacity)
    return BackendStatus(
        member.name,
        member.backend.properties.url,
        member.domain,
        not member.down,
        member.health.reason,
        free,
        total,
        shards,
        used,
        capacity,
        member.state.value,
        member.since,
        member.answered,
        member.errors,
        str(member.backend.properties.rate or ""),
    )
