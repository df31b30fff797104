"""Objects of packs held against the index's mirror of them; what it lacks is put back."""

import trio

from ...ids import ObjectId
from ..formats.chunktable import Kind
from ..formats.shard import PackInfo
from ..index.index import Index
from ..packs.objectpacks import decode_objects
from .judgement import Judgement
from .report import Problem, VerifyReport


class Mirroring:
    """Mends the mirror of one index."""

    def __init__(self, index: Index, report: VerifyReport) -> None:
        self._index = index
        self._report = report

    def is_whole(self, info: PackInfo) -> bool:
        """Whether the mirror has all objects of a pack. For a worker thread."""
        if info.kind is not Kind.OBJECT:
            return True
        index = self._index
        wanted = [ObjectId(chunk.id) for chunk in info.chunks]
        return all(
            (body := index.object(id_)) is not None and index.ids.object(body) == id_
            for id_ in wanted
        )

    async def mend(self, judgement: Judgement) -> None:
        """Put objects of a pack that the mirror lacks back into it."""
        info = judgement.info
        if info.kind is not Kind.OBJECT:
            return
        data = memoryview(b"".join(judgement.shards[i].payload for i in range(info.k)))
        objects = await trio.to_thread.run_sync(decode_objects, data, info.chunks, judgement.opener)
        missing = {id_: body for id_, body in objects.items() if self._index.object(id_) != body}
        if missing:
            await self._index.write(self._index.put_objects, missing)
            problem = f"objects missing or damaged in the index: {len(missing):,}"
            self._report.note(Problem(info.pack.hex(), 0, "", problem, True, "index"))
