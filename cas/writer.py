"""Adding: sources become chunks, packs, manifests, a tree, a commit, and last a moved ref.

Write order is `docs/format.md`'s: every shard durable, then the journal, then the index, and the
ref only after everything that it reaches. A crash anywhere before that leaves the branch as it was;
what was stored by then is found again by the next add.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio

from ..erasure.scheme import Scheme
from ..errors import ExistsError, UsageError
from ..ids import ObjectId, StoreId
from .formats.commit import Commit, encode_commit
from .formats.journal import NO_ID, RefChanged, RefKind
from .formats.objects import object_id
from .formats.tree import Entry, EntryType
from .index import Index
from .ingest import BATCHES, SMALL_FILE, Ingest, StoredFile, batches
from .journal import Journal
from .locks import locked
from .objects import Objects
from .packer import Packer
from .pool import Pool
from .refnames import DEFAULT_BRANCH, Address, RefHead, RepoName, check_ref_name
from .refs import Refs
from .reports import AddReport, Progress
from .scan import Item, Scan
from .trees import DEFAULT_MODE, Staged, check_conflicts, merge

MASK: Final = 0o7777


@dataclass(frozen=True, slots=True)
class AddRequest:
    """What to add and where. `address` is vendor/name[@branch][/path]; a single source file takes
    the path's last part as its name unless that is a directory already."""

    sources: Sequence[str]
    address: Address
    message: str = ""
    tag: str | None = None
    author: str = ""
    exclude: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Writing:
    """What a writer needs of a store; `path` is its folder, `refs_lock` the refs' lock file."""

    path: str
    store: StoreId
    scheme: Scheme
    index: Index
    objects: Objects
    refs: Refs
    pool: Pool
    journal: Journal
    refs_lock: str


