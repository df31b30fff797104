"""A Hugging Face cache imported: every snapshot of every model as a branch named by its commit.

A model `org/name` becomes the repository `org/name`. The snapshot of commit C is its branch C, so
`org/name@C` has exactly the snapshot's files, also after more of them were downloaded and imported;
each ref of the cache, `main` first of all, is a branch that becomes as its snapshot is. Importing
again adds what is new: files that are as they were are not read.

A large file must have the SHA-256 that its blob is named by, a small one the id in git. A snapshot
with a file that has not, or one that is not there, is refused, and the others are imported.
"""

import os
from dataclasses import dataclass, field
from typing import Final

import trio

from ..cas.add.report import AddReport
from ..cas.add.request import AddRequest
from ..cas.codecs.effort import Effort
from ..cas.progress import Progress
from ..cas.refnames import HUB_VENDOR, Address, RepoName, check_ref_name
from ..cas.store import Store
from ..erasure.scheme import Scheme
from ..errors import (
    ConflictError,
    ExistsError,
    SourceChangedError,
    SourceDamagedError,
    SourceUnreadableError,
    UsageError,
)
from .hfcache import (
    CachedModel,
    Snapshot,
    check_git_id,
    expected_sha256,
    files,
    read_cache,
)

_ONE_SNAPSHOT: Final = (
    SourceChangedError,
    SourceDamagedError,
    SourceUnreadableError,
    ConflictError,
    ExistsError,
    UsageError,
)
"""What concerns one snapshot: the others are imported."""


@dataclass(slots=True)
class ImportReport:
    """What an import did: the report of every branch that was looked at, and what was left out.

    `failed` tells what should have been imported and was not; `skipped` what is not meant to be.
    """

    added: list[AddReport] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """1 where anything failed."""
        return int(bool(self.failed))


@dataclass(frozen=True, slots=True)
class Adding:
    """How snapshots are added: see `AddRequest`."""

    author: str = ""
    effort: Effort = Effort.BALANCED
    preflight: bool = True
    erasure: Scheme | None = None
    min_shards: int | None = None


async def import_cache(
    store: Store, path: str, adding: Adding, progress: Progress | None = None
) -> ImportReport:
    """Import every model of the Hugging Face cache in the folder `path`.

    NotFoundError where there is no such folder; UsageError where it has no model.
    """
    listing = await trio.to_thread.run_sync(read_cache, path)
    if not listing.models and not listing.skipped:
        raise UsageError(f"{path} has no models--… folder: it is no Hugging Face cache")
    report = ImportReport(skipped=listing.skipped)
    work = _Import(store, adding, progress or Progress(), report)
    for model in listing.models:
        await work.model(model)
    return report


@dataclass(frozen=True, slots=True)
class _Import:
    store: Store
    adding: Adding
    progress: Progress
    report: ImportReport

    async def model(self, model: CachedModel) -> None:
        """Import a model's snapshots, oldest first, then make its refs as they are."""
        repo = RepoName(model.vendor, model.name)
        self.report.skipped += (f"{path}: its download is unfinished" for path in model.unfinished)
        good = {}
        for snapshot in model.snapshots:
            if await self._snapshot(repo, snapshot.commit, snapshot):
                good[snapshot.commit] = snapshot
        for ref, commit in model.refs.items():
            if commit not in good:
                known = any(commit == snapshot.commit for snapshot in model.snapshots)
                if not known:
                    self.report.skipped.append(f"{repo} {ref}: the cache has no {commit[:12]}")
            elif _is_branch(ref):
                await self._snapshot(repo, ref, good[commit])
            else:
                self.report.skipped.append(
                    f"{repo} {ref}: cannot name a branch; what it is at is {repo}@{commit}"
                )

    async def _snapshot(self, repo: RepoName, branch: str, snapshot: Snapshot) -> bool:
        """Make a branch as a snapshot is; False where that cannot be, which is noted."""
        request = AddRequest(
            [snapshot.path],
            Address(repo, branch, ()),
            f"Hugging Face {repo} {snapshot.commit}",
            author=self.adding.author,
            sync=True,
            effort=self.adding.effort,
            preflight=self.adding.preflight,
            erasure=self.adding.erasure,
            min_shards=self.adding.min_shards,
            expected_sha256=expected_sha256,
            source_url=f"hf://models/{_hub_name(repo)}@{snapshot.commit}",
        )
        try:
            if branch == snapshot.commit:
                await trio.to_thread.run_sync(_check, snapshot)
            report = await self.store.carry_out(request, self.progress)
        except _ONE_SNAPSHOT as error:
            self.report.failed.append(f"{repo}@{snapshot.commit[:12]}: {error}")
            return False
        self.report.added.append(report)
        self.report.failed += report.failed
        return True


def _check(snapshot: Snapshot) -> None:
    """SourceUnreadableError where a file is not there, SourceDamagedError where it is another."""
    for path in files(snapshot):
        if not os.path.exists(path):
            raise SourceUnreadableError(
                f"{path} links to a blob that is not there; download it again, or remove the link"
            )
        check_git_id(path)


def _hub_name(repo: RepoName) -> str:
    """What the hub calls a model: those of the first days have no organisation."""
    return repo.name if repo.vendor == HUB_VENDOR else str(repo)


def _is_branch(ref: str) -> bool:
    try:
        return bool(check_ref_name(ref, "branch"))
    except UsageError:
        return False
