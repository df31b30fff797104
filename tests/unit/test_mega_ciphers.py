"""How MEGA encrypts and logs in, against numbers that async-mega-py 2.5 gave."""

import hashlib
from _collections_abc import dict_items

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.backends.keys import check_key
from modelfloat.backends.mega.ciphers import (
    FileKey,
    chunks,
    crypt,
    decode,
    encode,
    mac_of,
    open_attributes,
    seal_attributes,
    unwrap,
    wrap,
)
from modelfloat.backends.mega.nodes import DRIVE, FILE, FOLDER, Told, told
from modelfloat.backends.mega.pieces import PIECE, pieces_of
from modelfloat.backends.mega.secrets import password_keys, session_id, solve
from modelfloat.backends.mega.tree import Tree

KEY = FileKey(bytes(range(16)), bytes(range(100, 108)), bytes(8))
MASTER = bytes(range(16, 32))
TOKEN = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v"


def content(size: int) -> bytearray:
    return bytearray(i * 7 % 251 for i in range(size))


@pytest.mark.parametrize(
    ("size", "digest", "mac"),
    [
        (1, "e6f207509afa3908", "4b74d264404c4729"),
        (16, "96ddd1142a127ac9", "270c07f4bce2b5ab"),
        (131_072, "f51bd922d0d70b8f", "f1f1585b659dbeac"),
        (131_073, "94fd6f63e7a6c104", "c54471b92bb00713"),
        (400_000, "98736b55e6dbbe19", "2017e8c458c36ec3"),
        (5_000_001, "b7d2b50b0e4e6f5b", "bc21c33a0c326efd"),
    ],
)
def test_contents(size: int, digest: str, mac: str) -> None:
    data = content(size)
    assert mac_of(KEY, memoryview(data)).hex() == mac
    crypt(KEY, 0, memoryview(data))
    assert hashlib.sha256(data).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("version", "password", "email", "salt", "key", "proof"),
    [
        (1, "secret", "Ada@example.org", b"", "5d63b08ddf20de47e920484d3209cd6c", "LNyg7sLpCiM"),
        (
            *(1, "a password of more than sixteen bytes", "bob@example.org", b""),
            *("e6caed57976e738a3362cabe4c0e1c29", "k4IR1zGKqLg"),
        ),
        (
            *(2, "secret", "ada@example.org", bytes(range(16))),
            *("f03ffe7e98480c9f15eab7ac0da2c481", "OYsD-ayjtTyEYWVwHkCaHw"),
        ),
    ],
)
def test_passwords(
    version: int, password: str, email: str, salt: bytes, key: str, proof: str
) -> None:
    found = password_keys(version, email, password, salt)
    assert (found.key.hex(), found.proof) == (key, proof)
    assert proof not in repr(found)


def test_work() -> None:
    assert solve(f"1:200:1700000000:{TOKEN}", lambda: True) == f"1:{TOKEN}:BAAAAA"
    assert not solve(f"1:200:1700000000:{TOKEN}", lambda: False)


@pytest.mark.parametrize(
    "challenge",
    [
        *("", "1:200", "2:200:0:" + TOKEN, "1:x:0:" + TOKEN, "1:256:0:" + TOKEN, "1:0:0:" + TOKEN),
        *("1:200:0:AAAA", "1:200:0:!", "1:200:0:" + TOKEN + ":more"),
    ],
)
def test_work_of_other_kinds(challenge: str) -> None:
    with pytest.raises(ValueError, match=r"challenge|base64|work"):
        solve(challenge, lambda: True)


def test_attributes() -> None:
    sealed = "iBd6p81hh_wko5Xf5xxBq5gTA6Olgu3fXFZVE7lp_LY"
    assert open_attributes(KEY.key, sealed) == {"n": "a name"}
    with pytest.raises(ValueError, match="not the attributes"):
        open_attributes(MASTER, sealed)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=40) | st.integers(), max_size=4))
def test_attributes_come_back(attributes: dict[str, object]) -> None:
    assert open_attributes(KEY.key, seal_attributes(KEY.key, attributes)) == attributes


@given(st.binary(max_size=200), st.integers(0, 1 << 40), st.data())
def test_any_range_decrypts_by_itself(data: bytes, offset: int, draw: st.DataObject) -> None:
    sealed = bytearray(data)
    crypt(KEY, offset, memoryview(sealed))
    first = draw.draw(st.integers(0, len(data)))
    part = sealed[first:]
    crypt(KEY, offset + first, memoryview(part))
    assert part == data[first:]


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8))
def test_keys_fold_and_unfold(key: bytes, nonce: bytes) -> None:
    whole = FileKey(key, nonce, nonce)
    assert FileKey.unfold(unwrap(MASTER, wrap(MASTER, whole.fold()))) == whole
    assert decode(encode(key)) == key


