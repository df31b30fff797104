"""What `add` did, or would do: plain values, in bytes and seconds."""

from dataclasses import dataclass, field

from ...ids import ObjectId
from ..refnames import RepoName


@dataclass(slots=True)
class AddReport:
    """What `add` did. `new`, `deduplicated` and `encoded` are about chunks of file data.

    `logical` = `new` + `deduplicated`, raw bytes; `encoded` is what the new ones take in packs and
    `stored` what they take on backends with parity and footers. Of `deduplicated`, `already` bytes
    were stored before this add began, of which `unchanged` bytes, in `unchanged_files`, were not
    even read. `commit` is None when nothing changed. `skipped` names what was left out, and why,
    `left_out` has a line for each rule by which names were;
    `warnings` tell what was added and may not be what was meant. `failed` names files that could
    not be read as they are, because they changed again and again, vanished, or may not be read:
    the commit has everything but them. `removed` lists what `sync` took away, folders with a slash
    behind them, and `removed_files` counts the files and links. `moved` files, of `moved_bytes`,
    were unlinked; `kept` names those that `move` left where they are, and why. `survives` says
    what may be lost now, where the repository was given a scheme. `completed` packs that an
    earlier add had stored without some of their shards are whole now.
    """

    repo: RepoName
    branch: str
    commit: ObjectId | None = None
    files: int = 0
    logical: int = 0
    new: int = 0
    deduplicated: int = 0
    already: int = 0
    unchanged: int = 0
    unchanged_files: int = 0
    encoded: int = 0
    stored: int = 0
    seconds: float = 0.0
    skipped: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    removed_files: int = 0
    moved: int = 0
    moved_bytes: int = 0
    kept: list[str] = field(default_factory=list)
    survives: str = ""
    completed: int = 0

    @property
    def saved(self) -> int:
        """Bytes of new chunks that codecs saved."""
        return self.new - self.encoded

    @property
    def parity(self) -> int:
        """Bytes on backends that are no chunk: parity, and footers."""
        return self.stored - self.encoded


@dataclass(slots=True)
class AddPlan:
    """What an `add` would do. `logical` counts bytes of `files`, of which `unchanged` bytes, in
    `unchanged_files`, need not be read.

    `needed` is about what the rest takes on backends with parity and footers if nothing of it is
    stored yet, `free` what those that are up have; `index_needed` and `index_free` are the index's.
    `problem` says why it would not fit, "" if it does. The others are as in `AddReport`.
    """

    repo: RepoName
    branch: str
    files: int = 0
    logical: int = 0
    unchanged: int = 0
    unchanged_files: int = 0
    needed: int = 0
    free: int | None = None
    index_needed: int = 0
    index_free: int = 0
    problem: str = ""
    skipped: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    removed_files: int = 0
