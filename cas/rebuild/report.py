"""What a rebuild of the index found."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class RebuildReport:
    """What a rebuild found.

    `missing` names journal records of which no sound copy is left, `damaged_copies` counts copies
    of others. `found_again` are packs that only their shards told of, `maybe_older` refs that lost
    records may have moved, and with `refs_unsure` some may be gone. `lost_packs` are object packs
    that cannot be read, `missing_objects` counts what refs reach and no place has. `kept` is the
    folder of the old index, "" for none, and `dropped` those of earlier ones, which were removed.
    """

    writers: int = 0
    records: int = 0
    packs: int = 0
    chunks: int = 0
    refs: int = 0
    missing: list[str] = field(default_factory=list)
    damaged_copies: int = 0
    found_again: list[str] = field(default_factory=list)
    maybe_older: list[str] = field(default_factory=list)
    refs_unsure: bool = False
    lost_packs: list[str] = field(default_factory=list)
    missing_objects: int = 0
    missing_shards: int = 0
    down: dict[str, str] = field(default_factory=dict)
    kept: str = ""
    dropped: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0 all is as it was; 3 records, copies or shards are missing; 4 data is lost."""
        if self.missing_objects:
            return 4
        damaged = self.missing or self.damaged_copies or self.lost_packs or self.missing_shards
        return 3 if damaged else 0
