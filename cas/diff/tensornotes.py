"""What became of tensors, read back from the notes; and the figures. Synchronous."""

import json
from collections.abc import Iterator
from typing import Any, Final

from .chunknotes import Overlap
from .difference import FILE_KINDS, TENSOR_KINDS, Count, Summary, Tensor, TensorChange
from .ledger import Ledger
from .matching import SAME

_CHANGES: Final = f"""
SELECT n.kind, o.id NOTNULL AND {SAME}, o.path, o.name, o.element, o.shape, o.size,
    n.path, n.name, n.element, n.shape, n.size, sort_key(n.name) AS by_name,
    n.offset AS by_offset
FROM tensor n LEFT JOIN tensor o ON o.id = n.mate
WHERE n.file = :file AND n.side = 1 AND n.kind <> 'same'
UNION ALL
SELECT kind, 0, path, name, element, shape, size, NULL, NULL, NULL, NULL, NULL,
    sort_key(name), offset
FROM tensor WHERE file = :file AND side = 0 AND kind NOTNULL
ORDER BY by_name, by_offset, 1
"""  # noqa: S608 - a text of ours

_FIGURES: Final = "SELECT kind, count(*), sum(size) FROM tensor WHERE kind NOTNULL GROUP BY kind"

_OTHER_BYTES: Final = f"""
SELECT sum(n.size) FROM tensor n JOIN tensor o ON o.id = n.mate WHERE n.side = 1 AND NOT ({SAME})
"""  # noqa: S608 - a text of ours


def tensor_changes(ledger: Ledger, number: int) -> Iterator[TensorChange]:
    """The tensors that differ of the file of that number, by name, 2 before 10: those that are in
    it now, and those that were in it and are nowhere any more."""
    for kind, same, *sides, _, _ in ledger.rows(_CHANGES, {"file": number}):
        yield TensorChange(kind, _tensor(sides[:5]), _tensor(sides[5:]), bool(same))


def _tensor(side: list[Any]) -> Tensor | None:
    path, name, element, shape, size = side
    if path is None:
        return None
    text = name.decode("utf-8", "surrogatepass")
    return Tensor(path, text, element, tuple(json.loads(shape)), size)


def summarize(ledger: Ledger, sizes: tuple[int, int], overlap: Overlap) -> Summary:
    """Figures of a comparison of two sides of these sizes, when all tensors were matched."""
    files = dict(ledger.rows("SELECT kind, count(*) FROM file GROUP BY kind"))
    found = {kind: Count(count, size) for kind, count, size in ledger.rows(_FIGURES)}
    return Summary(
        files={kind: files[kind] for kind in FILE_KINDS if kind in files},
        tensors={kind: found[kind] for kind in TENSOR_KINDS if kind in found},
        same=found.get("same", Count(0, 0)),
        old_size=sizes[0],
        new_size=sizes[1],
        known=sizes[1] - overlap.unknown,
        fresh=overlap.fresh,
        changed_bytes=ledger.one(_OTHER_BYTES)[0] or 0,
    )
