"""Removing refs: what the name means, what it frees, and the journal records that take it away.

Nothing is deleted here. What only the removed refs reached stays until a gc finds it older than
its grace period; until then the log of refs knows the commits.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import trio
import trio.from_thread

from ...errors import NotFoundError, UsageError
from ...ids import ObjectId
from ..access import Access
from ..formats.journal import NO_ID, RefChanged, RefKind
from ..index.index import Index
from ..journal.journal import Journal
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

        UsageError for a path in it, or a REV that is no branch's or tag's name.
        """
        heads = await trio.to_thread.run_sync(self._meant, address)
        frees = await trio.to_thread.run_sync(self._frees, heads)
        async with self.access.writing("modelfloat rm", told=False) as journal:
            removed, now = await self._remove(journal, address)
        if not removed:
            # Somebody else removed it while we counted: so there is none, or it came back.
            return await self.refs(address, grace)
        if {head.change for head in removed} != {head.change for head in heads}:
            # It moved while we counted: what it had come to by then was removed.
            heads, frees = removed, await trio.to_thread.run_sync(self._frees, removed)
        return RemoveReport(address.repo, tuple(heads), frees=frees, grace=grace, removed_ns=now)

    async def frees(self, repo: RepoName) -> int:
        """Bytes, with parity, that a gc would free had the whole repository been removed."""
        return await trio.to_thread.run_sync(lambda: self._frees(self.index.refs(repo)))

    def _meant(self, address: Address) -> list[RefHead]:
        repo, rev = address.repo, address.rev
        heads = self.index.refs(repo)
        if address.path:
            raise UsageError(
                f"{address} is a path: rm removes repositories, branches and tags; `modelfloat add "
                f"--sync` makes what is in {repo} equal to a folder"
            )
        if not heads:
            raise NotFoundError(f"there is no repository {repo}; `modelfloat ls` shows what is")
        found = _of(heads, rev)
        if not found:
            if rev and "~" in rev:
                raise UsageError(f"{repo}@{rev} is a commit: rm removes branches and tags")
            known = ", ".join(sorted({head.ref for head in heads})[:8])
            raise NotFoundError(f"{repo} has no branch or tag {rev!r}; it has {known}")
        return found

    def _frees(self, heads: Sequence[RefHead]) -> int:
        gone = {head.change for head in heads}
        left = [head.commit for head in self.index.refs() if head.change not in gone]
        return self._only(left, [head.commit for head in heads])

    def _only(self, left: Sequence[ObjectId], gone: Sequence[ObjectId]) -> int:
        """Bytes, with parity, of data that the objects `gone` reach and `left` do not, and that a
        gc would delete for sure: of a pack of which half is still needed it copies nothing, unless
        that is small and there are many such."""
        marks = Marks(self.index, Standing(self.pool).rank)
        marking = Marking(self.index, self.objects, marks, trio.from_thread.check_cancelled)
        marking.reach(left)
        before = marks.bytes.copy()
        marking.reach(gone, lenient=True)
        return marks.stored_since(before, 2 * before >= marks.packs["length"][: len(before)])

    async def _remove(self, journal: Journal, address: Address) -> tuple[list[RefHead], int]:
        """Take away the heads that the address means now, and when (ns).

        That is never before a change that is known: a clock that was set back would take the grace
        period away, once it is right again.
        """
        async with self.access.refs(journal) as fence:
            heads = _of(self.index.refs(address.repo), address.rev)
            now = max(time.time_ns(), self.index.last_change_ns())
            if heads:
                fence()
                await journal.append([removed(head, now) for head in heads])
        return heads, now


def _of(heads: Sequence[RefHead], rev: str | None) -> list[RefHead]:
    return [head for head in heads if rev in (None, head.ref)]


def removed(head: RefHead, time_ns: int) -> RefChanged:
    """The change that takes a head away."""
    repo: RepoName = head.repo
    return RefChanged(
        RefKind(head.kind),
        repo.vendor,
        repo.name,
        head.ref,
        head.change,
        head.commit,
        ObjectId(NO_ID),
        time_ns,
    )
