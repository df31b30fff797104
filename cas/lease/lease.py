"""Leases: of all who share a store, wherever they are, one at a time may do what a lease is for.

A lease is a row of numbered keys on one backend, `lease/<name>/<n>`; the highest one says who has
it. It is taken by writing the next number where no key is (`if_absent`, which that backend decides
for all its writers), renewed by writing the same record again, and given back by a record that
says so. Who finds the highest record unrenewed for its term and MARGIN more takes the next number.

Why there are never two holders: a renewal counts only if it is done, and no higher number is there,
before the lease ends as its holder reckons it, and then lasts for a term from before it was begun.
So a record lies unrenewed for a term by the backend's clock only when its holder has given up by
its own. Nothing but the rate of the clocks has to agree. The backend's may be set meanwhile: so it
must be seen unrenewed, too, for as long as a holder takes to renew it. (Gray and Cheriton,
"Leases: An Efficient Fault-Tolerant Mechanism for Distributed File Cache Consistency", 1989; taking
numbers in turn stands in for a compare-and-swap on one key.)

What a holder has begun to send when it loses the lease still arrives: within MARGIN, or the machine
stood still between its last look and the sending.

Concurrency: one task renews while another works; `_until` is written by the first and read by both,
in the event loop.
"""

import contextlib
import logging
import math
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import trio

from ...backends.base import Backend
from ...backends.bounded import listed_below
from ...backends.keys import lease_key, parse_lease_key
from ...backends.retry import RetryBackend
from ...errors import (
    BackendError,
    FormatError,
    KeyExistsError,
    KeyNotFoundError,
    LeaseLostError,
    LockedError,
)
from ...ids import UUID_SIZE, Key, SiteId, StoreId
from ..formats.presence import (
    LONGEST,
    NOBODY,
    Presence,
    PresenceRecord,
    decode_presence,
    encode_presence,
    is_sound,
)
from .clock import Clock, boottime, quiet_for
from .landing import let_land
from .queue import LARGEST, Queue, look

TERM: Final = 90
"""Seconds that a lease lasts after a renewal was begun."""
MARGIN: Final = 90
"""Seconds more that others wait: what the last holder had begun to send has arrived by then."""
RENEWALS: Final = 4
"""Renewals a term."""
SEEN: Final = 1.5 / RENEWALS
"""Part of a term for which others see a lease unrenewed before they take it."""
KEPT: Final = 8
"""Numbers before the last one that are left, so that who was slow finds its own taken."""
POLL: Final = 2.0
"""Seconds between two looks at a lease that another has."""
TOGETHER: Final = 4
"""So many numbers are cleared away at once."""
PATIENCE: Final = 10.0
"""Seconds of waiting that are worth no message, where it is held for a moment only."""
RELEASE: Final = 10.0
"""Seconds that giving a lease back may take."""

Fence = Callable[[], None]
"""LeaseLostError where a lease that the next step needs has ended."""

log = logging.getLogger(__name__)


def unfenced() -> None:
    """Where nobody shares the store no lease is needed."""


class Lease:
    """A lease that is held. `require` before every step that must not be taken without it."""

    def __init__(
        self, leases: "Leases", record: PresenceRecord, until: float, earlier: Sequence[int] = ()
    ) -> None:
        self.earlier = earlier
        """Numbers so old that nobody needs them."""
        self._leases = leases
        self._record = record
        self._until = until

    def require(self) -> None:
        """LeaseLostError where it has ended, or might have."""
        if self._leases.clock() >= self._until:
            raise LeaseLostError(
                "this command lost the lease on the store: its renewal did not reach "
                f"{self._leases.home.name} in time, and another may work there now; what was done "
                "is whole, run it again"
            )

    async def keep(self) -> None:
        """Renew for as long as it lasts."""
        while self._leases.clock() < self._until:
            await trio.sleep(self._record.term / RENEWALS)
            try:
                await self._renew()
            except BackendError as error:
                log.info("%s: the lease is not renewed yet", error)

    async def _renew(self) -> None:
        begun, number = self._leases.clock(), self._record.number
        if begun >= self._until:
            return
        await let_land(lambda: self._leases.write(self._record))
        if await self._leases.is_there(number + 1):
            self._until = begun
        elif self._leases.clock() < self._until:
            self._until = begun + self._record.term

    async def give_back(self) -> None:
        """Let others have it now; what does not reach the backend ends by itself."""
        if self._leases.clock() >= self._until:
            return
        self._until = self._leases.clock()
        with trio.move_on_after(RELEASE, shield=True):
            try:
                await self._leases.write(replace(self._record, held=False))
            except BackendError as error:
                log.info("%s: the lease ends by itself", error)


