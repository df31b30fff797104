"""Records of several writers come in any order: no ref ever has heads that it did not have, and
what is lost keeps nothing from being applied."""

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import permutations

import pytest
import trio
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.encryption.storecipher import CLEAR
from modelfloat.cas.formats.journal import (
    NO_ID,
    Compacted,
    JournalEntry,
    Record,
    RefChanged,
    RefKind,
    ShardPlaced,
    decode_record,
    encode_record,
)
from modelfloat.cas.index.index import Index
from modelfloat.cas.journal import ordering
from modelfloat.cas.journal.ordering import InOrder
from modelfloat.errors import FormatError
from modelfloat.ids import BackendId, ObjectId, PackId, WriterId
from modelfloat.tests.support.samples import PACK, STORE
from modelfloat.tests.support.samples import record as sample

WRITERS = [WriterId(bytes([number]) * 16) for number in range(4)]

Journals = dict[WriterId, list[bytes]]
Steps = list[tuple[int, int]]
"""The writer and the ref of each change, in the order in which they were made."""

STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=24)


def journals_of(steps: Steps) -> Journals:
    """What each writer recorded, each change after the one of its ref before it."""
    journals: Journals = {writer: [] for writer in WRITERS}
    heads: dict[int, RefChanged] = {}
    for number, (by, ref) in enumerate(steps, 1):
        last = heads.get(ref)
        previous, old = (NO_ID, NO_ID) if last is None else (last.id, last.new)
        new = ObjectId(number.to_bytes(32, "big"))
        heads[ref] = change = RefChanged(
            RefKind.BRANCH, "acme", "m", f"r{ref}", previous, ObjectId(old), new, number
        )
        mine = journals[WRITERS[by]]
        before = mine[-1][-32:] if mine else NO_ID
        record = Record(STORE, WRITERS[by], len(mine) + 1, before, number, (change,))
        mine.append(encode_record(record))
    return journals


class Taking:
    """Applies journals to an index, as far as `lost` does not hide what is from a number on."""

    def __init__(self, index: Index, journals: Journals, lost: dict[WriterId, int]) -> None:
        self.index = index
        self.most = 0
        self.loads = 0
        self._journals = journals
        self._lost = lost
        self.in_order = InOrder(index, CLEAR, self._load, self._apply)

    async def _load(self, writer: WriterId) -> bytes | None:
        self.loads += 1
        seq = self.index.writer(writer)[0] + 1
        there = min(len(self._journals[writer]), self._lost.get(writer, 1 << 30))
        return self._journals[writer][seq - 1] if seq <= there else None

    async def _apply(self, data: bytes) -> None:
        self.index.apply(decode_record(data, "a record"), {})
        refs = [head.ref for head in self.index.refs()]
        self.most = max(self.most, 0, *map(refs.count, refs))


def taking(
    journals: Journals, lost: dict[WriterId, int], order: Iterable[WriterId], *, everything: bool
) -> tuple[Taking, set[WriterId], list[tuple[str, bytes]]]:
    """What applied the journals, who waits, and the refs that came of it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Index.create(f"{folder}/index", STORE)) as index,
    ):
        taken = Taking(index, journals, lost)
        run = taken.in_order.run_all if everything else taken.in_order.run
        waits = trio.run(run, order)
        return taken, waits or set(), [(head.ref, head.commit) for head in index.refs()]


def made_by(steps: Steps) -> list[tuple[str, bytes]]:
    """The ref of each change, and the commit that it made it."""
    return [(f"r{ref}", number.to_bytes(32, "big")) for number, (_, ref) in enumerate(steps, 1)]


def last_of(steps: Steps) -> list[tuple[str, bytes]]:
    """Each ref and what it was last, sorted."""
    return sorted(dict(made_by(steps)).items())


@given(STEPS, st.permutations(WRITERS))
@settings(max_examples=20)
def test_refs_have_one_head_all_the_while(steps: Steps, order: Sequence[WriterId]) -> None:
    taken, waits, refs = taking(journals_of(steps), {}, order, everything=False)
    assert (taken.most, waits, refs) == (1, set(), last_of(steps))
    assert taken.loads == len(steps) + len(WRITERS)


@given(STEPS, st.permutations(WRITERS), st.sampled_from(WRITERS), st.integers(0, 3))
@settings(max_examples=20)
def test_what_follows_what_is_lost_waits_unless_all_is_wanted(
    steps: Steps, order: Sequence[WriterId], loser: WriterId, there: int
) -> None:
    journals, lost = journals_of(steps), {loser: there}
    taken, _, _ = taking(journals, lost, order, everything=False)
    assert taken.most <= 1
    _, _, refs = taking(journals, lost, order, everything=True)
    latest = [
        (ref, commit)
        for (ref, commit), (by, _) in zip(made_by(steps), steps, strict=True)
        if WRITERS[by] != loser and (ref, commit) in last_of(steps)
    ]
    assert set(latest) <= set(refs)


@given(STEPS, st.permutations(WRITERS))
@settings(max_examples=10)
def test_what_takes_too_much_memory_is_read_again(steps: Steps, order: Sequence[WriterId]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "KEPT", 0)
        taken, waits, refs = taking(journals_of(steps), {}, order, everything=False)
    assert (taken.most, waits, refs) == (1, set(), last_of(steps))


PLACES = [ShardPlaced(PACK, 0, BackendId(bytes([9, n]) * 8)) for n in range(2)]


def first_record(by: int, time_ns: int, *entries: JournalEntry) -> list[bytes]:
    return [encode_record(Record(STORE, WRITERS[by], 1, NO_ID, time_ns, entries))]


def place_after(journals: Journals, order: Iterable[WriterId]) -> BackendId:
    """Where shard 0 is for who takes journals over."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Index.create(f"{folder}/index", STORE)) as index,
    ):
        trio.run(Taking(index, journals, {}).in_order.run, order)
        pack = index.pack_of_id(PACK)
        assert pack is not None
        return pack.backends[0]


