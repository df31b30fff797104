"""Following other sites: what they record is taken over, for who only reads and for who mounts.

One round lists the sites on one backend, reads the news of each other one (`cas.journal.news`; of
some, where there are very many: `cas.journal.turns`), and gets the records that are new, each by
its number. No journal and no pack is listed. What news do not tell of, those of an earlier release
or news that were lost, is found by listing the journals, now and then.

Records are taken over as writers take them over, with the store's lock shared while one is applied:
whoever is alone with the store (gc, rebuild-index) has it as it is, and the round ends.

Concurrency: of all processes one follows at a time, the others let it.
"""

import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from ...errors import BackendError, ConflictError, ModelFloatError, one_failure
from ...ids import BackendId, SiteId, WriterId
from ..formats.journal import decode_head
from ..lease.others import note_others
from ..lease.sites import announce, freshen, is_stale, look, own_site, sites_on
from ..locks import locked
from ..packs.members import Member
from .catchup import CatchUp
from .completeness import take_over
from .copies import record_name
from .news import read_news
from .ordering import InOrder
from .stamp import is_due, note_followed
from .turns import Turns

FOLLOWING: Final = "following"
"""The lock file of who follows."""
FULL: Final = 900.0
"""Seconds between two rounds that list the journals."""
PATIENCE: Final = 5.0
"""Seconds that a command waits for its round, before it shows what is known here."""

