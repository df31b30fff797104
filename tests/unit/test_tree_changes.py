"""Trees compared: the same as name by name, whatever was changed, in short and long directories."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.formats.commit import Commit
from modelfloat.cas.formats.objects import object_id
from modelfloat.cas.formats.tree import Entry, EntryType, encode_tree
from modelfloat.cas.history.commits import history, told
from modelfloat.cas.history.graph import Graph
from modelfloat.cas.history.treechanges import TreeChanges
from modelfloat.cas.objects import Objects
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.treesize import size_of
from modelfloat.ids import ObjectId
from modelfloat.tests.support.stores import fresh_store

LONG = [f"name-{n:05}".encode() for n in range(3000)]


class Kept(Objects):
    """Objects in memory."""

    def __init__(self) -> None:
        self.kept: dict[ObjectId, bytes] = {}
        self.read = 0

    def raw(self, id_: ObjectId) -> bytes:
        self.read += 1
        return self.kept[id_]

    def tree(self, files: dict[bytes, int]) -> ObjectId:
        """A directory of files, each told apart by a number; other names are in `sub`."""
        entries = [
            Entry(name, EntryType.FILE, 0o644, version, version, bytes([version % 251]) * 32)
            for name, version in sorted(files.items())
        ]
        last = ObjectId(bytes(32))
        for data in encode_tree(entries):
            last = object_id(data)
            self.kept[last] = data
        return last


VERSIONS = st.dictionaries(st.integers(0, 2999), st.one_of(st.none(), st.integers(1, 250)))


@given(edits=VERSIONS, long=st.booleans())
@settings(max_examples=30)
def test_what_differs_is_told_whatever_it_is(edits: dict[int, int | None], *, long: bool) -> None:
    objects = Kept()
    before = dict.fromkeys(LONG if long else LONG[:20], 0)
    after = dict(before)
    for number, version in edits.items():
        name = LONG[number % (3000 if long else 30)]
        if version is None:
            after.pop(name, None)
        else:
            after[name] = version
    old, new = objects.tree(before), objects.tree(after)
    compare = TreeChanges(objects)
    found = {each.path: (each.old, each.new) for each in compare.each(old, new)}
    names = before.keys() | after.keys()
    assert found.keys() == {n for n in names if before.get(n) != after.get(n)}
    assert list(found) == sorted(found)
    for path, (was, now) in found.items():
        assert (None if was is None else was.size) == before.get(path)
        assert (None if now is None else now.size) == after.get(path)
    counted = compare.count(old, new)
    assert counted.grown == sum(after.values()) - sum(before.values())
    assert size_of(objects, new) == sum(after.values())
    assert counted.added == len(after.keys() - before.keys())
    assert counted.removed == len(before.keys() - after.keys())


def test_of_a_long_directory_only_what_changed_is_read() -> None:
    objects = Kept()
    before = dict.fromkeys(LONG, 0)
    old, new = objects.tree(before), objects.tree({**before, LONG[1700]: 5})
    assert len(objects.directory(old).pages) == 2
    objects.read = 0
    assert [each.path for each in TreeChanges(objects).each(old, new)] == [LONG[1700]]
    assert objects.read == 4  # two indexes, two trees


async def test_commits_are_told_as_their_trees_are(tmp_path: Path) -> None:
    """The sizes that follow from what changed are those of the trees."""
    async with fresh_store(tmp_path / "store", "2+1") as store:
        where = parse_address("acme/m")
        for number, names in enumerate((["a", "b"], ["c"], ["a"], ["d/e"])):
            for name in names:
                file = tmp_path / "source" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"x" * (1000 * number + len(name)))
            (tmp_path / "source" / "link").unlink(missing_ok=True)
            (tmp_path / "source" / "link").symlink_to("a" * (number + 1))
            await store.add([str(tmp_path / "source")], where)
        commits = list(told(store.objects, [store.refs.resolve(where.repo)]))
        assert [str(each.changes) for each in commits] == ["+1 ~1", "~2", "+1 ~1", "+3"]
        for each in commits:
            assert each.size == size_of(store.objects, each.commit.tree)


# The graph


class Line(Objects):
    """Commits by their letters, with the letters of their parents."""

    def __init__(self, **parents: str) -> None:
        self.parents = parents

    def commit(self, id_: ObjectId) -> Commit:
        letter = id_.decode()
        parents = tuple(ObjectId(p.encode()) for p in self.parents[letter])
        return Commit(id_, parents, ord(letter), 0, "", "")

    def drawn(self, starts: str) -> Iterator[str]:
        graph = Graph()
        for id_, commit in history(self, [ObjectId(s.encode()) for s in starts]):
            above, left, below = graph.row(id_, commit.parents)
            yield from above
            yield f"{left} {id_.decode()}"
            yield from below


@pytest.mark.parametrize(
    ("line", "starts", "expected"),
    [
        (Line(c="b", b="a", a=""), "c", ["* c", "* b", "* a"]),
        (
            Line(d="bc", c="a", b="a", a=""),
            "d",
            ["* d", "|\\", "| * c", "* | b", "|/", "* a"],
        ),
        (Line(c="a", b="a", a=""), "bc", ["* c", "| * b", "|/", "* a"]),
        (Line(b="", a=""), "ab", ["* b", "* a"]),
    ],
)
def test_graphs(line: Line, starts: str, expected: list[str]) -> None:
    assert list(line.drawn(starts)) == expected


def test_a_clock_that_was_set_back_puts_no_commit_behind_its_parent() -> None:
    line = Line(a="z", z="b", b="")
    assert [id_ for id_, _ in history(line, [ObjectId(b"a")])] == [b"a", b"z", b"b"]
