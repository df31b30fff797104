"""Journals compacted for tests: whatever is in them, and looked at afterwards."""

import time
from pathlib import Path
from unittest.mock import patch

from modelfloat.backends.keys import parse_journal_key
from modelfloat.cas.formats.journal import NO_ID, RefChanged, RefKind, decode_record, says_segment
from modelfloat.cas.gc import compaction
from modelfloat.cas.gc.compaction import Compacting
from modelfloat.cas.lease.lease import unfenced
from modelfloat.cas.refnames import RepoName
from modelfloat.cas.store import Store
from modelfloat.ids import ObjectId, WriterId


async def compacted(store: Store, since_ns: int | None = None) -> Compacting:
    """Compact what is older than `since_ns`, by default all there is, however few records."""
    limits = {writer: store.index.writer(writer)[0] for writer in store.index.writers()}
    since = time.time_ns() + 1 if since_ns is None else since_ns
    with patch.object(compaction, "LEAST", 2):
        return await compaction.compact(store.access, unfenced, since, limits)


def journal_files(store: Path) -> dict[tuple[WriterId, int], list[Path]]:
    """The copies of each record on a store's own directories."""
    found: dict[tuple[WriterId, int], list[Path]] = {}
    for path in sorted(store.glob("backends/*/journal/*/*")):
        parsed = parse_journal_key("/".join(path.parts[-3:]))
        assert parsed is not None
        found.setdefault(parsed[:2], []).append(path)
    return found


def segments(store: Path) -> list[tuple[WriterId, int]]:
    """The records that are segments."""
    files = journal_files(store)
    return [record for record, paths in files.items() if says_segment(paths[0].read_bytes())]


async def many_records(store: Store, count: int) -> None:
    """A journal of that many more small records: a tag of some commit that comes and goes."""
    repo = RepoName("acme", "many")
    async with store.access.writing("a test") as journal:
        previous, old, new = NO_ID, ObjectId(NO_ID), store.index.refs()[0].commit
        for head in store.index.ref(repo, RefKind.TAG, "t"):
            previous, old, new = head.change, head.commit, ObjectId(NO_ID)
        for number in range(count):
            change = RefChanged(
                RefKind.TAG,
                repo.vendor,
                repo.name,
                "t",
                previous,
                old,
                new,
                time.time_ns() + number,
            )
            await journal.append([change])
            previous, old, new = change.id, new, old


def entries_of(path: Path) -> int:
    """How many entries a record in the clear has."""
    return len(decode_record(path.read_bytes(), str(path)).entries)
