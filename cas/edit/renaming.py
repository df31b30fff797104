"""`mv` of a repository, a branch or a tag: refs under another name, all of them in one record."""

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from ...errors import ExistsError, UsageError, one_failure
from ..access import Access
from ..history.moving import RefMove, move_ref
from ..missing import no_ref, no_repository
from ..refnames import Address, RefHead
from ..refs import Refs
from .edits import Branch


@dataclass(frozen=True, slots=True)
class RenameReport:
    """What was renamed: `refs` as they were, now under `target`."""

    source: Address
    target: Address
    refs: tuple[RefHead, ...]


@dataclass(frozen=True, slots=True)
class Renaming:
    """Renames refs of one store."""

    access: Access
    refs: Refs

    async def run(self, source: Address, target: Address) -> RenameReport:
        """Rename a repository with all its branches and tags, or one branch or tag of it.

        NotFoundError where there is none, ExistsError where the new name is taken, RefMovedError
        where one of them moved meanwhile: nothing was renamed then.
        """
        heads, moves = await trio.to_thread.run_sync(self._planned, source, target)
        with one_failure():
            async with self.access.writing("modelfloat mv", told=False) as journal:
                await move_ref(self.access, journal, moves)
        return RenameReport(source, target, tuple(heads))

    def _planned(self, source: Address, target: Address) -> tuple[list[RefHead], list[RefMove]]:
        heads = self._heads(source)
        return heads, self._moves(heads, target)

    def _heads(self, source: Address) -> list[RefHead]:
        """The heads that are meant, one of each ref."""
        heads = self.refs.heads(source.repo)
        if not heads:
            raise no_repository(source.repo)
        found = [head for head in heads if source.rev in (None, head.ref)]
        if not found:
            raise no_ref(source.repo, source.rev, heads)
        for head in found:
            # Which of several heads is meant nobody can say: this does.
            self.refs.head(source.repo, head.kind, head.ref)
        return found

    def _moves(self, heads: Sequence[RefHead], target: Address) -> list[RefMove]:
        if target.rev is None and self.refs.heads(target.repo):
            raise ExistsError(f"there is a repository {target.repo}; choose another name")
        moves = []
        for head in heads:
            ref = head.ref if target.rev is None else target.rev
            if target.rev is not None and self.refs.heads_of(target.repo, head.kind, ref):
                kind = head.kind.name.lower()
                raise ExistsError(f"{target.repo} has a {kind} {ref}; choose another name")
            moves.append(RefMove(target.repo, head.kind, ref, (), head.commit))
            moves.append(RefMove(head.repo, head.kind, head.ref, (head,), None))
        return moves


def is_of_paths(source: Address, target: Address) -> bool:
    """Whether a move is one within a branch, not one of refs; UsageError where it is neither."""
    if source.path:
        branch = target.rev in (None, Branch.of(source).name)
        fits = source.repo == target.repo and branch
    elif source.rev is None:
        fits = target.rev is None and not target.path
    else:
        fits = source.repo == target.repo and target.rev is not None and not target.path
    if not fits:
        raise UsageError(
            f"{source} cannot become {target}: mv takes two paths of one branch, two branches or "
            "tags of one repository, or two repositories"
        )
    return bool(source.path)
