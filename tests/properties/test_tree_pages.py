"""A directory edited tree by tree is what encoding all of its entries gives."""

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.add.treepages import edit_pages
from modelfloat.cas.formats.chunkids import PLAIN
from modelfloat.cas.formats.objects import object_id
from modelfloat.cas.formats.tree import Entry, EntryType, encode_tree
from modelfloat.cas.objects import Objects
from modelfloat.cas.treesize import bytes_of
from modelfloat.ids import ObjectId
from modelfloat.tests.support import samples

Names = dict[bytes, Entry]


class Mirror:
    """As much of an index as directories are read from; `read` counts what was."""

    ids = PLAIN

    def __init__(self) -> None:
        self.objects: dict[ObjectId, bytes] = {}
        self.read = 0

    def object(self, id_: ObjectId) -> bytes | None:
        self.read += 1
        return self.objects.get(id_)

    def put(self, data: bytes) -> None:
        self.objects[object_id(data)] = data


def entry(random: Random, name: bytes, links: float = 0.03) -> Entry:
    """A file, or a link whose text is so long that few make a tree full."""
    size = random.randrange(1000)
    if random.random() < links:
        text = bytes(random.randrange(1, 60_000))
        return Entry(name, EntryType.SYMLINK, 0o777, samples.TIME, len(text), text)
    return Entry(name, EntryType.FILE, 0o644, samples.TIME, size, random.randbytes(32))


def written(mirror: Mirror, names: Names) -> ObjectId:
    """The directory of these entries, encoded whole."""
    root = b""
    for root in encode_tree(names[name] for name in sorted(names)):
        mirror.put(root)
    return object_id(root)


def changed(random: Random, names: Names, count: int, links: float) -> dict[bytes, Entry | None]:
    """Names that come, go or stand for something else; also names that were never there."""
    found: dict[bytes, Entry | None] = {}
    there = sorted(names)
    for _ in range(count):
        kind = random.randrange(4)
        if kind == 0 or not there:
            name = b"%06d" % random.randrange(1_000_000)
            found[name] = entry(random, name, links)
        elif kind == 1:
            found[random.choice(there)] = None
        elif kind == 2:
            name = random.choice(there)
            found[name] = entry(random, name, links)
        else:
            found[b"%06dx" % random.randrange(1_000_000)] = None
    return found


@given(
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 70, 900]),
    st.sampled_from([0, 1, 3, 90]),
    st.booleans(),
)
def test_pages_are_those_of_the_whole(seed: int, before: int, count: int, full: bool) -> None:
    random, mirror = Random(seed), Mirror()
    links = 0.9 if full and before < 900 else 0.03
    numbers = random.sample(range(1_000_000), before)
    names = {name: entry(random, name, links) for name in (b"%06d" % n for n in numbers)}
    base = written(mirror, names) if before or random.random() < 0.5 else None
    objects = Objects(mirror)  # type: ignore[arg-type]
    changes = changed(random, names, count, links)
    merged = edit_pages(objects, base, sorted(changes.items()), mirror.put)
    after = names | changes
    left = {name: found for name, found in after.items() if found is not None}
    assert list(objects.directory(merged.tree).entries()) == [left[name] for name in sorted(left)]
    assert merged.tree == written(mirror, left)
    assert merged.grown == sum(map(bytes_of, left.values())) - sum(map(bytes_of, names.values()))


def test_one_name_of_many_costs_one_tree() -> None:
    random, mirror = Random(1), Mirror()
    names = {name: entry(random, name) for name in (b"%06d" % i for i in range(60_000))}
    base = written(mirror, names)
    pages = len(Objects(mirror).directory(base).pages)  # type: ignore[arg-type]
    assert pages > 50
    made: list[bytes] = []
    mirror.read = 0
    changes = [(b"030000", replace(names[b"030000"], mode=0o600))]
    edit_pages(Objects(mirror), base, changes, made.append)  # type: ignore[arg-type]
    assert len(made) == 2
    assert mirror.read <= 3


def test_trees_that_ended_because_they_were_full() -> None:
    mirror = Mirror()
    objects = Objects(mirror)  # type: ignore[arg-type]
    text = b"x" * 60_000
    names = {
        name: Entry(name, EntryType.SYMLINK, 0o777, samples.TIME, len(text), text)
        for name in (b"%02d" % number for number in range(40))
    }
    base = written(mirror, names)
    first, second, *_ = objects.directory(base).trees
    for name, new in (
        (b"01", replace(names[b"01"], mode=0o700)),
        # The first entry of a tree is short now, and has room in the tree before.
        (second.first, replace(names[second.first], size=1, target=b"y")),
        (second.first, None),
    ):
        made: list[bytes] = []
        merged = edit_pages(objects, base, [(name, new)], made.append)
        left = {k: v for k, v in (names | {name: new}).items() if v is not None}
        assert merged.tree == written(mirror, left)
        # One that changes in place costs its tree and the index.
        assert name != b"01" or len(made) == 2
    assert first.count == 4
