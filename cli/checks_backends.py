"""What `doctor` asks of a store's backends: whether they answer, their room, what is survived."""

import os
import stat
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .checks import Finding, examine, ok, problem, warning
from .checks_index import read_layouts
from .checks_store import FULL, LITTLE, MAKE_ROOM
from .output import human_latency, human_size, plural, reason

if TYPE_CHECKING:
    from ..cas.packs.members import Member
    from ..cas.packs.survival import Layouts, Survival
    from ..erasure.scheme import Scheme
    from ..storeconfig import StoreConfig

ASKED: Final = 5.0
"""Seconds in which a backend has to tell its space."""
SLUGGISH: Final = 1.0
"""Seconds in which a backend that is well shows its marker, wherever it is."""
LEFTOVER: Final = 3600.0
"""Seconds after which a file of an upload belongs to nobody any more."""


def examine_backends(store: str) -> list[Finding]:
    """All findings about the backends; none where the configuration cannot be read."""
    import trio

    from ..config import read_config
    from ..errors import ModelFloatError

    try:
        config = read_config(store)
    except (ModelFloatError, OSError):
        return []  # the store's own checks say so
    return examine("backends", lambda: trio.run(_ask_all, store, config))


async def _ask_all(store: str, config: "StoreConfig") -> list[Finding]:
    import trio

    from ..cas.encryption.storecipher import CLEAR, LOCKED
    from ..cas.packs.members import Members
    from ..cas.packs.survival import survival
    from ..configured import members_of
    from ..erasure.scheme import Scheme
    from ..sharedlist import SharedList

    opened = await trio.to_thread.run_sync(members_of, store, config)
    members = Members(config.id, opened, LOCKED if config.encrypted else CLEAR)
    try:
        await members.look()
        await SharedList(store, config, members).follow(config)
        told: dict[str, list[Finding]] = {}

        async def ask(member: "Member") -> None:
            told[member.name] = await _ask(member)

        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(ask, member)
        found = [finding for member in members for finding in told[member.name]]
        scheme = Scheme.parse(config.scheme)
        known = [member.candidate for member in members]
        up = {member.id for member in members.up()}
    finally:
        await members.aclose()
    layouts = await trio.to_thread.run_sync(read_layouts, os.path.join(store, "index"))
    return [*found, *_lacking(layouts), _survives(scheme, survival(scheme, known, up, layouts))]


def _lacking(layouts: "Layouts") -> Iterator[Finding]:
    """Packs of which shards are known to be missing or damaged."""
    count = sum(n for layout, n in layouts.items() if len(layout.places) < layout.k + layout.m)
    if count:
        remedy = "`modelfloat verify --repair` makes them, and so does the next add where it can"
        yield warning("shards", f"{plural(count, 'pack')} without all of their shards", remedy)


def _survives(scheme: "Scheme", found: "Survival") -> Finding:
    """What may be lost still, of what is stored."""
    if found.unreadable:
        return problem("survives", found.text, "bring back what is down")
    if not scheme.m:
        other = "a store of another scheme: `modelfloat init --erasure K+M`"
        return warning("survives", found.text, other)
    if found.spare <= 0:
        remedy = "bring back what is down, or `modelfloat verify --repair`"
        return warning("survives", found.text, remedy)
    return ok("survives", found.text)


async def _ask(member: "Member") -> list[Finding]:
    import trio

    from ..errors import BackendError

    name = f"backend {member.name}"
    if member.down:
        what, _, remedy = reason(member.name, member.down).partition("; ")
        return [problem(name, f"down: {what}", _back(member.name, remedy))]
    free = None
    with trio.move_on_after(ASKED):
        try:
            free = (await member.backend.usage()).free
        except BackendError as error:
            what, _, remedy = reason(member.name, str(error)).partition("; ")
            return [problem(name, f"does not tell its space: {what}", remedy or "look at it")]
    path = member.backend.properties.url
    local = os.path.isabs(path)
    found = list(room(name, free, path, member.domain, member.state.value))
    answered = member.answered or 0.0
    if answered > SLUGGISH:
        text = f"took {human_latency(answered)} to show its marker"
        found.append(warning(name, text, "look at the disk, or at the way there"))
    if local:
        found += await trio.to_thread.run_sync(
            lambda: [*writable(name, path), *uploads(name, path)]
        )
    return found


def _back(name: str, remedy: str) -> str:
    """What to do: first what the failure itself advises, then for one that is gone for good."""
    first = remedy or f"bring {name} back"
    if first.startswith("`modelfloat verify"):
        return first
    return (
        f"{first}{'' if first.endswith('?') else '.'} If it is gone for good: "
        "`modelfloat backend add` another, `modelfloat verify --repair`, then "
        f"`modelfloat backend rm {name}`"
    )


def room(
    name: str, free: int | None, where: str, domain: str, state: str = "up"
) -> Iterator[Finding]:
    """How much more a backend takes."""
    left = "unknown space" if free is None else human_size(free)
    text = f"{state}, {left} free, {where}, domain {domain}"
    if free is not None and free < FULL:
        yield problem(name, text, f"{MAKE_ROOM}, or add a backend")
    elif free is not None and free < LITTLE:
        yield warning(name, text, "free some space there, or add a backend")
    else:
        yield ok(name, text)


def writable(name: str, path: str) -> Iterator[Finding]:
    """A directory that can be read but not written to; nothing is written to find out."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        yield problem(name, f"{path} is on a read-only filesystem", "mount it writable")
    elif not os.access(path, os.W_OK | os.X_OK):
        yield problem(name, f"{path} may not be written by you", "check its owner and mode")


def uploads(name: str, path: str) -> Iterator[Finding]:
    """Parts of shards that interrupted uploads left."""
    count = size = 0
    newest = time.time() - LEFTOVER
    folder = os.path.join(path, "tmp")
    for entry in os.scandir(folder) if os.path.isdir(folder) else ():
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and status.st_mtime < newest:
            count, size = count + 1, size + status.st_size
    if count:
        files = plural(count, "file")
        yield warning(
            name,
            f"{files} ({human_size(size)}) of interrupted uploads in {folder}",
            "the next add or repair there removes them",
        )