@given(st.integers(0, 100 << 20))
def test_pieces_are_whole_chunks(size: int) -> None:
    bounds = {at for at, _ in chunks(size)} | {size}
    at = 0
    for piece in pieces_of(size):
        assert piece.offset == at
        assert {at, at + piece.length} <= bounds
        assert piece.length < 2 * PIECE
        at += piece.length
    assert at == size


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_sessions_of_garbage_are_refused(private: bytes, wrapped: bytes) -> None:
    with pytest.raises(ValueError, match=r"number|session"):
        session_id(MASTER, encode(private), encode(wrapped))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
HANDLES = st.sampled_from(["a", "b", "c", "d", "root"])
FIELDS = {
    **dict.fromkeys(("h", "p", "u"), HANDLES | JSON),
    **{name: st.sampled_from([0, 1, 2, 3]) | JSON for name in ("t", "s", "ts")},
    **{name: st.sampled_from(["", "a:AAAA", "a:" + "A" * 22]) | JSON for name in ("a", "k")},
}


@given(st.lists(st.fixed_dictionaries({}, optional=FIELDS), max_size=12), st.lists(JSON))
def test_any_nodes_make_a_tree(found: list[dict[str, object]], events: list[object]) -> None:
    """Whatever a server tells: no error, and no key that is none."""
    nodes = [node for node in map(told, found) if node is not None]
    tree = Tree(("a",), MASTER)
    tree.load(nodes)
    tree.apply(
        [*events, {"a": "t", "t": {"f": nodes}}, *({"a": "d", "n": n.handle} for n in nodes)]
    )
    for listed in tree.keys(""):
        check_key(listed.key)


def _node(handle: str, parent: str, kind: int, name: str = "", generation: int = 0) -> Told:
    key = FileKey(MASTER, bytes(8), bytes(8)).fold() if kind == FILE else MASTER
    sealed = seal_attributes(MASTER, {"n": name, "_g": generation})
    keys = f"me:{encode(wrap(MASTER, key))}"
    return Told(handle, parent, kind, "me", 1, 5, "" if kind == DRIVE else sealed, keys)


def test_nodes_may_come_in_any_order() -> None:
    nodes = [
        _node("file", "inner", FILE, "x"),
        _node("later", "twin", FILE, "x", generation=2),
        _node("inner", "top", FOLDER, "packs"),
        _node("twin", "top", FOLDER, "packs"),
        _node("top", "drive", FOLDER, "models"),
        _node("drive", "", DRIVE),
        _node("beside", "drive", FOLDER, "others"),
        _node("foreign", "beside", FILE, "y"),
        _node("odd", "top", FILE, "No Key"),
    ]
    for order in (nodes, nodes[::-1]):
        tree = Tree(("models",), MASTER)
        tree.load(order)
        assert [each.key for each in tree.keys("")] == ["packs/x"]
        found = tree.find(check_key("packs/x"))
        assert found is not None
        assert found.handle == "later"
        tree.apply([{"a": "d", "n": "twin"}])
        found = tree.find(check_key("packs/x"))
        assert found is not None
        assert found.handle == "file"
        assert not tree.stale
        tree.apply([{"a": "d", "n": "top"}])
        assert tree.stale


def test_folders_that_lie_in_each_other_are_removed_once() -> None:
    tree = Tree((), MASTER)
    tree.load([_node("drive", "", DRIVE), _node("a", "drive", FOLDER, "a")])
    tree.apply([{"a": "t", "t": {"f": [_node("b", "a", FOLDER, "b")]}}])
    tree._parents["a"] = "b"  # as a server would have it that wants no good
    tree._inside["b"] = {"a"}
    tree.apply([{"a": "d", "n": "a"}])
    assert tree.folder("a") is None
    assert tree.folder("a/b") is None


class Looked(dict[str, str]):
    """Counts how often all of it is gone through."""

    times = 0

    def items(self) -> "dict_items[str, str]":
        """See `dict.items`."""
        self.times += 1
        return super().items()


def test_a_folder_of_many_folders_goes_in_one_look() -> None:
    """As `packs`, which somebody deletes by hand: it has one folder for each pack."""
    tree = Tree((), MASTER)
    tree.load([_node("drive", "", DRIVE), _node("packs", "drive", FOLDER, "packs")])
    for number in range(50):
        tree.add(_node(f"f{number}", "packs", FOLDER, str(number)))
        tree.add(_node(f"s{number}", f"f{number}", FILE, "0-4-2"))
    tree._parents = looked = Looked(tree._parents)
    tree.apply([{"a": "d", "n": "packs"}])
    assert looked.times <= 1
    assert list(tree.keys("")) == []
    assert not tree._parents
    assert not tree._inside
