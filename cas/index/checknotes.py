"""What checks and reads found of shards, noted in the index's pack records.

Runs inside the caller's write transaction.
"""

from dataclasses import dataclass, replace
from typing import Any

from ...ids import BackendId, PackNumber
from .records import NUMBER, PackRecord, ShardState


@dataclass(frozen=True, slots=True)
class Check:
    """A pack that was read through: what its shards are, and when (ns since the epoch).

    `backends` is where they were read; empty is wherever the index has them.
    """

    number: PackNumber
    states: tuple[ShardState, ...]
    checked_ns: int
    backends: tuple[BackendId, ...] = ()


def note_check(txn: Any, packs: Any, check: Check) -> None:
    """Note a check; nothing where the pack was deleted meanwhile, and of a shard that was moved
    nothing: it is not where it was looked at."""
    record = _record(txn, packs, check.number)
    if record is not None:
        read = check.backends or record.backends
        rows = zip(record.backends, read, record.states, check.states, strict=True)
        states = tuple(new if now == then else old for now, then, old, new in rows)
        _put(txn, packs, replace(record, states=states, checked_ns=check.checked_ns))


def note_damage(txn: Any, packs: Any, number: PackNumber, index: int, state: ShardState) -> None:
    """Note what is wrong with one shard."""
    record = _record(txn, packs, number)
    if record is not None and index < record.n:
        states = [*record.states]
        states[index] = state
        _put(txn, packs, replace(record, states=tuple(states)))


def _record(txn: Any, packs: Any, number: PackNumber) -> PackRecord | None:
    data = txn.get(NUMBER.pack(number), db=packs)
    return None if data is None else PackRecord.decode(number, data)


def _put(txn: Any, packs: Any, record: PackRecord) -> None:
    txn.put(NUMBER.pack(record.number), record.encode(), db=packs)
