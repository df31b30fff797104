"""What rm and gc report: plain values. All sizes are bytes with parity, all durations seconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...ids import ObjectId
from ..refnames import RefHead, RepoName

GRACE: Final = 14 * 86400.0
"""Seconds for which what no ref reaches any more is kept."""


@dataclass(frozen=True, slots=True)
class InUse:
    """A file that somebody has open on a mount: `who` says who, for people."""

    manifest: ObjectId
    name: str
    who: str


FindInUse = Callable[[], Sequence[InUse]]
"""Tells which files are open on live mounts now; may block."""


def nothing_in_use() -> Sequence[InUse]:
    """For stores without mounts."""
    return ()


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is kept only because it is open, and how much that keeps."""

    name: str
    who: str
    size: int


@dataclass(slots=True)
class RemoveReport:
    """What `rm` removed: refs of `repo`, or with a `path` what lay there on one `branch`.

    `frees` is what a gc will free, once `grace` seconds have passed, of what only this reached.
    `commit` is the branch's new one, after `before`; None where refs were removed. Of a path
    `files` files and links went, of `size` bytes; the branch's history has them still.
    """

    repo: RepoName
    refs: tuple[RefHead, ...] = ()
    branch: str = ""
    path: str = ""
    commit: ObjectId | None = None
    before: ObjectId | None = None
    files: int = 0
    size: int = 0
    frees: int = 0
    grace: float = GRACE
    removed_ns: int = 0


@dataclass(slots=True)
class GcReport:
    """What `gc` did, or with `dry_run` would do.

    `deleted` counts packs of which nothing was needed, `rewritten` those of which little was,
    `merged` small ones, all of which became `merged_into`, of `written` bytes. `orphans` are shards
    that nothing named. Each has its bytes in `…_size`. `freed` is net of what was written anew.
    `kept` is what open files keep. `pending` counts packs with shards on backends that are down,
    which a later gc deletes, and `skipped` packs that could not be rewritten. `compacted` counts
    journal records that became `segments`. `refused` says why it would end now, of a dry run.
    """

    dry_run: bool = False
    refused: str = ""
    deleted: int = 0
    deleted_size: int = 0
    rewritten: int = 0
    rewritten_size: int = 0
    merged: int = 0
    merged_size: int = 0
    merged_into: int = 0
    written: int = 0
    orphans: int = 0
    orphans_size: int = 0
    freed: int = 0
    pending: int = 0
    skipped: int = 0
    young: int = 0
    compacted: int = 0
    segments: int = 0
    kept: list[Kept] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def begin(self) -> None:
        """Forget what a collection that failed had seen; what it did stays."""
        self.pending = self.skipped = self.young = 0
        self.kept = []
        self.warnings = []

    def note_deleted(self, packs: int, size: int) -> None:
        """Packs of which nothing was needed are gone."""
        self.deleted, self.deleted_size = self.deleted + packs, self.deleted_size + size
        self.freed += size

    def note_rewritten(self, packs: int, size: int) -> None:
        """Packs of which little was needed are gone."""
        self.rewritten, self.rewritten_size = self.rewritten + packs, self.rewritten_size + size
        self.freed += size

    def note_merged(self, packs: int, size: int) -> None:
        """Small packs are gone."""
        self.merged, self.merged_size = self.merged + packs, self.merged_size + size
        self.freed += size

    def note_written(self, size: int) -> None:
        """New packs were written."""
        self.written += size
        self.freed -= size

    def note_orphans(self, sizes: Sequence[int]) -> None:
        """Shards that nothing named are gone."""
        self.orphans += len(sizes)
        self.orphans_size += sum(sizes)
        self.freed += sum(sizes)