_EVERY: Final = 1 << 64
"""More than any record's number."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Follower:
    """Follows the other sites of one store. `lock` is the store's lock file."""

    catch_up: CatchUp
    lock: str
    _turn: int = field(default_factory=lambda: secrets.randbelow(1 << 16))
    _turns: Turns = field(default_factory=Turns)
    _full: float | None = None
    _others: set[SiteId] = field(default_factory=set)
    _sought: set[tuple[WriterId, int]] = field(default_factory=set)
    """Records that news tell of and that the last listing did not show either."""
    _back: bool = False
    """Whether this site was away, or forgotten: nobody had to tell it news meanwhile."""
    _lacked: set[BackendId] = field(default_factory=set)
    """Backends that did not know this site; one that never does has no more listed."""
    _unwilling: set[BackendId] = field(default_factory=set)
    """Backends that did not take this site's record."""

    async def run(self, refresh: float) -> None:
        """Follow every `refresh` seconds; what fails is told in the log and tried again."""
        while self._may_follow():
            await trio.sleep(refresh)
            try:
                await self._round()
            except ConflictError:
                return  # the index was made anew: who follows it has opened the new one
            except ModelFloatError as error:
                log.info("others are not followed now: %s", error)

    async def catch_once(self, refresh: float) -> None:
        """One round for a command, unless somebody followed within `refresh` seconds; nothing is
        raised, and it does not take long."""
        folder = self.catch_up.folder
        if not self._may_follow() or not await trio.to_thread.run_sync(is_due, folder, refresh):
            return
        with trio.move_on_after(PATIENCE) as scope:
            try:
                await self._round()
            except ModelFloatError as error:
                log.info("what others have done lately is not seen: %s", error)
        if scope.cancelled_caught:
            log.info("what others have done lately is not seen: no answer within %g s", PATIENCE)

    def _may_follow(self) -> bool:
        locked_up = self.catch_up.members.cipher.locked
        return not locked_up and not self.catch_up.index.read_only

    async def _round(self) -> None:
        following = os.path.join(self.catch_up.folder, FOLLOWING)
        with one_failure():
            async with locked(following, wait=False, what="follows other sites"):
                await self._follow_sites()

    async def _follow_sites(self) -> None:
        site = await trio.to_thread.run_sync(own_site, self.catch_up.folder)
        self._turn += 1
        self.catch_up.pace.begin()
        self._others = await self._sites(site)
        try:
            missing = await self._follow_told()
            # What a listing did not show either is lost, or a lie: not each round asks for another.
            full = self._back or bool(missing - self._sought) or self._is_full_due()
            if self._others and full:
                await self._follow_all()
                self._sought, self._back = missing, False
        finally:
            await self.catch_up.place_late()
        await trio.to_thread.run_sync(self._note, bool(self._others))

    async def _sites(self, own: SiteId) -> set[SiteId]:
        """The other sites, as one backend lists them; which one goes round. Once a day they are
        told of this one: who writes tells news only where he knows of others."""
        folder, up = self.catch_up.folder, self.catch_up.members.up()
        stale: bool = await trio.to_thread.run_sync(is_stale, folder)
        if up and stale:
            found = await look(self.catch_up.members, own, again=True)
            await trio.to_thread.run_sync(freshen, folder)
            self._back = True
            return found
        problem: BackendError | None = None
        for number in range(len(up)):
            member = up[(self._turn + number) % len(up)]
            try:
                found = await sites_on(member)
                if own not in found:
                    await self._come_back(member, own)
                return found - {own}
            except BackendError as error:
                self.catch_up.members.note_failure(member, error)
                problem = error
        if problem is not None:
            raise problem
        return self._others

    async def _come_back(self, member: Member, own: SiteId) -> None:
        """Announce this site where it was forgotten, or never could be: else who writes, and knows
        of nobody, would tell nothing. The others will have forgotten it as well: who asks one of
        them next, maybe in another process, has not come back again."""
        new = member.id not in self._lacked
        if await self._announce(member, own) and new:
            self._back = True
            self._lacked.add(member.id)
            for other in self.catch_up.members.up():
                if other is not member:
                    await self._announce(other, own)

    async def _announce(self, member: Member, own: SiteId) -> bool:
        """Whether a backend knows this site now. One that refuses is not asked again."""
        if not member.health.writable or member.id in self._unwilling:
            return False
        try:
            await announce(member, self.catch_up.store, own)
        except BackendError as error:
            self._unwilling.add(member.id)
            log.info("%s: this site is not known there", error)
            return False
        return True

    async def _follow_told(self) -> set[tuple[WriterId, int]]:
        """Take over what other sites tell of; the records that are not to be found, or that follow
        one that is not."""
        heard: dict[SiteId, Mapping[WriterId, int]] = {}
        told: dict[WriterId, int] = {}
        for other in self._turns.choose(self._others):
            news = await read_news(self.catch_up.members, other, self.catch_up.copies, self._turn)
            if news is not None:
                heard[other] = news.last
                told |= {w: max(last, told.get(w, 0)) for w, last in news.last.items()}
        if await self._in_order(told).run(told):
            # What a record follows may have been recorded since its site told news.
            await self._in_order(dict.fromkeys(told, _EVERY)).run(told)
        known = {writer: self.catch_up.index.writer(writer)[0] for writer in told}
        for other, numbers in heard.items():
            if any(0 < last <= known[writer] for writer, last in numbers.items()):
                self._turns.note(other)
        return {
            (writer, known[writer] + 1)
            for writer, last in told.items()
            if known[writer] < last and writer not in self.catch_up.pace.ended
        }

    def _in_order(self, told: Mapping[WriterId, int]) -> InOrder:
        """Applies the records of writers up to the numbers that are `told`."""
        context = self.catch_up

        async def load_next(writer: WriterId) -> bytes | None:
            known = context.index.writer(writer)[0]
            return await context.next_missed(writer) if known < told[writer] else None

        return InOrder(context.index, context.members.cipher, load_next, self._apply)

    async def _follow_all(self) -> None:
        """Take over whatever journals have that is not known here."""
        async with self._shared():
            await take_over(self.catch_up)
        self._full = trio.current_time()

    def _is_full_due(self) -> bool:
        if self._full is None:
            # Who opened the store has just begun; what news lack is not urgent.
            self._full = trio.current_time()
        return trio.current_time() - self._full >= FULL

    async def _apply(self, data: bytes) -> None:
        context, head = self.catch_up, decode_head(data, "a journal record")
        async with self._shared():
            if context.index.writer(head.writer)[0] < head.seq:
                await context.apply(data, record_name(head.writer, head.seq))

    @contextlib.asynccontextmanager
    async def _shared(self) -> AsyncIterator[None]:
        """Beside writers, of whom one may have been faster; LockedError where one is alone."""
        async with locked(self.lock, shared=True, wait=False, what="follows other sites"):
            self.catch_up.index.check_current()
            yield

    def _note(self, others: bool) -> None:
        """Note that somebody followed, and that there is somebody to follow; blocks."""
        try:
            note_followed(self.catch_up.folder)
        except OSError as error:
            # A full disk must not end a mount: others follow as well then, that is all.
            log.info("%s: when this site followed last is not noted", error.strerror)
        if others:
            note_others(self.catch_up.folder)
