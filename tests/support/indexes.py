"""What an index says, as values that do not depend on how it came about."""

import os
from pathlib import Path
from typing import Any

from modelfloat.cas.formats.journal import NOWHERE
from modelfloat.cas.index.index import Index


def picture(store: Path) -> dict[str, Any]:
    """Everything in the index of a store but pack numbers, and what verify noted.

    The mirror is left out: a store whose files can be walked has it.
    """
    index = Index.open(os.path.join(store, "index"))
    try:
        packs = {pack.number: pack for pack in index.packs()}
        return {
            "store": index.store,
            "packs": {
                pack.id: (pack.k, pack.m, pack.kind, pack.length, pack.shard, pack.raw)
                for pack in packs.values()
            },
            "counts": {pack.id: pack.chunk_count for pack in packs.values()},
            "places": {
                pack.id: [where for where in pack.backends if where != NOWHERE]
                for pack in packs.values()
            },
            "by id": {pack.id for pack in packs.values() if index.pack_of_id(pack.id) == pack},
            "chunks": {
                id_: sorted(
                    (packs[p.pack].id, p.slot, p.codec, p.kind, p.offset, p.stored, p.raw)
                    for p in places
                )
                for id_, places in index.each_chunk()
            },
            "sums": {
                pack.id: sums
                for pack, sums in zip(packs.values(), index.sums(list(packs.values())), strict=True)
            },
            "refs": sorted(
                (str(h.repo), h.kind, h.ref, h.commit, h.change, h.time_ns) for h in index.refs()
            ),
            "reflog": sorted(change.id for change in index.reflog()),
            "deleted": sorted(index.deleted()),
            "writers": {writer: index.writer(writer) for writer in index.writers()},
        }
    finally:
        index.close()


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The parts of two pictures that differ."""
    return [name for name in before if before[name] != after[name]]
