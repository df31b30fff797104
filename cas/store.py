"""The store: one index, its backends and its configuration, open for use.

Concurrency: everything runs in one event loop. Who may write when is `cas.access`.
"""

import functools
import itertools
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import trio

from ..erasure.scheme import Scheme
from ..errors import ModelFloatError, one_failure
from ..ids import BackendId, PackNumber
from .access import Access
from .ballast import Ballast
from .formats.journal import RefChanged
from .gc.collected import GRACE, FindInUse, GcReport, RemoveReport, nothing_in_use
from .index.index import Index
from .journal.journal import Journal
from .lease.mounts import PATIENCE, Opened
from .lease.others import knows_others
from .openoptions import OpenOptions
from .packs.members import Members
from .progress import Progress
from .read.renewal import Renewal
from .readingstore import ReadingStore
from .refnames import Address, RepoName
from .reserve import Reserve
from .telling import Telling
from .verify.readrepair import ReadRepair
from .verify.report import VerifyReport
from .verify.scrublog import ScrubLog

if TYPE_CHECKING:
    from .add.adding import Adding
    from .add.report import AddPlan, AddReport
    from .add.request import AddRequest
    from .edit.editing import Editing
    from .edit.edits import EditReport
    from .edit.renaming import RenameReport
    from .gc.pointing import Pointing
    from .gc.removal import Removal
    from .gc.restriping import RestripeReport
    from .sites.forgetting import Forgotten
    from .sites.listing import SiteList
    from .verify.checking import Checking
    from .verify.checkorder import VerifyRequest

log = logging.getLogger(__name__)


