"""Mounts: told to other sites, with what is open on them, for who collects garbage there.

A mount lays a record beside those of writers and writes it again and again, but only while it sees
that other sites share the store: one machine alone is spared that. What is open it names by
manifest, so nobody learns a name from it. Whoever deletes keeps what is named, and deletes nothing
at once beside a mount (`cas.gc.elsewhere`).

Concurrency: one task; what it tells is asked for right before each record.
"""

import logging
import secrets
from collections.abc import Callable, Iterable
from typing import Final

import trio

from ...errors import BackendError, UnavailableError
from ...ids import UUID_SIZE, ObjectId, SiteId
from ..formats.presence import MOST_OPEN, Presence, PresenceRecord
from ..packs.members import Members
from .signs import Signs
from .sites import known_sites

TERM: Final = 600
"""Seconds without a new record after which a mount counts as gone."""
RENEWALS: Final = 4
"""Times a term that the record is written."""
PATIENCE: Final = 10.0
"""Seconds that a mount waits for the first one before it shows anything."""

Opened = Callable[[], Iterable[ObjectId]]
"""The manifests of the files that are open now, each as often as one likes."""

log = logging.getLogger(__name__)


class MountSigns:
    """Tells of one mount of a store, for `site`. `copies` is m+1."""

    def __init__(self, members: Members, site: SiteId, copies: int, opened: Opened) -> None:
        self._members = members
        self._site = site
        self._opened = opened
        self._signs = Signs(members, copies)
        self._owner = secrets.token_bytes(UUID_SIZE)
        self._doubt = ""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell of it until cancelled. It has started when it was told once, or that took too long.

        A backend that fails never ends it: what cannot be told now is told later.
        """
        try:
            with trio.move_on_after(PATIENCE):
                await self.tell()
            task_status.started()
            while True:
                await trio.sleep(TERM / RENEWALS)
                await self.tell()
        finally:
            await self._signs.remove()

    async def tell(self) -> None:
        """Write the record, where others share the store."""
        try:
            if await known_sites(self._members) - {self._site}:
                await self._write()
        except BackendError as error:
            self._warn(error)

    async def _write(self) -> None:
        opened = sorted(set(self._opened()))
        told = await self._signs.write(
            PresenceRecord(
                Presence.MOUNT,
                self._members.store,
                self._site,
                self._owner,
                len(opened),
                TERM,
                open=tuple(opened[:MOST_OPEN]),
            )
        )
        if told:
            self._doubt = ""
        else:
            self._warn(UnavailableError("no backend is up"))

    def _warn(self, why: BackendError) -> None:
        """Say it once for as long as it goes on so."""
        if not self._doubt:
            log.warning(
                "%s: `gc` on other machines does not know what is open on this mount; what was "
                "removed there is kept for its grace period only",
                why,
            )
        self._doubt = str(why)
