"""What `verify` found: plain values, in bytes and seconds."""

from dataclasses import dataclass, field
from typing import Final

LISTED: Final = 10_000
"""Problems, and lost files, that a report names one by one."""

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