@pytest.mark.parametrize("order", list(permutations(WRITERS[:3])))
def test_a_shard_that_two_moved_is_where_the_later_one_says(order: Sequence[WriterId]) -> None:
    stored = sample().entries[0]
    journals = {
        WRITERS[0]: first_record(0, 3, PLACES[1]),
        WRITERS[1]: first_record(1, 2, PLACES[0]),
        WRITERS[2]: first_record(2, 1, stored),
    }
    assert place_after(journals, order) == PLACES[1].backend


@pytest.mark.parametrize("order", list(permutations(WRITERS[:3])))
def test_what_a_segment_says_was_before_what_is_left(order: Sequence[WriterId]) -> None:
    """It was made long after the records that it stands for."""
    said = Compacted(WRITERS[3], 1, 2, bytes(31) + b"x")
    journals = {
        WRITERS[0]: first_record(0, 3, PLACES[1]),
        WRITERS[1]: first_record(1, 4, said, PLACES[0]),
        WRITERS[2]: first_record(2, 1, sample().entries[0]),
    }
    first = {**journals, WRITERS[0]: [], WRITERS[1]: []}
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Index.create(f"{folder}/index", STORE)) as index,
    ):
        trio.run(Taking(index, first, {}).in_order.run, WRITERS[:3])
        trio.run(Taking(index, journals, {}).in_order.run, order)
        pack = index.pack_of_id(PACK)
        assert pack is not None
        assert pack.backends[0] == PLACES[1].backend


def test_a_record_that_cannot_be_read_keeps_no_others_back() -> None:
    broken = encode_record(Record(STORE, WRITERS[0], 1, NO_ID, 1, (PLACES[0],)))
    at = broken.index(bytes(PACK)) - 8
    broken = broken[:at] + b"\x63" + broken[at + 1 : -32]
    journals = {
        WRITERS[0]: [broken + blake3(broken).digest()],
        WRITERS[2]: first_record(2, 1, sample().entries[0]),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Index.create(f"{folder}/index", STORE)) as index,
    ):
        with pytest.raises(FormatError, match="contradicts itself"):
            trio.run(Taking(index, journals, {}).in_order.run, (WRITERS[0], WRITERS[2]))
        assert index.pack_of_id(PACK) is not None


def test_shards_that_nobody_stored_are_no_work_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To say that they were moved takes no key, and any number of writers can be made up."""
    looks, real = 0, InOrder._is_early

    def counted(self: InOrder, follows: ordering._Follows) -> bool:
        nonlocal looks
        looks += 1
        return real(self, follows)

    monkeypatch.setattr(InOrder, "_is_early", counted)
    writers = [WriterId(number.to_bytes(16, "big")) for number in range(60)]
    journals = {}
    for number, writer in enumerate(writers):
        placed = replace(PLACES[0], pack=PackId(bytes(writer)))
        record = Record(STORE, writer, 1, NO_ID, number, (placed,))
        journals[writer] = [encode_record(record)]
    _, waits, _ = taking(journals, {}, writers, everything=True)
    assert waits == set()
    assert looks < 5 * len(writers)