class Store(ReadingStore):
    """An open store. Use `open_engine`.

    What adding, checking and collecting take is imported by whoever does that: most commands, and
    all that only read, would wait for it in vain.
    """

    def __init__(
        self,
        path: str,
        scheme: Scheme,
        index: Index,
        members: Members,
        nursery: trio.Nursery,
        options: OpenOptions,
    ) -> None:
        super().__init__(path, scheme, index, members, nursery, options)
        self.loader.last_resort.renew = Renewal(self._renew)
        self.access = Access(path, index, self.pool, scheme.m + 1, options.wait, options.signing)
        self.reserve = Reserve(path, Ballast(members))
        index.makes_room = self.reserve.make_room
        self._recreate = options.recreate
        self._remark = options.remark
        self._scrubs = ScrubLog(path, index)
        telling = Telling(
            index, self.objects, self.pool, scheme, self._scrubs, self.counters, self.budget
        )
        self.stats: Final = telling.stats
        self.scrubbed: Final = telling.scrubbed
        self.health: Final = telling.health
        self.names_of: Final = telling.names_of
        self.backends: Final = telling.backends
        self.figures: Final = telling.figures
        self.room: Final = telling.room
        self.survives: Final = telling.survives
        self.read_repair: ReadRepair | None = None
        if options.reading.repair:
            # A mount may outlive the release that it is of: what it mends by is imported now.
            _ = self._checking
            self.read_repair = ReadRepair(self._mend)
            self.sightings.noted = self.read_repair.note

    async def _renew(self) -> None:
        """Take over what other sites recorded, unless somebody is alone with the store."""
        access, what = replace(self.access, wait=False), "taking over where chunks lie"
        try:
            with one_failure():
                if await access.sharing.is_shared():
                    async with access.writing(what, told=False) as journal:
                        await journal.take_over()
        except ModelFloatError as error:
            log.info("%s; what other sites did lately is not known", error)

    async def mounted(
        self, opened: Opened, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Tell other sites of a mount, and of the manifests that are `opened` on it, until
        cancelled. It has started when they can see that, and what they removed before is known."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.access.sharing.mounted, opened)
            with trio.move_on_after(PATIENCE):
                await self._renew()
            task_status.started()

    def holds(self, backend: BackendId) -> bool:
        """Whether the index has shards on that backend, good ones or not; blocks."""
        return any(backend in pack.backends for pack in self.index.packs())

    # Writing

    async def add(
        self,
        sources: Sequence[str],
        address: Address,
        *,
        message: str = "",
        tag: str | None = None,
        author: str = "",
        exclude: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> "AddReport":
        """Store files and directories at `address` and move its branch; see `AddRequest`."""
        from .add.request import AddRequest

        request = AddRequest(sources, address, message, tag, author, exclude)
        return await self.carry_out(request, progress)

    async def carry_out(
        self, request: "AddRequest", progress: Progress | None = None
    ) -> "AddReport":
        """`add` with everything that may be asked of it."""
        self.members.cipher.require()
        return await self._adding.run(request, progress or Progress())

    async def plan(self, request: "AddRequest") -> "AddPlan":
        """What `add` would do; nothing is changed."""
        return await self._adding.plan(request)

    @functools.cached_property
    def _adding(self) -> "Adding":
        from .add.adding import Adding

        return Adding(
            self.access, self.objects, self.refs, self.scheme, self._complete, self.survives
        )

    async def _complete(self, journal: Journal) -> int:
        """Make shards that earlier packs lack; where none does, nothing is imported for it."""
        if not await trio.to_thread.run_sync(self.index.incomplete):
            return 0
        return await self._checking.complete(journal)

    # Removing

    async def remove(
        self, address: Address, *, grace: float = GRACE, author: str = "", message: str = ""
    ) -> RemoveReport:
        """Remove a repository, one branch or tag of it, or with a path what lies there on a branch,
        by a commit; what that frees at a later gc."""
        self.members.cipher.require()
        if not address.path:
            return await self.reserve.retrying(lambda: self._removal.refs(address, grace))
        from .edit.edits import Branch
        from .edit.removing import Removing

        edit, branch = Removing(self.objects, address), Branch.of(address)
        done = await self.reserve.retrying(lambda: self._editing.run(edit, branch, author, message))
        return RemoveReport(
            done.repo,
            branch=done.branch,
            path=done.path,
            commit=done.commit,
            before=done.before,
            files=done.files,
            size=done.size,
            grace=grace,
        )

    async def frees(self, repo: RepoName) -> int:
        """Bytes that removing a repository would free; reads all of the index that refs reach."""
        return await self._removal.frees(repo)

    # History

    async def tag(self, repo: RepoName, name: str, rev: str | None = None) -> list[RefChanged]:
        """Make a tag of what REV means; see `cas.gc.pointing` for this and the next two."""
        self.members.cipher.require()
        return await self.reserve.retrying(lambda: self._pointing.tag(repo, name, rev))

    async def branch(
        self, repo: RepoName, name: str, rev: str | None = None, *, force: bool = False
    ) -> list[RefChanged]:
        """Make a branch of what REV means, move it on, or make its several heads one."""
        self.members.cipher.require()
        return await self.reserve.retrying(
            lambda: self._pointing.branch(repo, name, rev, force=force)
        )

    async def undo(self, repo: RepoName, ref: str | None = None) -> list[RefChanged]:
        """Undo the last change of a repository's refs, or of one branch or tag."""
        self.members.cipher.require()
        return await self.reserve.retrying(lambda: self._pointing.undo(repo, ref))

    @functools.cached_property
    def _pointing(self) -> "Pointing":
        from .gc.pointing import Pointing

        return Pointing(self.access, self.index, self.objects, self.refs, self.pool)

    @functools.cached_property
    def _removal(self) -> "Removal":
        from .gc.removal import Removal

        return Removal(self.access, self.index, self.objects, self.pool)

    # Editing

    async def move(
        self, source: Address, target: Address, *, author: str = "", message: str = ""
    ) -> "EditReport | RenameReport":
        """Move what lies at `source` to `target` by a commit of its branch; without paths rename a
        repository, or one branch or tag of it."""
        from .edit.edits import Branch
        from .edit.relocating import Relocating
        from .edit.renaming import Renaming, is_of_paths

        self.members.cipher.require()
        if not is_of_paths(source, target):
            return await Renaming(self.access, self.refs).run(source, target)
        edit = Relocating(self.objects, source, target)
        return await self._editing.run(edit, Branch.of(source), author, message)

    async def restore(
        self, address: Address, branch: str | None = None, *, author: str = "", message: str = ""
    ) -> "EditReport":
        """Make what `address` names, or everything, on `branch` as it is there, by a commit.

        None means the branch that its REV counts back from, else `main`.
        """
        from .edit.edits import Branch
        from .edit.restoring import Restoring, branch_to_restore

        self.members.cipher.require()
        into = await trio.to_thread.run_sync(branch_to_restore, self.refs, address)
        edit = Restoring(self.objects, self.refs, address)
        on = Branch(address.repo, branch or into)
        return await self._editing.run(edit, on, author, message)

    @functools.cached_property
    def _editing(self) -> "Editing":
        from .edit.editing import Editing

        return Editing(self.access, self.objects, self.refs, self.scheme)

    # Sites

    async def sites(self) -> "SiteList":
        """Which folders share the store's backends, when each was heard of, and what it does."""
        from .sites.listing import list_sites

        return await list_sites(self.access)

    async def forget_site(self, text: str, *, force: bool = False) -> "Forgotten":
        """Forget a site that is gone, by the beginning of its id; see `cas.sites.forgetting`."""
        from .sites.forgetting import forget_site

        self.members.cipher.require()
        return await forget_site(self.access, text, force=force)

    # Collecting

    async def gc(
        self,
        *,
        grace: float = GRACE,
        dry_run: bool = False,
        accept_losses: bool = False,
        find_in_use: FindInUse = nothing_in_use,
    ) -> GcReport:
        """Delete what no ref reaches, nor reached in the last `grace` seconds; see `Collection`.

        With `accept_losses` also where journal records that are lost, or lie on backends that are
        down, may have made refs.
        """
        from .gc.collection import Collection

        self.members.cipher.require()
        report, begun = GcReport(dry_run=dry_run), itertools.count()
        if accept_losses and not dry_run:
            await self.index.write(self.index.accept_gaps)
        if await trio.to_thread.run_sync(knows_others, self.access.lock("")):
            # What they removed since is garbage as well; without that it is found before a delete.
            await self._follow()

        async def collect() -> GcReport:
            collection = Collection(
                self.access,
                self.scheme,
                self.objects,
                report,
                grace,
                find_in_use,
                accept_losses=accept_losses,
                scarce=next(begun) > 0,
            )
            return await collection.run()

        if dry_run:
            return await collect()
        done = await self.reserve.retrying(collect)
        await self.reserve.make_on_backends()
        return done

    async def restripe(
        self,
        wanted: Scheme,
        repo: RepoName | None = None,
        *,
        dry_run: bool = False,
        force: bool = False,
        progress: Progress | None = None,
    ) -> "RestripeReport":
        """Copy what refs reach, of all repositories or of one, into packs of `wanted`.

        The old packs are garbage then. What is added later is protected as before. BusyError where
        less would survive, unless `force`.
        """
        from .gc.restriping import Restriping

        self.members.cipher.require()
        restriping = Restriping(self.access, self.objects, wanted)
        return await restriping.run(repo, progress or Progress(), dry_run=dry_run, force=force)

    # Checking

    @functools.cached_property
    def _checking(self) -> "Checking":
        from .verify.checking import Checking

        return Checking(
            self.index,
            self.pool,
            self.objects,
            self.refs,
            self.scheme,
            self.access.lock(""),
            self._scrubs,
            self._repairing,
            self._recreate,
            self._remark,
            self._follow,
            self.refetch,
        )

    async def _follow(self) -> None:
        """Take over what other sites recorded up to now."""
        await self.access.follower.catch_once(0.0)

    def _repairing(self) -> AbstractAsyncContextManager[Journal]:
        return self.access.writing("modelfloat verify --repair")

    async def _mend(self, packs: Sequence[PackNumber]) -> VerifyReport:
        """Mend packs that reads found damaged, unless somebody is alone with the store."""
        access = replace(self.access, wait=False)
        what = "mending what reads found damaged"
        return await self._checking.mend(packs, lambda: access.writing(what))

    async def verify(
        self,
        request: "VerifyRequest | None" = None,
        *,
        repair: bool = False,
        progress: Progress | None = None,
    ) -> VerifyReport:
        """Check what `request` says, everything if None; with `repair`, make again what is missing
        or damaged."""
        from .verify.checkorder import VerifyRequest

        asked = request or VerifyRequest(repair=repair)
        return await self._checking.run(asked, progress or Progress())
