"""Before an add: will it fit? And without adding: what would it do?

An add that fits even if all of it is new and no codec saves a byte is not looked at closer.
Otherwise what is known to be stored is taken off, holes are, and what codecs save of a sample; if
it still does not fit it ends here, in one line.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Final

import trio
import trio.from_thread

from ...errors import BackendError, QuotaError
from ..capacity import count_use
from ..codecs.effort import Effort
from ..formats.journal import RefKind
from ..progress import Progress
from .committing import branch_of, check_names
from .estimate import Load, Room, fits, stored_size
from .report import AddPlan, AddReport
from .request import AddRequest, Reading
from .sampling import Weighed, sample
from .scan import Item
from .staged import Leaf
from .staging import Staging
from .trees import merge
from .unchanged import Unchanged

BATCH: Final = 1024
SPARSE: Final = 16 << 20
"""Files from this size on are asked how much of them is holes."""
_UNITS: Final = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a load goes with what is free, in bytes; `free` None: there is no limit."""

    needed: int
    free: int | None
    index_needed: int
    index_free: int
    problem: str


async def check_room(
    reading: Reading, request: AddRequest, staging: Staging, unchanged: Unchanged, most: Load
) -> None:
    """QuotaError where what is staged, `most` if all of it is new, is not going to fit."""
    if not (await look(reading, most)).problem:
        return
    fresh = partial(_fresh, staging, unchanged)
    load = await trio.to_thread.run_sync(_load, fresh, most.files, request.effort)
    outlook = await look(reading, load)
    if outlook.problem:
        raise QuotaError(outlook.problem)


async def plan(reading: Reading, request: AddRequest) -> AddPlan:
    """What an add of that request would do; nothing is changed and no lock is taken."""
    report, progress = AddReport(request.address.repo, branch_of(request)), Progress()
    staging = Staging(reading, request, report.branch)
    await trio.to_thread.run_sync(check_names, reading.refs, request)
    await trio.to_thread.run_sync(staging.scan, report, progress)
    made = AddPlan(report.repo, report.branch, progress.files, progress.total)
    made.skipped, made.warnings = report.skipped, report.warnings
    made.left_out = report.left_out
    unchanged = Unchanged(reading, request)
    await trio.to_thread.run_sync(_find_unchanged, staging, unchanged, made)
    await trio.to_thread.run_sync(_find_removals, reading, staging, made)
    files = made.files - made.unchanged_files
    unread = partial(_unread, staging)
    load = await trio.to_thread.run_sync(_load, unread, files, request.effort)
    outlook = await look(reading, load)
    made.needed, made.free, made.problem = outlook.needed, outlook.free, outlook.problem
    made.index_needed, made.index_free = outlook.index_needed, outlook.index_free
    return made


async def look(reading: Reading, load: Load) -> Outlook:
    """How that load goes with the room that there is."""
    await count_use(reading.index, reading.pool.members)
    rooms = await _rooms(reading)
    index = await trio.to_thread.run_sync(os.statvfs, reading.path)
    device = (await trio.to_thread.run_sync(os.stat, reading.path)).st_dev
    index_free = index.f_bavail * index.f_frsize
    # The index takes its part of a filesystem that it shares with backends.
    rooms = [_less(room, load.index) if room.space == f"dev:{device:x}" else room for room in rooms]
    needed = stored_size(load, reading.scheme, reading.copies)
    everyone = list(reading.pool.members)
    free = _total(rooms)
    problem = ""
    # Where backends are missing rather than bytes, storing says so, and which.
    limits = [limit for room in rooms for limit in (room.free, room.left)]
    short = any(limit is not None and limit < needed for limit in limits)
    if short and not fits(needed, reading.scheme, rooms, [m.candidate for m in everyone]):
        problem = _too_much(needed, rooms, free)
    elif load.index > index_free:
        problem = (
            f"the index in {reading.path} needs about {about(load.index)}, {about(index_free)} are "
            "free there; free some space"
        )
    return Outlook(needed, free, load.index, index_free, problem)


