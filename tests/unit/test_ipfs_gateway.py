"""A folder of a node read through a gateway that is not trusted."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.backends.base import Backend
from modelfloat.backends.ipfs.blocks import INLINE, Value
from modelfloat.backends.ipfs.dagpb import DIRECTORY, SHARDED, Link, Node, decode_node, encode_node
from modelfloat.backends.ipfs.remembered import BLOCKS, VALUES, Remembered
from modelfloat.backends.keys import check_key
from modelfloat.backends.registry import open_backend
from modelfloat.cid import DAG_PB, SHA2_256, cid_of
from modelfloat.errors import (
    CorruptAnswerError,
    DeniedError,
    KeyNotFoundError,
    UnavailableError,
)
from modelfloat.tests.servers.kubo import Kubo, serve_kubo
from modelfloat.tests.support.meddler import answer, meddling
from modelfloat.tests.support.sources import noise

KEY = check_key("packs/ab/abcd/0-4-2")
SMALL = check_key("journal/ab/1-0")
VALUE = noise(4, (2 << 20) + 999)


@pytest.fixture
async def kubo(tmp_path: Path) -> AsyncIterator[Kubo]:
    async with serve_kubo(tmp_path) as kubo:
        backend = open_backend("d0", f"{kubo.url}/shelf", create=True)
        await backend.put(KEY, [VALUE])
        await backend.put(SMALL, [b"a record"])
        await backend.aclose()
        yield kubo


@pytest.fixture
async def gateway(kubo: Kubo) -> AsyncIterator[Backend]:
    backend = open_backend("d0", f"{kubo.gateway}/{kubo.root('/shelf')}")
    yield backend
    await backend.aclose()


async def test_what_the_node_holds_is_read(gateway: Backend) -> None:
    assert await gateway.get(KEY) == VALUE
    assert await gateway.get(KEY, 1_000_000, 99_999) == VALUE[1_000_000:1_099_999]
    assert await gateway.get(SMALL) == b"a record"
    assert await gateway.head(KEY) == len(VALUE)
    assert 0 <= await gateway.age(KEY) < 100
    found = {each.key: each.size async for each in gateway.list()}
    assert found == {KEY: len(VALUE), SMALL: 8}
    assert [each.key async for each in gateway.list("packs/a")] == [KEY]
    assert [each.key async for each in gateway.list("none/")] == []


async def test_the_root_stays_what_it_was(kubo: Kubo, gateway: Backend) -> None:
    node = open_backend("d0", f"{kubo.url}/shelf")
    await node.put(check_key("packs/later"), [b"x"])
    with pytest.raises(KeyNotFoundError):
        await gateway.head(check_key("packs/later"))
    await node.aclose()


async def test_a_gateway_only_reads(gateway: Backend) -> None:
    for call in (lambda: gateway.put(KEY, [b"x"]), lambda: gateway.delete(KEY)):
        with pytest.raises(DeniedError, match="a gateway only reads"):
            await call()
    assert await gateway.get(KEY) == VALUE


async def test_short_reads_and_missing_keys(gateway: Backend) -> None:
    with pytest.raises(CorruptAnswerError):
        await gateway.get(KEY, 0, len(VALUE) + 1)
    for key in ("packs", "packs/ab", "packs/ab/none", f"{KEY}/below", "none"):
        with pytest.raises(KeyNotFoundError):
            await gateway.head(check_key(key))


async def test_a_gateway_cannot_change_anything(kubo: Kubo, gateway: Backend) -> None:
    kubo.faults.flipped.add(str(cid_of(VALUE[: 1 << 20])))
    with pytest.raises(CorruptAnswerError, match="comes as other bytes than it names"):
        await gateway.get(KEY)
    other = open_backend("d0", f"{kubo.gateway}/{kubo.root('/shelf')}")
    kubo.faults.flipped.add(str(kubo.root("/shelf/packs")))
    with pytest.raises(CorruptAnswerError):
        await other.head(KEY)
    await other.aclose()


async def test_a_block_that_nobody_has_is_no_missing_key(kubo: Kubo, gateway: Backend) -> None:
    kubo.node.drop(str(cid_of(VALUE[: 1 << 20])))
    with pytest.raises(UnavailableError, match="finds nobody who has the block bafkr4i"):
        await gateway.get(KEY)


async def test_a_gateway_that_serves_no_raw_blocks() -> None:
    async with meddling() as meddler:
        meddler.before = lambda _: answer("406 Not Acceptable", b"deserialized only")
        url = f"ipfs+gateway+http://{meddler.host}/{cid_of(b'x', DAG_PB)}"
        backend = open_backend("d0", url)
        with pytest.raises(DeniedError, match=r"serves us no raw block \(status 406\)"):
            await backend.head(KEY)
        await backend.aclose()


async def test_a_gateway_without_a_clock(kubo: Kubo) -> None:
    async with meddling(f"http://127.0.0.1:{kubo.port}") as meddler:
        meddler.after = lambda _, whole: whole.replace(b"\r\nDate: ", b"\r\nX-Date: ")
        backend = open_backend("d0", f"ipfs+gateway+http://{meddler.host}/{kubo.root('/shelf')}")
        with pytest.raises(UnavailableError, match="the gateway tells no time"):
            await backend.age(KEY)
        await backend.aclose()


async def test_a_root_that_is_no_folder(kubo: Kubo) -> None:
    backend = open_backend("d0", f"{kubo.gateway}/{cid_of(VALUE[: 1 << 20])}")
    with pytest.raises(UnavailableError, match=r"is no node .* check the CID in its URL"):
        await backend.head(KEY)
    await backend.aclose()


async def test_the_root_of_a_value_is_asked_for_once(kubo: Kubo, gateway: Backend) -> None:
    assert await gateway.get(KEY, 0, 10) == VALUE[:10]
    kubo.node.drop(str(kubo.root(f"/shelf/{KEY}")))
    assert await gateway.get(KEY, 1 << 20, 10) == VALUE[1 << 20 : (1 << 20) + 10]
    assert await gateway.head(KEY) == len(VALUE)


def test_what_is_remembered_is_bounded() -> None:
    """Whatever a node makes up: roots of ours are small."""
    root = cid_of(b"", DAG_PB)
    usual = Value(root, 1, (), b"x", None)
    values = Remembered[int]()
    for number in range(VALUES + 2):
        values.add(number, usual)
        values.find(0)
    assert values.find(0) == usual
    assert values.find(1) is None
    values.add(0, replace(usual, data=bytes(INLINE + 1)))
    values.add(2, replace(usual, blocks=((root, 1),) * (BLOCKS + 1)))
    assert values.find(0) is values.find(2) is None
    values.drop(3)
    values.drop(3)
    assert values.find(3) is None


async def test_redirects_are_followed_as_every_block_is_checked(kubo: Kubo) -> None:
    async with meddling() as meddler:

        def elsewhere(request: object) -> bytes:
            target = getattr(request, "target")  # noqa: B009 - of the test's own request
            return answer("301 Moved", location=f"http://127.0.0.1:{kubo.port}{target}")

        meddler.before = elsewhere
        backend = open_backend("d0", f"ipfs+gateway+http://{meddler.host}/{kubo.root('/shelf')}")
        assert await backend.get(KEY) == VALUE
        meddler.before = lambda request: answer("301 Moved", location=request.target)
        again = open_backend("d0", f"ipfs+gateway+http://{meddler.host}/{kubo.root('/shelf')}")
        with pytest.raises(UnavailableError, match="sends us on and on"):
            await again.get(KEY)
        await backend.aclose()
        await again.aclose()


async def test_a_large_folder_lies_in_several_nodes(kubo: Kubo) -> None:
    """As a HAMT of 256 slots: two digits before each name, and nodes that have no name besides."""
    packs = kubo.root("/shelf/packs")
    inner = Node(SHARDED, (Link(packs, "07packs", 1),), b"\x80", fanout=256)
    below = kubo.node.put(_sharded(inner), DAG_PB, SHA2_256)
    top = Node(SHARDED, (Link(below, "A3", 1), Link(packs, "FFother", 1)), b"\x80", fanout=256)
    root = kubo.node.put(_sharded(top), DAG_PB, SHA2_256)
    assert decode_node(kubo.node.get(root)).fanout == 256
    backend = open_backend("d0", f"{kubo.gateway}/{root}")
    assert await backend.get(KEY, 5, 5) == VALUE[5:10]
    found = [each.key async for each in backend.list()]
    assert sorted(found) == ["other/ab/abcd/0-4-2", KEY]
    await backend.aclose()


def _sharded(node: Node) -> bytes:
    """A node of a sharded folder, with the fields that a file has not: hash type and fan-out."""
    plain = encode_node(Node(DIRECTORY, node.links))
    links, _, _ = plain.rpartition(b"\x0a\x02\x08\x01")
    inside = b"\x08\x05\x12\x01\x80\x28\x22\x30\x80\x02"
    return links + b"\x0a" + bytes([len(inside)]) + inside