@dataclass(frozen=True, slots=True)
class _Held:
    """A lease that another site has, or had: its record was not written for `quiet` seconds, None
    where nobody asked."""

    record: PresenceRecord
    quiet: float | None


@dataclass(frozen=True, slots=True)
class Leases:
    """The lease called `name` on the backend `home`, as `site` takes it.

    Two tasks of one site must not take it at once: they hold a lock of their own meanwhile, and a
    record of this site that is found by who has that lock is what a crash has left.
    """

    home: Backend
    store: StoreId
    site: SiteId
    name: str
    clock: Clock = boottime
    term: int = TERM
    margin: float = MARGIN
    folder: str = ""
    """Where it is noted which holding was this site's last; "" where nobody else can have its id.
    A folder that was cloned, with a disk or a container's image, has the same."""
    poll: float = math.inf
    """Seconds between two looks where POLL would be too many: it is held for a moment only."""

    @contextlib.asynccontextmanager
    async def held(self, *, wait: bool = True) -> AsyncIterator[Lease]:
        """Have it, renewed until the end; LockedError where another has it and not `wait`.

        BackendError when the backend does not answer.
        """
        queue = self._queue()
        try:
            lease = await self._acquire(wait, queue)
        except BaseException:
            if queue is not None:
                await queue.leave()
            raise
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lease.keep)
                nursery.start_soon(self._tidy, lease, queue)
                yield lease
                nursery.cancel_scope.cancel()
        finally:
            await lease.give_back()

    def _queue(self) -> Queue | None:
        """Where it is held for a moment only, those who wait for it have their turns."""
        if self.poll >= POLL:
            return None
        return Queue(self.home, self.store, self.site, self.name, 2 * self.poll, self.clock)

    async def _tidy(self, lease: Lease, queue: Queue | None) -> None:
        """Take away what nobody needs any more, beside the work that the lease is for."""
        if queue is not None:
            await queue.leave()
        if len(lease.earlier) >= TOGETHER:
            await self._clear(lease.earlier)

    async def _acquire(self, wait: bool, queue: Queue | None = None) -> Lease:
        told, silent, began = False, math.inf, self.clock()
        asked, last, looked = self.clock(), 0, False
        while True:
            # Where it is held for a moment only, nobody asks each time for how long it lies there,
            # nor which number is the last one.
            timed = self.poll >= POLL or self.clock() - asked >= POLL
            if timed or not looked:
                before, row = last, await look(self.home, self.name)
                last, looked = row.last, True
                if last != before:
                    silent = math.inf  # another holding, of which nothing was seen yet
                if queue is not None and row.turns and not queue.entered:
                    await queue.wait(row)
                    looked = False
                    continue
            asked = self.clock() if timed else asked
            held = await self._found(last, timed=timed) if last else None
            if timed or held is None:
                silent = min(silent, self.clock()) if held and self._is_silent(held) else math.inf
            if held is None or self._has_ended(held, silent):
                lease = await self._take(last + 1)
                if lease is not None:
                    return lease
                looked = False
                await trio.sleep(self._pause * secrets.randbelow(100) / 1000)
                continue
            site = held.record.site.hex()[:8]
            if not wait and silent == math.inf:
                raise LockedError(
                    f"the {self.name} lease is held by the site {site}, which shares the backend "
                    f"{self.home.name}; try again later, or with --wait"
                )
            brief = self.poll < math.inf and self.clock() - began < PATIENCE
            if not told and not brief:
                log.warning("waiting for the %s lease: held by the site %s", self.name, site)
                told = True
            if queue is not None and not queue.entered:
                await queue.wait(row)
                looked = False
                continue
            # Not all at the same moment: of those who wait one gets it.
            await trio.sleep(self._pause * (0.5 + secrets.randbelow(1000) / 1000))

    @property
    def _pause(self) -> float:
        """Seconds until the next look."""
        return min(POLL, self.poll)

    def _is_silent(self, held: "_Held") -> bool:
        term = held.record.term
        return held.quiet is not None and held.quiet >= (1 - SEEN) * term + self.margin

    def _has_ended(self, held: "_Held", silent: float) -> bool:
        """Whether it lies unrenewed for so long, and was seen so since the moment `silent`."""
        term, quiet = held.record.term, held.quiet
        if quiet is None:
            return False
        return quiet >= term + self.margin and self.clock() - silent >= SEEN * term

    async def _take(self, number: int) -> Lease | None:
        """Write that number; None where another did, or did since."""
        if number > LARGEST:
            raise FormatError(
                f"backend {self.home.name}: {self._key(number - 1)} leaves no number for the next "
                "lease: no release wrote it; delete it there"
            )
        begun = self.clock()
        record = PresenceRecord(
            Presence.LEASE,
            self.store,
            self.site,
            secrets.token_bytes(UUID_SIZE),
            number,
            self.term,
        )
        if self.folder:
            await trio.to_thread.run_sync(_note, self._note, record.owner)
        try:
            await self.write(record, new=True)
        except KeyExistsError:
            # A repeated try may have met what the first one wrote.
            if await self._read(number) != record:
                return None
        numbers = await self._numbers()
        if max(numbers, default=0) != number:
            # Ours was taken long ago, and is free only since it was cleared away.
            await self.home.delete(self._key(number))
            return None
        earlier = [earlier for earlier in numbers if earlier <= number - KEPT]
        return Lease(self, record, begun + self.term, earlier)

    async def _numbers(self) -> list[int]:
        listing = await listed_below(self.home, f"lease/{self.name}/")
        parsed = [parse_lease_key(listed.key) for listed in listing]
        return [found[1] for found in parsed if found is not None and found[1] <= LARGEST]

    async def _found(self, number: int, *, timed: bool) -> "_Held | None":
        """Who has the lease by that record, the highest; None where it may be taken at once."""
        record = await self._read(number)
        if record is None or not record.held or await self._is_ours(record):
            return None
        if not timed:
            return _Held(record, None)
        home = RetryBackend(self.home)
        try:
            quiet = await quiet_for(home, self._key(number), self.store, self.site)
        except KeyNotFoundError:
            return None
        return _Held(record, quiet)

    async def _is_ours(self, record: PresenceRecord) -> bool:
        """Whether a crash here has left it: whoever asks has the local lock."""
        if record.site != self.site or not self.folder:
            return record.site == self.site
        return await trio.to_thread.run_sync(_noted, self._note) == record.owner

    @property
    def _note(self) -> str:
        return os.path.join(self.folder, f"holding-{self.name}")

    async def _read(self, number: int) -> PresenceRecord | None:
        """A number's record; None where it is gone. FormatError where a newer release wrote it.

        A damaged one is somebody's who cannot be named.
        """
        try:
            data = await RetryBackend(self.home).get(self._key(number), most=LONGEST)
        except KeyNotFoundError:
            return None
        if not is_sound(data):
            return PresenceRecord(
                Presence.LEASE, self.store, SiteId(NOBODY), NOBODY, number, self.term
            )
        return decode_presence(data, f"{self._key(number)} on {self.home.name}")

    async def _clear(self, numbers: Iterable[int]) -> None:
        try:
            for number in numbers:
                await self.home.delete(self._key(number))
        except BackendError as error:
            log.info("%s: numbers of earlier leases stay", error)

    async def write(self, record: PresenceRecord, *, new: bool = False) -> None:
        """Put a record under its number; with `new`, KeyExistsError where one is."""
        home = RetryBackend(self.home)
        await home.put(self._key(record.number), [encode_presence(record)], if_absent=new)

    async def is_there(self, number: int) -> bool:
        """Whether that number is taken."""
        try:
            await RetryBackend(self.home).head(self._key(number))
        except KeyNotFoundError:
            return False
        return True

    def _key(self, number: int) -> Key:
        return lease_key(self.name, number)


def _note(path: str, owner: bytes) -> None:
    """Note a holding of this site's; blocks. Where that cannot be, a crash is waited out."""
    with contextlib.suppress(OSError), open(path, "wb") as file:
        file.write(owner)


def _noted(path: str) -> bytes:
    """The holding that was noted last, b"" for none; blocks."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(UUID_SIZE)
    return b""
