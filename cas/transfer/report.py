"""What a push or a pull is asked for, and what came of it. All sizes are bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from ...errors import SignatureError
from ...ids import ObjectId
from ..formats.journal import RefKind
from ..refnames import Address, RepoName


class Fate(Enum):
    """What becomes of a ref in the store that is sent to."""

    NEW = "new"
    FORWARD = "forward"
    SAME = "same"
    AHEAD = "ahead"
    FORCED = "forced"

    @property
    def moves(self) -> bool:
        """Whether the ref is to be moved."""
        return self not in (Fate.SAME, Fate.AHEAD)


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """What to carry: `addresses` without REV mean all branches, else that branch or tag.

    With `tags` all tags of these repositories come too. With `force` branches and tags that went
    another way there are moved all the same. With `preflight` a transfer that is not going to fit
    ends before anything is stored. `names` are what messages call both stores, the sender's first.
    """

    addresses: Sequence[Address]
    tags: bool = False
    force: bool = False
    preflight: bool = True
    names: tuple[str, str] = ("the store", "the other store")


@dataclass(frozen=True, slots=True)
class RefSent:
    """A ref and what became of it. `old` and `new` are commits of the store that is sent to; `new`
    is None where that is not known before everything is there."""

    repo: RepoName
    kind: RefKind
    ref: str
    fate: Fate
    old: ObjectId | None
    new: ObjectId | None


@dataclass(slots=True)
class TransferReport:
    """What was sent, or with `dry_run` would be.

    `logical` counts the bytes of files that were looked at, `missing` those of chunks that had to
    be sent: raw, each once; `sent` what these take in packs, `stored` with parity and footers.
    `unknown` bytes may be there already: their ids there are not known before they are read.
    `objects` are manifests, trees and commits. `encoded_anew` chunks could not be copied as they
    were stored. `refused` tells why refs of what was asked for did not come: where signatures are
    required, and theirs is missing or not trusted.
    """

    dry_run: bool = False
    refs: list[RefSent] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    commits: int = 0
    files: int = 0
    logical: int = 0
    chunks: int = 0
    missing: int = 0
    unknown: int = 0
    sent: int = 0
    stored: int = 0
    objects: int = 0
    encoded_anew: int = 0
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """What the command ends with."""
        return SignatureError.exit_status if self.refused else 0

    def add(self, other: "TransferReport") -> None:
        """Count what another repository took as well."""
        self.refs += other.refs
        self.commits += other.commits
        self.files += other.files
        self.logical += other.logical
        self.chunks += other.chunks
        self.missing += other.missing
        self.unknown += other.unknown
        self.sent += other.sent
        self.stored += other.stored
        self.objects += other.objects
        self.encoded_anew += other.encoded_anew
