"""What of the new side is in the old one already, chunk by chunk. For worker threads."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ...ids import ObjectId
from ..formats.manifest import ENTRY
from ..formats.tree import Entry
from ..objects import Objects
from ..read.recipe import ChunkSpan
from .ledger import Ledger

BATCH: Final = 10_000

_ID: Final = 32
_COUNT: Final = """
INSERT INTO chunk (id, raw, times) VALUES (?, ?, 1)
ON CONFLICT (id) DO UPDATE SET times = times + 1
"""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Bytes of the new side in chunks that the old one lacks: all, and each chunk counted once."""

    unknown: int
    fresh: int


def overlap(
    ledger: Ledger, objects: Objects, new: Iterable[ObjectId], old: Iterable[Entry]
) -> Overlap:
    """How the files `new` of the new side overlap with all files `old` of the other one, by their
    manifests. A file that is shorter than every chunk is not looked into: it has none of them."""
    chunks = ((bytes(span.id), span.raw) for span in _spans(objects, new))
    for some in _batches(chunks):
        ledger.put(_COUNT, some)
    (least,) = ledger.one("SELECT min(raw) FROM chunk")
    if least is not None:
        before = (entry.object for entry in old if entry.size >= least)
        for ids in _batches((id_,) for id_ in _ids(objects, before)):
            ledger.put("UPDATE chunk SET known = 1 WHERE id = ?", ids)
    unknown, fresh = ledger.one("SELECT sum(raw * times), sum(raw) FROM chunk WHERE NOT known")
    return Overlap(unknown or 0, fresh or 0)


def _spans(objects: Objects, manifests: Iterable[ObjectId]) -> Iterator[ChunkSpan]:
    for manifest in manifests:
        yield from objects.recipe(objects.manifest(manifest)).all()


def _ids(objects: Objects, manifests: Iterable[ObjectId]) -> Iterator[bytes]:
    """The ids of all chunks of files: of the small ones among very many as fast as may be."""
    for manifest in objects.manifests(manifests):
        if manifest.pages:
            yield from (bytes(span.id) for span in objects.recipe(manifest).all())
        else:
            entries = manifest.inline
            yield from (entries[at : at + _ID] for at in range(0, len(entries), ENTRY.size))


def _batches(rows: Iterator[tuple[object, ...]]) -> Iterator[list[tuple[object, ...]]]:
    while batch := list(islice(rows, BATCH)):
        yield batch
