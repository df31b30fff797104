"""Files that an earlier add has read and that are as they were: they are not read again.

A file is as it was where device, inode, size, mtime and ctime are. That counts only while all that
it became is still stored, and well enough: its manifest and every chunk are looked up in the index.

A file that was changed in the moment before it was read may change again without its times telling
(the clock of a filesystem has ticks), so files that young are not remembered.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ...errors import ModelFloatError
from ...ids import ObjectId
from ..formats.journal import NO_ID
from ..formats.manifest import Manifest
from ..index.sourcerows import BATCH, SourceRow, SourceRows, source_key
from .known import Known
from .request import AddRequest, Reading
from .scan import Item
from .wholefiles import WholeFiles

RACY: Final = 2_000_000_000
"""Nanoseconds: the coarsest tick of a filesystem's clock (FAT's; inode(7) for others)."""
MOST: Final = 2_000_000
"""Rows kept; beyond that those go that no add has met for longest."""

DAY: Final = 86_400
"""Seconds after which it is noted that a file was met again."""

log = logging.getLogger(__name__)


class Unchanged:
    """What is known of one add's sources, and what later ones will know."""

    def __init__(self, reading: Reading, request: AddRequest) -> None:
        self._rows = reading.index.sources
        self._index = reading.index
        known = Known(reading)
        self._whole = WholeFiles(reading.index, known)
        self._request = request
        self._now_ns = time.time_ns()
        self._noted: dict[bytes, SourceRow] = {}

    # Looking up; synchronous, in worker threads

    def find(self, items: Sequence[Item]) -> list[ObjectId | None]:
        """For each file the manifest that it has, None where it must be read (again)."""
        if self._request.reread:
            return [None] * len(items)
        matching = self._matching(items)
        rows = (row for _, row in matching if row is not None)
        whole = self._whole.find(row.manifest for row in rows if row.manifest != NO_ID)
        return [self._manifest(item, row, whole) for item, row in matching]

    def stored_bytes(self, items: Sequence[Item]) -> list[int]:
        """About how many bytes of each file are stored, without looking at its chunks."""
        if self._request.reread:
            return [0] * len(items)
        return [0 if row is None else row.stored for _, row in self._matching(items)]

    def _matching(self, items: Sequence[Item]) -> list[tuple[Item, SourceRow | None]]:
        rows = self._rows.get([source_key(item.device, item.inode) for item in items])
        return [
            (item, row if row is not None and _same(item, row) else None)
            for item, row in zip(items, rows, strict=True)
        ]

    def _manifest(
        self, item: Item, row: SourceRow | None, whole: Mapping[ObjectId, Manifest]
    ) -> ObjectId | None:
        manifest = None if row is None else whole.get(row.manifest)
        if row is None or manifest is None:
            return None
        if manifest.size != item.size or not self._has_sha256(item, manifest):
            return None
        if row.seen + DAY < self._now_ns // 1_000_000_000:
            self.note(item, row.manifest, item.size)
        return row.manifest

    def _has_sha256(self, item: Item, manifest: Manifest) -> bool:
        expect = self._request.expected_sha256
        expected = None if expect is None else expect(item.source)
        if expected is not None:
            # Another one is told when the file is read again.
            return manifest.sha256 == expected
        return manifest.sha256 is not None or not self._request.hashes_sha256

    # Remembering

    def note(self, item: Item, manifest: ObjectId, stored: int) -> None:
        """A file became this; or, with NO_ID, `stored` of its bytes are on their way."""
        if self.is_racy(item):
            return
        seen = self._now_ns // 1_000_000_000
        self._noted[source_key(item.device, item.inode)] = SourceRow(
            item.size, item.mtime_ns, item.ctime_ns, stored, seen, manifest
        )

    def is_racy(self, item: Item) -> bool:
        """Whether a file was so young that another change might not show in its times."""
        return self._now_ns - max(item.mtime_ns, item.ctime_ns) < RACY

    def __len__(self) -> int:
        """How many files were noted and not saved."""
        return len(self._noted)

    async def save(self) -> None:
        """Write down what was noted. Where that fails the next add takes longer, no more."""
        rows, self._noted = self._noted, {}
        if not rows:
            return
        try:
            await self._index.write(self._rows.put, rows)
            if len(self._rows) > MOST:
                await self._index.write(prune, self._rows, MOST * 3 // 4)
        except ModelFloatError as error:
            log.warning("the next add will read these files again: %s", error)


def prune(rows: SourceRows, keep: int) -> None:
    """Delete rows that no add has met for longest, so that about `keep` are left."""
    seen = np.fromiter((row.seen for _, row in rows.each()), np.uint32)
    if len(seen) <= keep:
        return
    oldest = int(np.partition(seen, len(seen) - keep)[len(seen) - keep])
    left = int((seen >= oldest).sum())
    doomed: list[bytes] = []
    for key, row in rows.each():
        # Of those met at the same moment some go too, so that one huge add cannot keep them all.
        surplus = row.seen == oldest and left > keep
        left -= surplus
        if row.seen < oldest or surplus:
            doomed.append(key)
        if len(doomed) == BATCH:
            rows.delete(doomed)
            doomed = []
    rows.delete(doomed)


def _same(item: Item, row: SourceRow) -> bool:
    now = (item.size, item.mtime_ns, item.ctime_ns)
    return now == (row.size, row.mtime_ns, row.ctime_ns)
