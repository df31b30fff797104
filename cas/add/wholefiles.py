"""Manifests of which everything is still stored, so that an add may take them over unread.

Synchronous; runs in worker threads. Many are looked at together: a lookup costs a transaction, and
small files would need several each.
"""

import logging
from collections.abc import Iterable
from itertools import islice
from typing import Final

from ...errors import ModelFloatError
from ...ids import ChunkId, ObjectId
from ..formats.chunktable import Kind
from ..formats.manifest import Manifest, decode_entries, decode_manifest, decode_page
from ..index.index import Index
from .known import Known

LOOKED_UP: Final = 8192
"""Chunks that are looked up at once."""

log = logging.getLogger(__name__)


class WholeFiles:
    """Looks manifests up with everything that they name."""

    def __init__(self, index: Index, known: Known) -> None:
        self._index = index
        self._known = known

    def find(self, ids: Iterable[ObjectId]) -> dict[ObjectId, Manifest]:
        """Those of the manifests `ids` that are stored with every page and chunk."""
        found = self._manifests(sorted(set(ids)))
        short = {id_: manifest for id_, manifest in found.items() if not manifest.objects}
        stored = self._stored({ref for each in short.values() for ref in _chunks(each.inline)})
        whole = {
            id_: each for id_, each in short.items() if stored.issuperset(_chunks(each.inline))
        }
        long = ((id_, each) for id_, each in found.items() if each.objects)
        return whole | {id_: each for id_, each in long if self._has_pages(each)}

    def _manifests(self, ids: list[ObjectId]) -> dict[ObjectId, Manifest]:
        missing = set(self._known.missing_objects(ids))
        found = {}
        for id_, data in zip(ids, self._index.objects(ids), strict=True):
            if data is None or id_ in missing or self._index.ids.object(data) != id_:
                continue
            try:
                found[id_] = decode_manifest(data)
            except ModelFloatError as error:
                log.info("manifest %s is made again: %s", id_.hex()[:16], error)
        return found

    def _has_pages(self, manifest: Manifest) -> bool:
        if self._known.missing_objects(manifest.objects):
            return False
        if not self._has_chunks(manifest.inline):
            return False
        for page in (page.id for page in manifest.pages):
            (data,) = self._index.objects([page])
            if data is None or self._index.ids.object(data) != page:
                return False
            if not self._has_chunks(decode_page(data)):
                return False
        return True

    def _has_chunks(self, entries: bytes) -> bool:
        ids = _chunks(entries)
        return len(self._stored(ids)) == len(ids)

    def _stored(self, ids: set[ChunkId]) -> set[ChunkId]:
        """Those chunks that an add may rely on."""
        found: set[ChunkId] = set()
        rest = iter(sorted(ids))
        while batch := list(islice(rest, LOOKED_UP)):
            places = self._known.chunks(batch, Kind.DATA)
            found.update(id_ for id_, place in zip(batch, places, strict=True) if place is not None)
        return found


def _chunks(entries: bytes) -> set[ChunkId]:
    return {ref.id for ref in decode_entries(entries)}
