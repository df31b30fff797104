"""CIDs and nodes of IPFS as others compute them, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.backends.ipfs.dagpb import (
    DIRECTORY,
    FILE,
    Link,
    Node,
    decode_node,
    encode_node,
    file_node,
)
from modelfloat.cid import (
    DAG_PB,
    IDENTITY,
    RAW,
    SHA2_256,
    Cid,
    cid_of,
    decode_cid,
    parse_cid,
    raw_cid,
    read_varint,
    varint,
)

# What js-ipfs 0.66.1 answers to `block put --mhtype blake3` of these, and to `add --hash blake3
# --raw-leaves --cid-version 1 --chunker size-1048576` of 2,500,000 zeros.
HELLO = "bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4"
NOTHING = "bafkr4ifpcne3t5pzugtkaqcn5i3nzskjtpfslsnnyejlpte2spfoihzsmi"
ZEROS = "bafyb4ibv3jniqqxwomaitweburzqxttqd4ngwfw5yxqcfqoo3c5qvzu5zy"
EMPTY_FOLDER = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
DIGESTS = st.binary(min_size=32, max_size=32)
CIDS = st.builds(Cid, st.sampled_from([RAW, DAG_PB]), st.sampled_from([0x12, 0x1E]), DIGESTS)


def test_blocks_are_called_what_others_call_them() -> None:
    assert str(cid_of(b"hello")) == HELLO
    assert str(cid_of(b"")) == NOTHING
    assert raw_cid(cid_of(b"hello").digest) == cid_of(b"hello")


def test_a_root_is_what_others_make_of_the_same_blocks() -> None:
    zeros = bytes(2_500_000)
    parts = [zeros[at : at + (1 << 20)] for at in range(0, len(zeros), 1 << 20)]
    root = encode_node(file_node([(cid_of(part), len(part)) for part in parts]))
    assert str(cid_of(root, DAG_PB)) == ZEROS


def test_an_empty_folder_of_version_0() -> None:
    empty = encode_node(Node(DIRECTORY))
    cid = parse_cid(EMPTY_FOLDER)
    assert cid == Cid(DAG_PB, SHA2_256, cid.digest, 0)
    assert cid.names(empty)
    assert not cid.names(empty + b"\0")
    assert str(cid) == EMPTY_FOLDER


def test_base_58_as_js_ipfs_writes_it() -> None:
    assert str(parse_cid("zb38SMkuhxoyDCgRqFrDo3oseWnmQByCDaaRzXrTvZtonYFDx")) == HELLO


@given(CIDS)
def test_a_cid_comes_back(cid: Cid) -> None:
    assert parse_cid(str(cid)) == cid
    assert decode_cid(bytes(cid)) == cid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "bafkr4i",
        HELLO[:-1],
        HELLO + "a",
        HELLO.upper(),
        "b!",
        "z",
        "z0",
        "Qm" + "0" * 44,
        "m" + HELLO,
        "b" * 500,
        "/ipfs/" + HELLO,
    ],
)
def test_what_is_no_cid(text: str) -> None:
    with pytest.raises(ValueError):
        parse_cid(text)


def test_identities_name_themselves() -> None:
    cid = Cid(RAW, IDENTITY, b"abc")
    assert parse_cid(str(cid)) == cid
    assert cid.names(b"abc")
    assert not cid.names(b"abd")


@given(st.integers(0, (1 << 63) - 1))
def test_numbers_come_back(number: int) -> None:
    assert read_varint(b"x" + varint(number) + b"y", 1) == (number, 1 + len(varint(number)))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 12])
def test_numbers_that_are_cut_short_or_too_large(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_varint(data, 0)


@given(
    st.lists(st.tuples(CIDS, st.integers(0, 1 << 40)), max_size=5),
    st.binary(max_size=50),
    st.none() | st.integers(0, 1 << 62),
)
def test_a_file_comes_back(blocks: list[tuple[Cid, int]], data: bytes, time_ns: int | None) -> None:
    node = file_node(blocks, time_ns, data)
    assert decode_node(encode_node(node)) == node


@given(st.lists(st.tuples(CIDS, st.text(max_size=8)), max_size=5))
def test_a_folder_comes_back(entries: list[tuple[Cid, str]]) -> None:
    node = Node(DIRECTORY, tuple(Link(cid, name, 7) for cid, name in entries))
    assert decode_node(encode_node(node)) == node


@given(st.binary(max_size=200))
def test_any_bytes_are_a_node_or_a_value_error(data: bytes) -> None:
    try:
        decode_node(data)
    except ValueError:
        return


def test_a_node_cut_anywhere_is_an_error() -> None:
    block = encode_node(Node(FILE, (), b"some bytes", 10, (), 1_700_000_000_000_000_001))
    for end in range(len(block)):
        with pytest.raises(ValueError):
            decode_node(block[:end])
