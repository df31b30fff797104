"""A real IPFS node: what it is told, what it computes, and what a collection leaves of it."""

from urllib.error import HTTPError

import pytest

from modelfloat.backends.ipfs.address import node_address
from modelfloat.backends.ipfs.dagpb import encode_node, file_node
from modelfloat.backends.ipfs.rpc import Rpc
from modelfloat.backends.keys import check_key
from modelfloat.backends.registry import open_backend
from modelfloat.backends.retry import RetryPolicy
from modelfloat.cid import DAG_PB, cid_of
from modelfloat.tests.support.jsipfs import JsIpfs
from modelfloat.tests.support.sources import noise

pytestmark = pytest.mark.slow

KEY = check_key("packs/ab/abcd/0-4-2")
VALUE = noise(5, (17 << 20) + 3)
OTHER = noise(6, 3 << 20)


async def test_a_shard_outlives_a_collection_and_a_restart(js_ipfs: JsIpfs) -> None:
    folder = js_ipfs.new_folder()
    backend = open_backend("d0", f"{js_ipfs.url}{folder}", policy=RetryPolicy())
    await backend.put(KEY, [VALUE])
    js_ipfs.ask("repo/gc")
    js_ipfs.stop()
    js_ipfs.start()
    assert await backend.get(KEY) == VALUE
    other = open_backend("d0", f"{js_ipfs.url}{folder}")
    assert await other.get(KEY, (5 << 20) - 7, 1000) == VALUE[(5 << 20) - 7 : (5 << 20) + 993]
    assert await other.age(KEY) >= 0
    await backend.aclose()
    await other.aclose()


async def test_what_is_deleted_is_collected(js_ipfs: JsIpfs) -> None:
    backend = open_backend("d0", f"{js_ipfs.url}{js_ipfs.new_folder()}")
    await backend.put(KEY, [OTHER])
    block = str(cid_of(OTHER[: 1 << 20]))
    assert js_ipfs.ask("block/stat", arg=block)
    await backend.delete(KEY)
    js_ipfs.ask("repo/gc")
    with pytest.raises(HTTPError):  # it looks for it as long as it may
        js_ipfs.ask("block/stat", arg=block, most="1s")
    await backend.aclose()


async def test_the_node_makes_the_same_of_the_same_bytes(js_ipfs: JsIpfs) -> None:
    """Its own importer has the same blocks and root, but for the time; and it reads our file."""
    folder = js_ipfs.new_folder()
    backend = open_backend("d0", f"{js_ipfs.url}{folder}")
    await backend.put(KEY, [VALUE])
    parts = [VALUE[at : at + (1 << 20)] for at in range(0, len(VALUE), 1 << 20)]
    root = encode_node(file_node([(cid_of(part), len(part)) for part in parts]))
    rpc = Rpc("d0", node_address("d0", js_ipfs.url))
    options = {"raw-leaves": "true", "chunker": "size-1048576", "hash": "blake3"}
    reply = await rpc.ask("add", "", [*options.items(), ("cid-version", "1")], data=VALUE)
    assert str(cid_of(root, DAG_PB)).encode() in reply.body
    assert js_ipfs.ask("files/read", arg=f"{folder}/{KEY}") == VALUE
    await rpc.aclose()
    await backend.aclose()
