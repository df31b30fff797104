"""Editing a branch: its tree changed page by page, a commit, and last the ref.

The write order is that of an add, and so is the session that others are told of: the new trees are
relied on from the moment they are stored.
"""

import logging
import time
from dataclasses import dataclass

import trio

from ...erasure.scheme import Scheme
from ...errors import NotFoundError, UsageError, one_failure
from ...ids import ObjectId
from ..access import Access
from ..add.known import Known
from ..add.newobjects import Group, NewObjects
from ..add.request import Reading
from ..formats.journal import RefKind
from ..gc.needing import Needing, gone
from ..history.moving import RefMove, move_ref
from ..history.newcommit import new_commit
from ..journal.journal import Journal
from ..lease.reliance import CondemnedError
from ..lease.sessions import Session
from ..missing import known
from ..objects import Objects
from ..packer import Packer
from ..refnames import RefHead
from ..refs import Refs
from ..schemes import own_scheme
from .edits import Branch, Edit, Edited, EditReport, Taken
from .treechange import apply_change

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for; `message` may be empty."""

    edit: Edit
    branch: Branch
    author: str
    message: str


@dataclass(frozen=True, slots=True)
class Editing:
    """Edits branches of one store, whose packs are of `scheme` unless a repository has its own."""

    access: Access
    objects: Objects
    refs: Refs
    scheme: Scheme

    async def run(self, edit: Edit, branch: Branch, author: str, message: str = "") -> EditReport:
        """Make the edit of a branch, as a commit by `author`.

        RefMovedError where what it is about was changed by somebody else meanwhile.
        """
        asked = _Asked(edit, branch, author, message)
        with one_failure():
            async with self.access.in_session(edit.what) as (journal, session):
                while True:
                    try:
                        return await self._once(asked, journal, session)
                    except* CondemnedError as again:
                        log.info("editing once more: %s", again.exceptions[0])

    async def _once(self, asked: _Asked, journal: Journal, session: Session) -> EditReport:
        async with trio.open_nursery() as nursery:
            reading = await trio.to_thread.run_sync(self._reading, asked.branch, session)
            packer = reading.packer(journal, nursery)
            new = NewObjects(Known(reading), packer, reading.index.ids)
            commit = _Commit(self, asked, journal, session, packer, new)
            report = await commit.run()
            packer.close()
        return report

    def _reading(self, branch: Branch, session: Session) -> Reading:
        own = own_scheme(self.refs, self.objects, branch.repo, branch.name)
        scheme = own or self.scheme
        return Reading.of(
            self.access, self.refs, self.objects, self.scheme, scheme, session.reliance
        )


@dataclass(frozen=True, slots=True)
class _Commit:
    """One edit, made over the branch's head until that has not moved meanwhile."""

    editing: Editing
    asked: _Asked
    journal: Journal
    session: Session
    packer: Packer
    new: NewObjects

    async def run(self) -> EditReport:
        head = await trio.to_thread.run_sync(self._head)
        edited, commit = await trio.to_thread.run_sync(self._make, head)
        if commit is None:
            await self.packer.flush()
            return self._report(head, edited, None)

        async def moves() -> list[RefMove]:
            """The branch as it is now gets the edit, if that means there what it did."""
            nonlocal head, edited, commit
            now = await trio.to_thread.run_sync(self._head)
            if now != head:
                again, new = await trio.to_thread.run_sync(self._make, now)
                if again.seen == edited.seen:
                    head, edited, commit = now, again, new
            await self.packer.flush(hold=True)
            return [] if commit is None else [_move(head, commit)]

        await move_ref(self.editing.access, self.journal, moves, self.session)
        await self.journal.record_held()
        return self._report(head, edited, commit)

    def _head(self) -> RefHead:
        return branch_head(self.editing.refs, self.asked.branch)

    def _make(self, head: RefHead) -> tuple[Edited, ObjectId | None]:
        """Have trees and a commit stored; None for it where nothing would change."""
        objects, now = self.editing.objects, time.time_ns()
        base = objects.commit(head.commit)
        edited = self.asked.edit.of(base.tree)
        if edited.taken is not None:
            self._rely(head, edited.taken)
        group = Group(self.new.put)
        tree = base.tree if edited.tree is None else edited.tree
        if edited.change is not None:
            tree = apply_change(objects, tree, edited.change, now, group.add).tree
        if tree == base.tree:
            return edited, None
        message = self.asked.message or edited.message
        data = new_commit(tree, (head.commit,), self.asked.author, message, base.erasure, now)
        group.add(data)
        group.flush()
        return edited, objects.ids.object(data)

    def _rely(self, head: RefHead, taken: Taken) -> None:
        """Rely on what is taken as on what an add finds stored, unless the branch reaches it; its
        NotFoundError where anything of it is gone, or going."""
        if self.editing.refs.descends(head.commit, taken.commit):
            return
        access, reliance = self.editing.access, self.session.reliance
        needing = Needing(access.index, self.editing.objects, access.pool)
        needing.reach(taken.name, [taken.object])
        packs = needing.packs()
        if packs & reliance.condemned:
            raise gone(taken.name)
        reliance.relied.update(packs)

    def _report(self, head: RefHead, edited: Edited, commit: ObjectId | None) -> EditReport:
        return EditReport(
            head.repo, head.ref, head.commit, commit, edited.path, edited.files, edited.size
        )


def _move(head: RefHead, commit: ObjectId) -> RefMove:
    parents = (head.commit,)
    return RefMove(head.repo, head.kind, head.ref, (head,), commit, parents=parents)


def branch_head(refs: Refs, named: Branch) -> RefHead:
    """The head of a branch that is to be edited.

    NotFoundError where there is none, UsageError where the name is a tag's or a commit's.
    """
    repo, branch = named.repo, named.name
    head = refs.head(repo, RefKind.BRANCH, branch)
    if head is not None:
        return head
    try:
        refs.resolve(repo, branch)
    except NotFoundError:
        heads = refs.heads(repo)
        branches = [head for head in heads if head.kind is RefKind.BRANCH]
        if not heads:
            raise
        raise NotFoundError(f"{repo} has no branch {branch!r}; it has {known(branches)}") from None
    raise UsageError(
        f"{repo}@{branch} is no branch, and only branches get new commits; name a branch"
    )
