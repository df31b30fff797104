"""The refs of a transfer, moved at its end: all of one repository together, or none."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from ...errors import RefMovedError
from ...ids import ObjectId
from ..ancestry import ancestry
from ..formats.journal import RefKind
from ..history.moving import RefMove, move_ref
from ..journal.journal import Journal
from ..lease.sessions import Session
from ..refnames import RefHead, RepoName
from ..store import Store
from .counterparts import Counterparts
from .report import Fate, RefSent
from .wanted import Judge, Wanted

_Landed = tuple[Wanted, Fate, RefHead | None, ObjectId]


@dataclass(slots=True)
class Landing:
    """Moves refs of one repository in `dest`, where everything that they reach is stored by now, or
    was reached by other refs when that was looked at."""

    dest: Store
    judge: Judge
    counterparts: Counterparts
    repo: RepoName
    bases: list[RefHead] = field(default_factory=list)

    def there(self) -> set[ObjectId]:
        """The commits that the repository's refs reach in `dest` now; these are relied on.

        A ref with several heads is none of them: one may be dropped at any time.
        """
        heads = self.dest.refs.heads(self.repo)
        count = Counter((head.kind, head.ref) for head in heads)
        self.bases = [head for head in heads if count[head.kind, head.ref] == 1]
        return set(ancestry(self.dest.objects, [head.commit for head in self.bases]))

    async def move(
        self, wanted: Sequence[Wanted], journal: Journal, session: Session
    ) -> list[RefSent] | None:
        """Move what is to be moved; None where a ref that was relied on, or is to be moved, moved
        meanwhile: then none did.

        ConflictError or ExistsError where one may not move.
        """
        landed = await trio.to_thread.run_sync(self._judged, wanted)
        if any(fate.moves for _, fate, _, _ in landed):
            try:
                await move_ref(self.dest.access, journal, self._moves(landed), session)
            except RefMovedError:
                return None
        return [
            RefSent(w.repo, w.kind, w.ref, fate, head.commit if head else None, their)
            for w, fate, head, their in landed
        ]

    def _moves(self, landed: Sequence[_Landed]) -> list[RefMove]:
        """What is to move; and of what was relied on, that it stays as it was."""
        moves: dict[tuple[RefKind, str], RefMove] = {
            (head.kind, head.ref): RefMove(head.repo, head.kind, head.ref, (head,), head.commit)
            for head in self.bases
        }
        for w, fate, head, their in landed:
            if fate.moves:
                seen = () if head is None else (head,)
                moves[w.kind, w.ref] = RefMove(w.repo, w.kind, w.ref, seen, their)
        return list(moves.values())

    def _judged(self, wanted: Sequence[Wanted]) -> list[_Landed]:
        found = []
        for each in wanted:
            (their,) = self.counterparts.find([each.commit])
            commit = ObjectId(their or b"")
            self.dest.objects.commit(commit)  # it is there, or this says that it is not
            found.append((each, *self.judge.after(each, commit), commit))
        return found
