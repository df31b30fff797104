"""Removing refs: what the name means, what it frees, and the journal records that take it away.

Nothing is deleted here. What only the removed refs reached stays until a gc finds it older than
its grace period; until then the log of refs knows the commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import trio
import trio.from_thread

from ...errors import RefMovedError, UsageError, one_failure
from ...ids import ObjectId
from ..access import Access
from ..formats.journal import RefChanged, RefKind
from ..history.moving import RefMove, move_ref
from ..index.index import Index
from ..journal.journal import Journal
from ..missing import no_ref, no_repository
from ..objects import Objects
from ..packs.pool import Pool
from ..refnames import Address, RefHead, RepoName
from .collected import RemoveReport
from .marking import Marking
from .marks import Marks
from .standing import Standing


@dataclass(frozen=True, slots=True)
class Removal:
    """Removes refs of one store."""

    access: Access
    index: Index
    objects: Objects
    pool: Pool

    async def refs(self, address: Address, grace: float) -> RemoveReport:
        """Remove a repository, or one branch or tag of it; NotFoundError if there is none.

        UsageError for a REV that is no branch's or tag's name.
        """
        heads = await trio.to_thread.run_sync(self._meant, address)
        frees = await trio.to_thread.run_sync(self._frees, heads)
        with one_failure():
            async with self.access.writing("modelfloat rm", told=False) as journal:
                while not (changes := await self._remove(journal, heads)):
                    # It moved while we counted: what it has come to by then is removed.
                    heads = await trio.to_thread.run_sync(self._meant, address)
                    frees = await trio.to_thread.run_sync(self._frees, heads)
        now = max(change.time_ns for change in changes)
        return RemoveReport(address.repo, tuple(heads), frees=frees, grace=grace, removed_ns=now)

    async def frees(self, repo: RepoName) -> int:
        """Bytes, with parity, that a gc would free had the whole repository been removed."""
        return await trio.to_thread.run_sync(lambda: self._frees(self.index.refs(repo)))

    def _meant(self, address: Address) -> list[RefHead]:
        repo, rev = address.repo, address.rev
        heads = self.index.refs(repo)
        if not heads:
            raise no_repository(repo)
        found = _of(heads, rev)
        if not found:
            if rev and ("~" in rev or "^" in rev):
                raise UsageError(f"{repo}@{rev} is a commit: rm removes branches and tags")
            raise no_ref(repo, rev, heads)
        return found

    def _frees(self, heads: Sequence[RefHead]) -> int:
        gone = {head.change for head in heads}
        left = [head.commit for head in self.index.refs() if head.change not in gone]
        return self._only(left, [head.commit for head in heads])

    def _only(self, left: Sequence[ObjectId], gone: Sequence[ObjectId]) -> int:
        """Bytes, with parity, of data that the objects `gone` reach and `left` do not, and that a
        gc would delete for sure: of a pack of which half is still needed it copies nothing, unless
        that is small and there are many such."""
        marks = Marks(self.index, Standing(self.pool).ranking)
        marking = Marking(self.index, self.objects, marks, trio.from_thread.check_cancelled)
        marking.reach(left)
        before = marks.bytes.copy()
        marking.reach(gone, lenient=True)
        return marks.stored_since(before, 2 * before >= marks.packs["length"][: len(before)])

    async def _remove(self, journal: Journal, heads: Sequence[RefHead]) -> list[RefChanged]:
        """Take heads away; the changes, none where one of the refs has others by now."""
        try:
            return await move_ref(self.access, journal, _taken_away(heads))
        except RefMovedError:
            return []


def _of(heads: Sequence[RefHead], rev: str | None) -> list[RefHead]:
    return [head for head in heads if rev in (None, head.ref)]


def _taken_away(heads: Sequence[RefHead]) -> list[RefMove]:
    """The moves that take away heads, all of each ref."""
    refs: dict[tuple[RefKind, str], list[RefHead]] = {}
    for head in heads:
        refs.setdefault((head.kind, head.ref), []).append(head)
    return [
        RefMove(seen[0].repo, kind, ref, tuple(seen), None) for (kind, ref), seen in refs.items()
    ]
