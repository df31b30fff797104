"""The refs of a transfer, moved at its end: all of one repository by one record, or none."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from ...ids import ObjectId
from ..formats.journal import NO_ID, RefChanged
from ..journal.journal import Journal
from ..lease.sessions import Session
from ..refnames import RefHead, RepoName
from ..store import Store
from .counterparts import Counterparts
from .history import ancestry
from .report import Fate, RefSent
from .wanted import Judge, Wanted


@dataclass(slots=True)
class Landing:
    """Moves refs of one repository in `dest`, where everything that they reach is stored by now, or
    was reached by `bases` when that was looked at."""

    dest: Store
    judge: Judge
    counterparts: Counterparts
    repo: RepoName
    bases: set[ObjectId] = field(default_factory=set)

    def there(self) -> set[ObjectId]:
        """The commits that the repository's refs reach in `dest` now; these are relied on."""
        self.bases = {head.commit for head in self.dest.refs.heads(self.repo)}
        return ancestry(self.dest.objects, self.bases)

    async def move(
        self, wanted: Sequence[Wanted], journal: Journal, session: Session
    ) -> list[RefSent] | None:
        """Move what is to be moved; None where something that was relied on is reached no more.

        ConflictError or ExistsError where one may not move: then none does.
        """
        async with self.dest.access.refs(journal, session) as fence:
            if not await trio.to_thread.run_sync(self._holds):
                return None
            landed = await trio.to_thread.run_sync(self._judged, wanted)
            changes = [_change(*each) for each in landed if each[1].moves]
            if changes:
                fence()
                await journal.append(changes)
        return [
            RefSent(w.repo, w.kind, w.ref, fate, head.commit if head else None, their)
            for w, fate, head, their in landed
        ]

    def _holds(self) -> bool:
        now = {head.commit for head in self.dest.refs.heads(self.repo)}
        return self.bases <= now or self.bases <= ancestry(self.dest.objects, now)

    def _judged(
        self, wanted: Sequence[Wanted]
    ) -> list[tuple[Wanted, Fate, RefHead | None, ObjectId]]:
        found = []
        for each in wanted:
            (their,) = self.counterparts.find([each.commit])
            commit = ObjectId(their or b"")
            self.dest.objects.commit(commit)  # it is there, or this says that it is not
            found.append((each, *self.judge.after(each, commit), commit))
        return found


def _change(wanted: Wanted, _fate: Fate, head: RefHead | None, new: ObjectId) -> RefChanged:
    return RefChanged(
        wanted.kind,
        wanted.repo.vendor,
        wanted.repo.name,
        wanted.ref,
        NO_ID if head is None else head.change,
        ObjectId(NO_ID) if head is None else head.commit,
        new,
        time.time_ns(),
    )
