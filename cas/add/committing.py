"""From staged entries to a moved ref: trees merged over the branch's head, a commit, the ref.

The ref moves last, after everything that it reaches is durable. Its trees are stored when its turn
has come and nobody else can move it: if the branch has moved meanwhile, they are merged once more
before, over its new head. What takes long, the files' data, is durable by then.
"""

import time
from dataclasses import dataclass
from typing import Final

import trio

from ...erasure.scheme import Scheme
from ...errors import ExistsError, NotFoundError, UsageError
from ...ids import ObjectId
from ..formats.journal import RefKind
from ..history.moving import Moves, RefMove
from ..history.newcommit import new_commit
from ..packer import EVERY, LaneName, Packer
from ..refnames import DEFAULT_BRANCH, RefHead, RepoName, check_ref_name
from ..refs import Refs
from ..schemes import own_scheme
from .newobjects import Group, PutObjects
from .report import AddReport
from .request import AddRequest, Writing
from .staging import Staging
from .syncing import Removals
from .treepages import Merged
from .trees import merge

BULK: Final = (LaneName.LARGE, LaneName.SMALL)
"""What can be stored before anybody knows which commit comes before this one."""
FEW: Final = 1000
"""With so many files the first trees are stored before the branch is held: they take longer than
what is left to do then, where others committed meanwhile."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A commit over `head`; None where nothing would change."""

    head: RefHead | None
    commit: ObjectId | None


def branch_of(request: AddRequest) -> str:
    """The branch that an add moves."""
    return check_ref_name(request.address.rev or DEFAULT_BRANCH, "branch")


def check_names(refs: Refs, request: AddRequest) -> None:
    """A new branch or tag may not hide a tag, branch or commit of the same name."""
    repo, branch, tag = request.address.repo, branch_of(request), request.tag
    if refs.head(repo, RefKind.BRANCH, branch) is None:
        refs.check_new(repo, RefKind.BRANCH, branch)
    if tag is None:
        return
    if check_ref_name(tag, "tag") == branch:
        raise UsageError(f"{tag} is the branch that this adds to; choose another tag")
    refs.check_new(repo, RefKind.TAG, tag)
    if refs.head(repo, RefKind.TAG, tag) is not None:
        raise ExistsError(f"{repo} has a tag {tag} already; choose another name")


class Committer:
    """Makes the commit of one add; `report` gets what was removed for it."""

    def __init__(
        self, writing: Writing, request: AddRequest, staging: Staging, report: AddReport
    ) -> None:
        self._w = writing
        self._request = request
        self._staging = staging
        self._report = report
        self._repo: RepoName = request.address.repo
        self._branch = branch_of(request)

    async def run(self, put_objects: PutObjects, packer: Packer) -> ObjectId | None:
        """Store trees and a commit, and move the branch; None where nothing would change."""
        made = await self._make(put_objects)
        if not self._wants(made):
            await packer.flush()
            return None
        # What takes long is done before others have to wait for it.
        few = self._report.files <= FEW
        await packer.flush(BULK if few else EVERY, hold=few)

        async def moves() -> list[RefMove]:
            nonlocal made
            if await self._head() != made.head:
                made = await self._make(put_objects)
            await packer.flush(hold=True)
            return self._moves(made) if self._wants(made) else []

        await self._move(moves)
        return made.commit

    async def _move(self, moves: Moves) -> None:
        await self._w.move(moves)
        # Where nothing was to be moved after all, what is stored is known all the same.
        await self._w.journal.record_held()

    def _wants(self, made: _Made) -> bool:
        return made.commit is not None or self._request.tag is not None

    async def _head(self) -> RefHead | None:
        return await trio.to_thread.run_sync(
            self._w.refs.head, self._repo, RefKind.BRANCH, self._branch
        )

    async def _make(self, put_objects: PutObjects) -> _Made:
        """Trees and a commit on top of the branch as it is now."""
        head = await self._head()
        return _Made(head, await self._make_commit(put_objects, head))

    async def _make_commit(self, put_objects: PutObjects, head: RefHead | None) -> ObjectId | None:
        """Store trees and commit on top of `head`; None where nothing would change."""
        base = None if head is None else self._w.objects.commit(head.commit).tree
        now = time.time_ns()
        removals = self._staging.removals()
        before, own = await trio.to_thread.run_sync(self._schemes, head)
        merged = await self._merge(put_objects, base, now, removals)
        if removals is not None:
            self._report.removed, self._report.removed_files = removals.names(), removals.files
        if merged.tree == base and own == before:
            return None
        parents = () if head is None else (head.commit,)
        message = self._request.message or self._default_message(changed=merged.tree != base)
        commit = new_commit(merged.tree, parents, self._request.author, message, own, now)
        await put_objects([commit])
        return self._w.index.ids.object(commit)

    async def _merge(
        self,
        put_objects: PutObjects,
        base: ObjectId | None,
        now_ns: int,
        removals: Removals | None,
    ) -> Merged:
        """The merged trees, stored group by group while the next ones are made."""

        def work() -> Merged:
            group = Group(put_objects)
            staged = self._staging.staged
            merged = merge(self._w.objects, base, staged, now_ns, group.add, removals)
            group.flush()
            return merged

        return await trio.to_thread.run_sync(work)

    def _schemes(self, head: RefHead | None) -> tuple[Scheme | None, Scheme | None]:
        """The repository's own scheme as the head's commit has it, and as the next one shall."""
        w, own = self._w, self._request.erasure
        if head is not None:
            before = w.objects.commit(head.commit).erasure
            return before, own or before
        return None, own or own_scheme(w.refs, w.objects, self._repo, self._branch)

    def _default_message(self, *, changed: bool) -> str:
        if not changed:
            return f"new packs as {self._request.erasure}"
        added = f"add {_files(self._report.files)}"
        removed = self._report.removed_files
        return f"{added}, remove {_files(removed)}" if removed else added

    def _moves(self, made: _Made) -> list[RefMove]:
        """The branch from its head to the commit, and the tag."""
        head, target = made.head, made.commit or (made.head.commit if made.head else None)
        if target is None:
            raise NotFoundError("there is nothing to tag: nothing was added; add something first")
        seen = () if head is None else (head,)
        parents = None if made.commit is None else tuple(each.commit for each in seen)
        moves = [RefMove(self._repo, RefKind.BRANCH, self._branch, seen, target, parents=parents)]
        if self._request.tag is not None:
            moves.append(RefMove(self._repo, RefKind.TAG, self._request.tag, (), target))
        return moves


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
