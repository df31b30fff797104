"""Who is at work on other machines while one collects, and so what may be deleted beside them."""

from collections.abc import Mapping, Sequence
from typing import Final

from ...errors import BusyError
from ...ids import PackId, WriterId
from .collected import FindInUse, InUse
from .others import AtWork, Others

AT_ONCE: Final = 3600.0
"""A grace period shorter than so many seconds leaves mounts elsewhere no time: to follow what was
removed, and to tell what is open all the same. Nothing is deleted so beside anybody elsewhere."""


class Elsewhere:
    """What is known of others, as of the last look. `grace` is the collection's, in seconds."""

    def __init__(self, others: Others, grace: float, find_in_use: FindInUse) -> None:
        self._others = others
        self._grace = grace
        self._find_in_use = find_in_use
        self._seen = AtWork()

    @property
    def writers(self) -> bool:
        """Whether somebody writes to the store."""
        return bool(self._seen.writers)

    async def see(self) -> None:
        """See who is at work. Before what they recorded is looked for: what is not found then, and
        is theirs, is of a session that is seen here."""
        self._seen = await self._others.at_work()

    async def look(self) -> None:
        """`see`; BusyError where somebody is at work and all would be deleted at once."""
        await self.see()
        if refusal := self._refusal():
            raise BusyError(refusal)

    async def glance(self) -> str:
        """See what there are records of, and change nothing; why `look` would end it, as far as
        that can be told, or ""."""
        self._seen = await self._others.told()
        return self._seen.doubt or self._refusal()

    def _refusal(self) -> str:
        found, doing = self._seen.mounts or self._seen.writers, "writes to the store"
        if not found or self._grace >= AT_ONCE:
            return ""
        doing = "has the store mounted" if self._seen.mounts else doing
        site = next(iter(found.values())).site.hex()[:8]
        return (
            f"the site {site} {doing}, and so short a grace period would delete what it may "
            "need: run gc when it has ended, or with `--grace 1h` or more"
        )

    async def stored(self) -> set[PackId]:
        """Packs that they have stored, though no ref reaches them yet."""
        return await self._others.stored(self._seen.writers)

    def settled(self, last: Mapping[WriterId, int]) -> dict[WriterId, int]:
        """Of each writer's `last` number the last one that is no record of a session: those are
        asked for, by number, by who collects next."""
        numbers = dict(last)
        for writer, session in self._seen.writers.items():
            numbers[writer] = min(session.number, numbers.get(writer, 0))
        return numbers

    async def let_finish(self, *, wait: bool) -> None:
        """Give writers, who may rely on what was condemned, time to see that."""
        await self._others.let_finish(wait=wait)

    def in_use(self) -> Sequence[InUse]:
        """What is open on mounts here, and elsewhere as far as it was seen."""
        return [*self._find_in_use(), *self._seen.in_use]
