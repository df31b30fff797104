"""What `modelfloat diff` shows of a file's tensors: a row each, of many alike only the first."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from .output import human_size, shown

if TYPE_CHECKING:
    from ..cas.diff.difference import TensorChange

SHOWN: Final = 8
"""Tensors of one kind that are named, unless --verbose: added, removed, renamed or moved ones."""
CHANGED_SHOWN: Final = 50
"""Likewise those whose bytes, type or shape changed."""

SIGNS: Final = {"added": "+", "removed": "-", "renamed": ">", "moved": ">"}
"""What stands before a line; `~` before all others."""

_FEW: Final = {"added", "removed", "renamed", "moved"}


def tensor_rows(changes: "Iterable[TensorChange]", *, verbose: bool) -> Iterator[list[str]]:
    """A row for each tensor; of many of one kind, from one file, only for the first."""
    found: Counter[tuple[str, str]] = Counter()
    unsaid: Counter[tuple[str, str]] = Counter()
    for change in changes:
        key = change.kind, _source(change)
        found[key] += 1
        if verbose or found[key] <= _limit(change.kind):
            yield tensor_row(change)
        elif side := change.new or change.old:
            unsaid[key] += side.size
    for (kind, source), size in unsaid.items():
        more = f"{found[kind, source] - _limit(kind):,} more {kind}"
        notes = filter(None, (source, "--verbose or --json names them"))
        yield [f"  {SIGNS.get(kind, '~')} … and {more}", "", human_size(size), ", ".join(notes)]


def _limit(kind: str) -> int:
    return SHOWN if kind in _FEW else CHANGED_SHOWN


def tensor_row(change: "TensorChange") -> list[str]:
    """Name, type and shape, size, and what else is to be said."""
    old, new = change.old, change.new
    sides = [side for side in (old, new) if side]
    names = once(_name(side.name) for side in sides)
    shapes = once(str(list(side.shape)) for side in sides)
    what = f"{once(side.type for side in sides)} {shapes}"
    size = once(human_size(side.size) for side in sides)
    notes = [_source(change)] if _source(change) else []
    if change.kind in ("retyped", "reshaped"):
        notes.append("same bytes" if change.same_bytes else "other bytes")
    return [f"  {SIGNS.get(change.kind, '~')} {names}", what, size, ", ".join(notes)]


def _source(change: "TensorChange") -> str:
    """From which other file it came, if it did."""
    old, new = change.old, change.new
    return f"from {shown(old.file)}" if old and new and old.file != new.file else ""


def once(texts: Iterable[str]) -> str:
    """What both sides say, with an arrow where they differ."""
    return " → ".join(dict.fromkeys(texts))


def _name(name: str) -> str:
    return shown(name.encode("utf-8", "surrogatepass"))