class Writer:
    """One add."""

    def __init__(self, writing: Writing, request: AddRequest, progress: Progress) -> None:
        self._w = writing
        self._request = request
        self._progress = progress
        self._repo = request.address.repo
        self._branch = check_ref_name(request.address.rev or DEFAULT_BRANCH, "branch")
        self._staged = Staged()
        self._report = AddReport(self._repo, self._branch)

    async def run(self) -> AddReport:
        """Add everything; the branch moves at the very end."""
        started = time.monotonic()
        await trio.to_thread.run_sync(self._check_names)
        items = await trio.to_thread.run_sync(self._scan)
        async with trio.open_nursery() as nursery:
            w = self._w
            packer = Packer(w.store, w.scheme, w.pool, w.journal, nursery)
            ingest = Ingest(w.index, w.pool, packer, w.scheme, self._report, self._progress)
            await self._ingest(ingest, items)
            await self._commit(ingest, packer)
            packer.close()
        self._report.encoded, self._report.stored = packer.encoded, packer.stored
        self._report.seconds = time.monotonic() - started
        return self._report

    def _check_names(self) -> None:
        """A new branch or tag may not hide a tag, branch or commit of the same name."""
        refs = self._w.refs
        if refs.head(self._repo, RefKind.BRANCH, self._branch) is None:
            refs.check_new(self._repo, RefKind.BRANCH, self._branch)
        tag = self._request.tag
        if tag is None:
            return
        if check_ref_name(tag, "tag") == self._branch:
            raise UsageError(f"{tag} is the branch that this adds to; choose another tag")
        refs.check_new(self._repo, RefKind.TAG, tag)
        if refs.head(self._repo, RefKind.TAG, tag) is not None:
            raise ExistsError(f"{self._repo} has a tag {tag} already; choose another name")

    # From sources to staged entries

    def _scan(self) -> list[Item]:
        scan = Scan(self._request.exclude, avoid=os.fsencode(self._w.path))
        into, name = self._destination()
        items = list(scan.items(self._request.sources, into, name))
        self._report.skipped = scan.skipped
        files = [item for item in items if item.type is EntryType.FILE]
        self._report.files = self._progress.files = len(files)
        self._progress.total += sum(item.status.st_size for item in files)
        for item in items:
            self._stage_item(item)
        check_conflicts(self._w.objects, self._base(), self._staged)
        return files

    def _base(self) -> ObjectId | None:
        """The tree of the branch's head, as it is now."""
        head = self._w.refs.head(self._repo, RefKind.BRANCH, self._branch)
        return None if head is None else self._w.objects.commit(head.commit).tree

    def _destination(self) -> tuple[tuple[bytes, ...], bytes]:
        """The directory to add into, and a name for a single source file (or b"")."""
        path = self._request.address.path
        if not path or len(self._request.sources) != 1:
            return path, b""
        base = self._base()
        there = None if base is None else self._w.objects.find(base, path)
        if self._request.address.folder:
            return path, b""
        if not os.path.isdir(self._request.sources[0]) and (
            there is None or there.type is not EntryType.DIRECTORY
        ):
            return path[:-1], path[-1]
        return path, b""

    def _stage_item(self, item: Item) -> None:
        """Links and directories as they are found; files as places to be filled once stored, so
        that two things for one place are noticed before anything is read."""
        mode, mtime = item.status.st_mode & MASK, item.status.st_mtime_ns
        if item.type is EntryType.SYMLINK:
            link = Entry(item.path[-1], item.type, mode, mtime, len(item.link), item.link)
            self._staged.put(item.path[:-1], link, new=True)
        elif item.type is EntryType.DIRECTORY:
            directory = self._staged.directory(item.path)
            directory.mode, directory.mtime_ns = mode or DEFAULT_MODE, mtime
        else:
            self._stage_file(item, StoredFile(ObjectId(NO_ID), item.status.st_size), new=True)

    def _stage_file(self, item: Item, stored: StoredFile, *, new: bool = False) -> None:
        status = item.status
        entry = Entry(
            item.path[-1],
            EntryType.FILE,
            status.st_mode & MASK,
            status.st_mtime_ns,
            stored.size,
            stored.manifest,
        )
        self._staged.put(item.path[:-1], entry, new=new)

    async def _ingest(self, ingest: Ingest, files: list[Item]) -> None:
        """Large files one after the other, small ones in batches beside them."""
        large = [item for item in files if item.status.st_size > SMALL_FILE]
        small = batches([item for item in files if item.status.st_size <= SMALL_FILE])

        async def add_large() -> None:
            for item in large:
                self._stage_file(item, await ingest.large(item))

        async def add_small() -> None:
            for batch in small:
                for item, stored in zip(batch, await ingest.small(batch), strict=True):
                    self._stage_file(item, stored)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(add_large)
            for _ in range(BATCHES):
                nursery.start_soon(add_small)

    # From staged entries to a moved ref

    async def _commit(self, ingest: Ingest, packer: Packer) -> None:
        while True:
            head = await trio.to_thread.run_sync(
                self._w.refs.head, self._repo, RefKind.BRANCH, self._branch
            )
            commit = await self._make_commit(ingest, head)
            await packer.flush()
            if commit is None and self._request.tag is None:
                return
            if await self._move(head, commit):
                self._report.commit = commit
                return

    async def _make_commit(self, ingest: Ingest, head: RefHead | None) -> ObjectId | None:
        """Store trees and commit on top of `head`; None where nothing would change."""
        base = None if head is None else self._w.objects.commit(head.commit).tree
        now = time.time_ns()
        merged = await trio.to_thread.run_sync(merge, self._w.objects, base, self._staged, now)
        if merged.tree == base:
            return None
        commit = encode_commit(
            Commit(
                merged.tree,
                () if head is None else (head.commit,),
                now,
                time.localtime(now // 1_000_000_000).tm_gmtoff // 60,
                self._request.author,
                self._request.message or self._default_message(),
            )
        )
        await ingest.put_objects([*merged.objects, commit])
        return object_id(commit)

    def _default_message(self) -> str:
        files = self._report.files
        return f"add {files} file{'' if files == 1 else 's'}"

    async def _move(self, head: RefHead | None, commit: ObjectId | None) -> bool:
        """Move the branch from `head` to `commit` and set the tag; False if it moved meanwhile."""
        async with locked(self._w.refs_lock):
            # What a crashed writer had made durable counts before we look.
            await self._w.journal.catch_up_others()
            now = self._w.refs.head(self._repo, RefKind.BRANCH, self._branch)
            if now != head:
                return False
            changes = []
            if commit is not None:
                changes.append(self._change(RefKind.BRANCH, self._branch, head, commit))
            target = commit or (head.commit if head is not None else None)
            if self._request.tag is not None:
                if target is None:
                    raise UsageError("there is nothing to tag: nothing was added")
                self._check_names()
                changes.append(self._change(RefKind.TAG, self._request.tag, None, target))
            await self._w.journal.append(changes)
        return True

    def _change(self, kind: RefKind, ref: str, head: RefHead | None, new: ObjectId) -> RefChanged:
        repo: RepoName = self._repo
        return RefChanged(
            kind,
            repo.vendor,
            repo.name,
            ref,
            NO_ID if head is None else head.change,
            ObjectId(NO_ID) if head is None else head.commit,
            new,
            time.time_ns(),
        )
