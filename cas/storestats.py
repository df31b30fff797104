"""Where the bytes of a store are, and on which backends: plain values, in bytes and seconds."""

from dataclasses import dataclass

from .verify.scrubstatus import ScrubStatus


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