async def _rooms(reading: Reading) -> list[Room]:
    """What every backend that takes shards has left."""
    rooms = []
    for member in reading.pool.members.taking():
        try:
            usage = await member.backend.usage()
        except BackendError as error:
            reading.pool.members.note_failure(member, error)
            continue
        space = usage.space or f"backend:{member.name}"
        rooms.append(Room(member.candidate, member.name, space, usage.free, member.left))
    return rooms


def _less(room: Room, size: int) -> Room:
    left = None if room.free is None else max(0, room.free - size)
    return replace(room, free=left)


def _total(rooms: Sequence[Room]) -> int | None:
    """Free bytes on all of them together, None where there is no limit."""
    total = 0
    for space in {room.space for room in rooms}:
        sharing = [room for room in rooms if room.space == space]
        known = [room.left for room in sharing if room.left is not None]
        limits = [sum(known)] if len(known) == len(sharing) else []
        limits += [sharing[0].free] if sharing[0].free is not None else []
        if not limits:
            return None
        total += min(limits)
    return total


def _limit(room: Room) -> int | None:
    """What one backend may take, None where there is no limit."""
    known = [limit for limit in (room.free, room.left) if limit is not None]
    return min(known, default=None)


def _too_much(needed: int, rooms: Sequence[Room], free: int | None) -> str:
    names = ", ".join(room.name for room in rooms) or "no backend"
    limits = [(limit, room.name) for room in rooms if (limit := _limit(room)) is not None]
    have = "" if free is None else f", {about(free)} are free"
    if limits and (free is None or free >= needed):
        least, name = min(limits)
        have += f", but only {about(least)} on {name}"
    return (
        f"this needs about {about(needed)} with parity on {names}{have}; free some space, add a "
        "backend, or begin anyway with --no-preflight"
    )


def about(size: int) -> str:
    """Bytes for people, to two digits or three: `120 GB`, `1.5 TB`."""
    for unit, name in _UNITS:
        if size >= unit:
            value = size / unit
            return f"{value:.0f} {name}" if value >= 9.5 else f"{value:.1f} {name}"
    return f"{size} B"


# In worker threads


def _batches(staging: Staging) -> Iterator[list[Leaf]]:
    leaves = staging.staged.files()
    while batch := list(islice(leaves, BATCH)):
        yield batch


def _load(files: Callable[[], Iterator[Weighed]], count: int, effort: Effort) -> Load:
    """What is to be stored of `count` files, as small as codecs are going to make it."""
    data = sum(size for _, size in files())
    found = sample(files, effort, trio.from_thread.check_cancelled)
    return Load(data, count, found.share, found.tables)


def _fresh(staging: Staging, unchanged: Unchanged) -> Iterator[Weighed]:
    """About how many bytes of each file are not stored yet and no holes."""
    for batch in _batches(staging):
        items = [leaf.item for leaf in batch]
        for item, stored in zip(items, unchanged.stored_bytes(items), strict=True):
            yield item, max(0, _dense(item) - stored)


def _unread(staging: Staging) -> Iterator[Weighed]:
    """The same of files that were given no manifest; others have nothing new."""
    for leaf in staging.staged.files():
        yield leaf.item, _dense(leaf.item) if leaf.manifest is None else 0


def _dense(item: Item) -> int:
    """Bytes of a file that are no holes."""
    if item.size < SPARSE:
        return item.size
    try:
        return min(item.size, os.stat(item.source).st_blocks * 512)
    except OSError:
        return item.size


def _find_unchanged(staging: Staging, unchanged: Unchanged, made: AddPlan) -> None:
    """Give what is unchanged its manifest."""
    for batch in _batches(staging):
        for leaf, manifest in zip(batch, unchanged.find([x.item for x in batch]), strict=True):
            if manifest is not None:
                leaf.store(leaf.item, manifest, leaf.item.size)
                made.unchanged_files += 1
                made.unchanged += leaf.item.size


def _find_removals(reading: Reading, staging: Staging, made: AddPlan) -> None:
    removals = staging.removals()
    head = reading.refs.head(made.repo, RefKind.BRANCH, made.branch)
    if removals is None or head is None:
        return
    base = reading.objects.commit(head.commit).tree
    merge(reading.objects, base, staging.staged, 0, lambda _: None, removals)
    made.removed, made.removed_files = removals.names(), removals.files
