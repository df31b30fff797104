"""Sites: the folders with an index of one store, from which somebody writes to its backends.

Each lays a record on every backend, anew from day to day: who writes looks whether others are
there, and only then takes the trouble that sharing takes.
"""

import contextlib
import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import aclosing
from typing import Final

import trio

from ...backends.keys import news_key, parse_site_key, site_key
from ...durable import on_store_disk
from ...errors import BackendError
from ...ids import SiteId, StoreId, random_site_id
from ..formats.presence import encode_presence
from ..packs.members import Member, Members
from .clock import quiet_for, site_record

FILE: Final = "site"
"""The file beside the lock files that holds the site's id and which folder it is."""
AGAIN: Final = 86_400.0
"""Seconds after which a site's record is written anew, so that its age tells whether it is used."""
UNUSED: Final = 90 * AGAIN
"""Seconds without a new record after which a site counts as gone."""
MOST: Final = 10_000
"""Sites of which one listing tells; a backend can name any number that nobody is."""

_TEXT: Final = re.compile(rb"([0-9a-f]{32}) ([0-9]+)\n")

log = logging.getLogger(__name__)


def own_site(folder: str) -> SiteId:
    """The id of the site whose lock files lie in `folder`, made at first; blocks.

    A folder that was copied is another site: it is told by its inode.
    """
    path = os.path.join(folder, FILE)
    with on_store_disk(path):
        inode = os.stat(folder).st_ino
        if (site := _read(path, inode)) is not None:
            return site
        # Of two processes that begin at once one makes it: the other's would be known to the
        # backends as a site that nobody is.
        with _making(folder):
            return _read(path, inode) or _make(path, inode)


def known_site(folder: str) -> SiteId | None:
    """The id of the site whose lock files lie in `folder`, None where it has none yet; blocks."""
    with contextlib.suppress(FileNotFoundError):
        return _read(os.path.join(folder, FILE), os.stat(folder).st_ino)
    return None


def _read(path: str, inode: int) -> SiteId | None:
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        match = _TEXT.fullmatch(file.read(100))
        if match is not None and int(match[2]) == inode:
            return SiteId(bytes.fromhex(match[1].decode()))
    return None


@contextlib.contextmanager
def _making(folder: str) -> Iterator[None]:
    """Be the one who makes the id in `folder`, which is on no network filesystem."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _make(path: str, inode: int) -> SiteId:
    site = random_site_id()
    made = f"{path}.{site.hex()}"
    with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(f"{site.hex()} {inode}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    # As old as can be: the record on the backends is still to be written.
    os.utime(made, (0, 0))
    os.replace(made, path)
    return site


def is_stale(folder: str) -> bool:
    """Whether the site's records on the backends are to be written anew; blocks."""
    return abs(time.time() - os.stat(os.path.join(folder, FILE)).st_mtime) > AGAIN


def freshen(folder: str) -> None:
    """Note that they were; blocks."""
    with contextlib.suppress(OSError):
        os.utime(os.path.join(folder, FILE))


async def look(members: Members, site: SiteId, *, again: bool = False) -> set[SiteId]:
    """The other sites that backends which are up know of.

    This one is announced on each that does not know it, or with `again` on each, where it may be.
    """
    others: set[SiteId] = set()

    async def ask(member: Member) -> None:
        writing = False
        try:
            found = await sites_on(member)
            others.update(found)
            writing = member.health.writable and (again or site not in found)
            if writing:
                await announce(member, members.store, site)
        except BackendError as error:
            members.note_failure(member, error, writing=writing)
            log.info("%s", error)

    async with trio.open_nursery() as nursery:
        for member in members.up():
            nursery.start_soon(ask, member)
    return others - {site}


async def known_sites(members: Members) -> set[SiteId]:
    """All sites that backends which are up know of; nothing is written."""
    found: set[SiteId] = set()

    async def ask(member: Member) -> None:
        try:
            found.update(await sites_on(member))
        except BackendError as error:
            members.note_failure(member, error)
            log.info("%s", error)

    async with trio.open_nursery() as nursery:
        for member in members.up():
            nursery.start_soon(ask, member)
    return found


async def forget_unused(members: Members, site: SiteId) -> None:
    """Remove the records of other sites that have written nothing for as long as UNUSED: one that
    does so again announces itself before anything else."""
    for member in members.up():
        try:
            for found in await sites_on(member) - {site}:
                key = site_key(found)
                if await quiet_for(member.backend, key, members.store, site) >= UNUSED:
                    await member.backend.delete(key)
                    await member.backend.delete(news_key(found))
        except BackendError as error:
            log.info("%s", error)


async def announce(member: Member, store: StoreId, site: SiteId) -> None:
    """Lay a site's record on a backend."""
    await member.backend.put(site_key(site), [encode_presence(site_record(store, site))])


async def sites_on(member: Member) -> set[SiteId]:
    """The sites that one backend knows of; what it says where it cannot be listed."""
    sites: set[SiteId] = set()
    async with aclosing(member.backend.list("sites/")) as listing:
        async for listed in listing:
            if (found := parse_site_key(listed.key)) is not None:
                sites.add(found)
            if len(sites) == MOST:
                log.info(
                    "%s names more than %d sites: the others are passed over", member.name, MOST
                )
                break
    return sites
