"""What the engine's long operations report: plain values, printed by the CLI and the SDK alike.

All sizes are bytes, all durations seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..ids import ObjectId
from .refnames import RepoName

LISTED: Final = 10_000
"""Problems, and lost files, that a report names one by one."""


@dataclass(slots=True)
class Progress:
    """How far a long operation is; `done` and `total` count bytes, total may still grow.

    The operation changes it in place; `notify` is called after each change, in the event loop, and
    must return at once.
    """

    done: int = 0
    total: int = 0
    files: int = 0
    current: str = ""
    notify: Callable[["Progress"], None] | None = None

    def advance(self, size: int, current: str = "") -> None:
        """`size` more bytes are done, of the object that `current` names."""
        self.done += size
        if current:
            self.current = current
        if self.notify is not None:
            self.notify(self)


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


@dataclass(frozen=True, slots=True)
class GetFailure:
    """One file, link or folder that could not be had, and why."""

    path: str
    message: str


@dataclass(slots=True)
class GetReport:
    """What `get` did. `bytes` were written; `unchanged` files and links were there already.

    `failed` counts what could not be had, `failures` names the first of it. `exit_status` is 0, or
    that of the worst failure: 3 damage, 4 data lost, 1 anything else.
    """

    files: int = 0
    links: int = 0
    folders: int = 0
    bytes: int = 0
    unchanged: int = 0
    verified: int = 0
    seconds: float = 0.0
    failed: int = 0
    failures: list[GetFailure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    exit_status: int = 0


UNSEEN: Final = "its backend is down"
"""The problem of what nobody could look at."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be.

    `kind` says of what: "shard", "journal record" (then `pack` names it, and `index` counts its
    copies), "marker" or "index" (of `pack`, where it is about one).
    """

    pack: str
    index: int
    backend: str
    problem: str
    repaired: bool
    kind: str = "shard"

    @property
    def unseen(self) -> bool:
        """Whether all that is wrong is that nobody could look, so that nobody knows."""
        return self.problem == UNSEEN and not self.repaired


@dataclass(slots=True)
class VerifyReport:
    """What `verify` found.

    `problems` are what is, or was, wrong; of more than LISTED the others are only counted, those
    of them that nobody could look at in `unlisted_unseen` too.
    `lost` names packs that something needs and not enough is left of, `lost_files` the files that
    need them. `unneeded` names packs that are beyond repair as well, but nothing needs them (any
    more): no problem, and `gc` removes them. `rescued` counts chunks of such packs that
    could still be had, and were stored again in others, `refetched` those that were had where their
    files came from; `elsewhere` counts lost files of which a repair may do so. `unread` counts
    spare shards, of packs that were mended without them: they count as not checked. `locked` says
    that the store is encrypted and its key was not there: shards were checked, and not the chunks
    in them. `refused` are those of the backends `down` that refuse us.
    """

    packs: int = 0
    shards: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    unread: int = 0
    locked: bool = False
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)
    unlisted: int = 0
    unlisted_repaired: int = 0
    unlisted_unseen: int = 0
    lost: list[str] = field(default_factory=list)
    unneeded: list[str] = field(default_factory=list)
    lost_files: list[str] = field(default_factory=list)
    unlisted_files: int = 0
    rescued: int = 0
    refetched: int = 0
    elsewhere: int = 0
    down: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    def note(self, problem: Problem) -> None:
        """Add one problem."""
        if len(self.problems) < LISTED:
            self.problems.append(problem)
            return
        self.unlisted += 1
        self.unlisted_repaired += problem.repaired
        self.unlisted_unseen += problem.unseen

    def lose(self, file: str) -> None:
        """Add one lost file."""
        if len(self.lost_files) < LISTED:
            self.lost_files.append(file)
        else:
            self.unlisted_files += 1

    @property
    def exit_status(self) -> int:
        """0 clean; 1 nobody may look; 3 damage found (and repaired, if asked); 4 data lost.

        A backend that is down is no damage by itself: what it should hold is among `problems`.
        Where all that is down refuses us that tells of our credentials, not of what lies there.
        """
        if self.lost or self.lost_files:
            return 4
        if self.unseen_only and set(self.down) <= set(self.refused):
            return 1
        return 3 if self.problems or self.replaced or self.rescued or self.refetched else 0

    @property
    def unseen_only(self) -> bool:
        """Whether there are problems, all of them of what nobody could look at."""
        mended = self.replaced or self.rescued or self.refetched
        all_listed = bool(self.problems) and all(problem.unseen for problem in self.problems)
        return not mended and all_listed and self.unlisted == self.unlisted_unseen


@dataclass(frozen=True, slots=True)
class ScrubPass:
    """What the runs found in which every pack was checked; times are ns since the epoch.

    `ended_ns` is 0 while it is under way. `exit_status` is the worst of all runs.
    """

    began_ns: int = 0
    ended_ns: int = 0
    runs: int = 0
    bytes_read: int = 0
    problems: int = 0
    repaired: int = 0
    exit_status: int = 0


@dataclass(frozen=True, slots=True)
class ScrubRun:
    """What one check found, of everything or of a part; `down` names backends that were."""

    began_ns: int
    ended_ns: int
    packs: int
    shards: int
    bytes_read: int
    problems: int
    repaired: int
    lost_packs: int
    lost_files: int
    down: tuple[str, ...]
    exit_status: int


@dataclass(frozen=True, slots=True)
class ScrubStatus:
    """How well a store is checked. `unchecked` packs never were, of `wrong` ones shards are known
    to be missing or damaged; `oldest_ns` is the time of the check that is longest ago, 0 if none.

    `full` is the last pass through everything, `run` the last check.
    """

    packs: int
    unchecked: int
    wrong: int
    oldest_ns: int
    full: ScrubPass | None
    run: ScrubRun | None


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """One backend as it is now. `state` is a word of `health.State`; `reason` says why it is that,
    "" where there is nothing to say, and `since` when it became so, in Unix seconds.

    It showed its marker in `answered` seconds, None where it did not, and failed `errors` calls,
    as far as this process knows.

    `capacity` is how many bytes of shards it may hold; `free` and `total` are no more than that
    leaves. `rate` is how much may be asked of it in the words of `modelfloat.rate`, "" for any.
    `ref_home` is the one that decides between machines that share the store.
    """

    name: str
    url: str
    domain: str
    up: bool
    reason: str
    free: int | None
    total: int | None
    shards: int
    used: int
    capacity: int | None = None
    state: str = "up"
    since: float = 0.0
    answered: float | None = None
    errors: int = 0
    rate: str = ""
    ref_home: bool = False


@dataclass(frozen=True, slots=True)
class KindStats:
    """Chunks of one element type that have one codec: how many, their raw bytes, and what these
    take in packs."""

    element: str
    codec: str
    chunks: int
    raw: int
    encoded: int


@dataclass(frozen=True, slots=True)
class RepositoryStats:
    """What the heads of a repository's branches and tags take.

    `logical` counts every file of each; `unique` the distinct raw chunks that they reach, `encoded`
    what these take in packs and `stored` their share of shards with parity. A chunk that several
    repositories have counts in each.
    """

    name: str
    files: int
    logical: int
    unique: int
    encoded: int
    stored: int


@dataclass(frozen=True, slots=True)
class SchemeStats:
    """Packs of one parity: the schemes they were split by (`4+2, 8+2`), how many they are, and
    what they survive."""

    scheme: str
    packs: int
    survives: str


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Where the bytes are: logical → unique → encoded → with parity.

    `logical` counts every file of every branch's and tag's head; `unique` the distinct raw chunks
    in packs; `encoded` what they take in packs; `stored` what they take on backends, parity and
    footers included. `survives` and `scheme` say what may be lost; `schemes` say it for each
    parity, where there are several. `degraded_packs` lack shards, `unreadable_packs` among them
    more than parity replaces.

    `kinds` are the chunks in data packs by element type and codec, the most bytes first, but those
    of `uncounted` packs: an earlier release stored them, and their footers cannot be had now.
    `by_repository` is None where nobody asked for it and it would take long, or damage is in its
    way.
    """

    repositories: int
    files: int
    logical: int
    unique: int
    encoded: int
    objects: int
    stored: int
    packs: int
    chunks: int
    degraded_packs: int
    scheme: str
    survives: str
    backends: tuple[BackendStatus, ...]
    kinds: tuple[KindStats, ...] = ()
    uncounted: int = 0
    unreadable_packs: int = 0
    by_repository: tuple[RepositoryStats, ...] | None = None
    scrub: ScrubStatus | None = None
    schemes: tuple[SchemeStats, ...] = ()

    @property
    def net_ratio(self) -> float:
        """Stored bytes a logical byte, parity included; 0 for an empty store."""
        return self.stored / self.logical if self.logical else 0.0
