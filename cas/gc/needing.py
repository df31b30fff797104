"""What is to be reached again though no ref may do so: looked up, and the packs that hold it found.

Such a thing is there for a grace period only. Who deletes elsewhere is told of its packs as of what
an add relies on.
"""

from collections.abc import Iterable

import numpy as np
import trio.from_thread

from ...errors import ModelFloatError, NotFoundError
from ...ids import ObjectId, PackId
from ..index.index import Index
from ..objects import Objects
from ..packs.pool import Pool
from .marking import Marking
from .marks import Marks
from .standing import Standing


class Needing:
    """Finds the packs of one store that hold what it is asked for. For one worker thread."""

    def __init__(self, index: Index, objects: Objects, pool: Pool) -> None:
        self._marks = Marks(index, Standing(pool).ranking)
        self._marking = Marking(index, objects, self._marks, trio.from_thread.check_cancelled)

    def reach(self, name: str, roots: Iterable[ObjectId]) -> None:
        """Look up all that objects reach; NotFoundError, which calls them `name`, where anything is
        gone."""
        try:
            self._marking.reach(roots)
        except ModelFloatError as error:
            raise gone(name) from error
        if self._marking.missing:
            raise gone(name)

    def packs(self) -> set[PackId]:
        """The packs that hold it all."""
        rows = np.flatnonzero(self._marks.places)
        return {PackId(bytes(self._marks.packs["id"][row])) for row in rows}


def gone(name: str) -> NotFoundError:
    """What is told where something of it was deleted."""
    return NotFoundError(
        f"what {name} had is gone: a gc deleted it after its grace period; add it again"
    )
