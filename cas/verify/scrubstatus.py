"""How well a store is checked: plain values."""

from dataclasses import dataclass


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
