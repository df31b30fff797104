"""Marking random histories: what is marked is what a plain walk reaches, nothing else."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.chunking.regions import ElementType, Region
from modelfloat.cas.formats.chunktable import Kind, PackedChunk
from modelfloat.cas.formats.commit import Commit, encode_commit
from modelfloat.cas.formats.journal import NO_ID, PackStored, Record
from modelfloat.cas.formats.manifest import ChunkRef, encode_entries, encode_manifest
from modelfloat.cas.formats.objects import object_id
from modelfloat.cas.formats.shard import shard_length
from modelfloat.cas.formats.tree import Entry, EntryType, encode_tree
from modelfloat.cas.gc.marking import Marking
from modelfloat.cas.gc.marks import Marks
from modelfloat.cas.gc.standing import WHOLE, rank
from modelfloat.cas.index.index import Index
from modelfloat.cas.objects import Objects
from modelfloat.ids import BackendId, ChunkId, ObjectId, PackId, WriterId
from modelfloat.tests.support.samples import STORE, id_of

CHUNK = 1000


@dataclass
class World:
    """Objects and chunks with what each needs; packs by where they were laid."""

    objects: dict[ObjectId, bytes] = field(default_factory=dict)
    needs: dict[bytes, set[bytes]] = field(default_factory=dict)
    commits: list[ObjectId] = field(default_factory=list)

    def put(self, data: bytes, needs: Iterable[bytes]) -> ObjectId:
        id_ = object_id(data)
        self.objects[id_] = data
        self.needs[id_] = set(needs)
        return id_

    def reached(self, roots: Iterable[bytes]) -> set[bytes]:
        """What a plain walk with a set reaches."""
        found: set[bytes] = set()
        stack = list(roots)
        while stack:
            id_ = stack.pop()
            if id_ not in found:
                found.add(id_)
                stack += self.needs.get(id_, ())
        return found


def manifest_of(chunks: list[int]) -> list[bytes]:
    """The objects of a file; one of more than a few chunks has its region table in a page."""
    refs = [ChunkRef(ChunkId(id_of(f"chunk {c}")), CHUNK) for c in chunks]
    table = [Region(i * CHUNK, CHUNK, ElementType.U8, f"{i} of {chunks}") for i in range(len(refs))]
    size, digest = CHUNK * len(refs), bytes(id_of(str(chunks)))
    with mock.patch("modelfloat.cas.formats.manifest.INLINE_TABLE", 60):
        return encode_manifest(size, digest, encode_entries(refs), None, table)


def build(plan: list[tuple[list[list[int]], int]]) -> World:
    """Commits: for each, the chunks of each of its files, and how many early ones are parents."""
    world = World()
    for number, (files, back) in enumerate(plan):
        entries = []
        for at, chunks in enumerate(files):
            *pages, last = manifest_of(chunks)
            ids = [world.put(page, []) for page in pages]
            manifest = world.put(last, [*ids, *(id_of(f"chunk {c}") for c in chunks)])
            name = b"%03d" % at
            entries.append(Entry(name, EntryType.FILE, 0o644, 0, CHUNK * len(chunks), manifest))
        inner = [world.put(tree, [e.target for e in entries]) for tree in encode_tree(entries)][-1]
        folder = Entry(b"inner", EntryType.DIRECTORY, 0o755, 0, 0, inner)
        link = Entry(b"link", EntryType.SYMLINK, 0o777, 0, 5, b"inner")
        (root,) = encode_tree([folder, link])
        tree = world.put(root, [inner])
        parents = tuple(dict.fromkeys([*world.commits[-1:], *world.commits[:back]]))
        commit = Commit(tree, parents, number, 0, "Ada", "")
        world.commits.append(world.put(encode_commit(commit), [tree, *parents]))
    return world


def lay(index: Index, ids: list[tuple[bytes, Kind]], split: int, m: int = 1) -> None:
    """Record packs of at most `split` chunks each, as an add would."""
    writer = WriterId(bytes(16))
    seq, _ = index.writer(writer)
    packs = []
    for kind in Kind:
        of_kind = [id_ for id_, k in ids if k is kind]
        for start in range(0, len(of_kind), split):
            part = of_kind[start : start + split]
            chunks = tuple(
                PackedChunk(ChunkId(id_), i * CHUNK, CHUNK, CHUNK, 0, kind, 1)
                for i, id_ in enumerate(part)
            )
            pack = PackId(id_of(f"pack {kind} {seq} {start}")[:16])
            length = CHUNK * len(part)
            where = (BackendId(b"b" * 16),) * (1 + m)
            size = shard_length(length, 1)
            packs.append(PackStored(pack, 1, m, kind, length, size, where, chunks))
    index.apply(Record(STORE, writer, seq + 1, NO_ID, 0, tuple(packs), bytes(32)), {})


def marked(index: Index, marks: Marks) -> dict[bytes, int]:
    """Every chunk of which a place is marked, and how many are."""
    rows = {int(number): row for row, number in enumerate(marks.packs["number"])}
    slots = {number: set(marks.slots(row)) for number, row in rows.items()}
    found: dict[bytes, int] = {}
    for id_, places in index.each_chunk():
        count = sum(place.slot in slots.get(place.pack, ()) for place in places)
        if count:
            found[bytes(id_)] = count
    return found


FILES = st.lists(st.lists(st.integers(0, 60), max_size=8), max_size=5)
PLANS = st.lists(st.tuples(FILES, st.integers(0, 3)), min_size=1, max_size=8)


@given(plan=PLANS, data=st.data())
@settings(max_examples=25)
def test_marks_are_what_a_plain_walk_reaches(plan: Any, data: st.DataObject) -> None:
    world = build(plan)
    everything = sorted({*world.needs, *(n for needs in world.needs.values() for n in needs)})
    kinds = [(id_, Kind.OBJECT if id_ in world.needs else Kind.DATA) for id_ in everything]
    again = data.draw(st.lists(st.sampled_from(kinds), unique=True, max_size=20))
    lost = data.draw(st.sets(st.sampled_from(kinds), max_size=3))
    healthy = data.draw(st.booleans())
    one = data.draw(st.lists(st.sampled_from(world.commits)))
    two = data.draw(st.lists(st.sampled_from(world.commits)))
    with tempfile.TemporaryDirectory() as folder:
        index = Index.create(str(Path(folder) / "index"), STORE)
        try:
            lay(index, [kind for kind in kinds if kind not in lost], data.draw(st.integers(1, 9)))
            index.put_objects(world.objects)
            marks = Marks(index, lambda: lambda pack: rank(pack, pack.m if healthy else pack.m - 1))
            marking = Marking(index, Objects(index), marks)
            marking.reach(one)
            # Packs that come while it marks; some chunks have a second place there.
            lay(index, again, 4)
            marking.reach(two)
            wanted = world.reached([*one, *two])
            found = marked(index, marks)
            homes = {bytes(id_) for id_, _ in index.each_chunk()}
            # What was in no pack when it was reached, and came into one that this marking does not
            # judge, is not looked for again.
            regained = {id_ for id_, _ in lost & set(again)}
            assert wanted & homes - regained <= set(found) <= wanted & homes
            assert marking.is_needed(world.objects) >= wanted & set(world.objects)
            assert int(marks.bytes.sum()) == CHUNK * int(marks.places.sum())
            assert int(marks.places.sum()) == sum(found.values())
        finally:
            index.close()


def test_the_best_place_is_marked_and_the_copy_frees_the_original(tmp_path: Path) -> None:
    world = build([([[1, 2, 3]], 0)])
    ids = [(id_, Kind.DATA) for id_ in sorted(world.reached(world.commits) - set(world.objects))]
    objects = [(bytes(id_), Kind.OBJECT) for id_ in world.objects]
    index = Index.create(str(tmp_path / "index"), STORE)
    try:
        lay(index, [*ids, *objects], 100)
        lay(index, ids, 100)
        lay(index, ids, 100, m=0)
        index.put_objects(world.objects)
        marks = Marks(index, lambda: lambda pack: rank(pack, pack.m))
        Marking(index, Objects(index), marks).reach(world.commits)
        assert marks.places.tolist() == [0, len(objects), 3, 0]
        assert all(int(found) & WHOLE for found in marks.packs["rank"])
        ill = Marks(index, lambda: lambda pack: rank(pack, pack.m - 1))
        Marking(index, Objects(index), ill).reach(world.commits)
        assert ill.places.tolist() == [3, len(objects), 3, 3]
        row = 2
        assert marks.slots(row) == [0, 1, 2]
        marks.clear(row)
        assert marks.slots(row) == []
        assert marks.places.tolist() == [0, len(objects), 0, 0]
    finally:
        index.close()
