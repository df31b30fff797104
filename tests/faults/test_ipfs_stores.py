"""Stores whose shards lie on IPFS nodes: lost and changed blocks, collections, gateways."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from modelfloat.cas.packs.health import State
from modelfloat.cid import RAW
from modelfloat.cli.main import run
from modelfloat.config import read_config, write_config
from modelfloat.creating import BackendSpec
from modelfloat.opening import open_store
from modelfloat.tests.servers.kubo import Kubo, serve_kubo
from modelfloat.tests.support.stores import add, fresh_store, read, weights

NODES = 3


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[Kubo]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(serve_kubo(tmp_path / f"node{number}"))
            for number in range(NODES)
        ]


@pytest.fixture
async def store(nodes: list[Kubo], tmp_path: Path) -> Path:
    """A store over the three nodes, with acme/model in it."""
    weights(tmp_path / "model.safetensors")
    specs = [
        BackendSpec(f"n{number}", f"{node.url}/shelf", domain=f"node{number}")
        for number, node in enumerate(nodes)
    ]
    async with fresh_store(tmp_path / "store", "2+1", tuple(specs)) as made:
        await add(made, tmp_path / "model.safetensors")
    return tmp_path / "store"


async def command(store: Path, *arguments: str) -> int:
    """Run a command beside the nodes."""
    words = ["--store", str(store), "--quiet", *arguments]
    return await trio.to_thread.run_sync(run, words)


async def content(store: Path) -> bytes:
    """What the store gives."""
    async with open_store(str(store)) as opened:
        return await read(opened, "acme/model/model.safetensors")


async def test_a_node_is_lost_and_made_again(nodes: list[Kubo], store: Path) -> None:
    wanted = (store.parent / "model.safetensors").read_bytes()
    shelf = nodes[0].node.find("/shelf")
    assert isinstance(shelf, dict)
    nodes[0].node.names["shelf"] = {"modelfloat.json": shelf["modelfloat.json"]}
    assert await content(store) == wanted
    assert await command(store, "verify", "--repair") == 3
    assert await command(store, "verify") == 0
    for each in nodes:
        each.node.collect()
    nodes[1].node.names = {}
    assert await content(store) == wanted


async def test_lost_and_flipped_blocks_are_mended(nodes: list[Kubo], store: Path) -> None:
    wanted = (store.parent / "model.safetensors").read_bytes()
    blocks = [text for text, cid in nodes[0].node.cids.items() if cid.codec == RAW]
    assert len(blocks) >= 2
    nodes[0].node.drop(blocks[0])
    nodes[0].faults.flipped.add(blocks[1])
    assert await content(store) == wanted
    assert await command(store, "verify") == 3
    nodes[0].faults.flipped.clear()
    assert await command(store, "verify", "--repair") == 3
    assert await command(store, "verify") == 0


async def test_what_gc_deletes_the_nodes_collect(nodes: list[Kubo], store: Path) -> None:
    before = nodes[0].node.size()
    assert await command(store, "rm", "acme/model") == 0
    assert await command(store, "gc", "--grace", "0s") == 0
    for each in nodes:
        each.node.collect()
    assert nodes[0].node.size() < before / 5
    assert await command(store, "verify") == 0


async def test_an_index_is_made_anew_from_the_nodes(store: Path) -> None:
    wanted = (store.parent / "model.safetensors").read_bytes()
    shutil.rmtree(store / "index")
    assert await command(store, "rebuild-index") == 0
    assert await content(store) == wanted


async def test_gateways_give_what_nodes_hold(
    nodes: list[Kubo], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On another machine, say: the same store, whose backends are read through gateways."""
    wanted = (store.parent / "model.safetensors").read_bytes()
    config = read_config(str(store))
    gateways = [
        replace(each, url=f"{node.gateway}/{node.root('/shelf')}")
        for each, node in zip(config.backends, nodes, strict=True)
    ]
    write_config(str(store), replace(config, backends=tuple(gateways)))
    shutil.rmtree(store / "index")
    assert await command(store, "rebuild-index") in (0, 1)
    assert await content(store) == wanted
    weights(store.parent / "other", label="other")
    capsys.readouterr()
    assert await command(store, "add", str(store.parent / "other"), "acme/other") == 1
    assert "no backend takes new shards (backend n0: it is read-only" in capsys.readouterr().err
    assert await content(store) == wanted


async def test_a_gateway_among_others_gets_no_shards(nodes: list[Kubo], store: Path) -> None:
    """It is read, is read-only from the beginning, and new shards lie on the others."""
    assert await command(store, "backend", "add", "disk", str(store.parent / "disk")) == 0
    read_through_gateway(store, nodes, "n0")
    before = {text for text, cid in nodes[0].node.cids.items() if cid.codec == RAW}
    weights(store.parent / "other", label="other")
    async with open_store(str(store)) as opened:
        await add(opened, store.parent / "other", "acme/other")
        states = {each.name: each.state for each in opened.members}
        assert states.pop("n0") is State.READ_ONLY
        assert set(states.values()) == {State.UP}
        assert all(member.errors == 0 for member in opened.members)
        assert await read(opened, "acme/other/other") == (store.parent / "other").read_bytes()
    assert {text for text, cid in nodes[0].node.cids.items() if cid.codec == RAW} == before
    assert await content(store) == (store.parent / "model.safetensors").read_bytes()


async def test_a_gateway_keeps_nobody_from_adding(nodes: list[Kubo], tmp_path: Path) -> None:
    """Of two backends one takes shards: it gets both of each pack."""
    weights(tmp_path / "model")
    specs = tuple(BackendSpec(f"n{i}", f"{nodes[i].url}/shelf", f"node{i}") for i in range(2))
    async with fresh_store(tmp_path / "store", "1+1", specs) as made:
        await add(made, tmp_path / "model")
    read_through_gateway(tmp_path / "store", nodes, "n0")
    data = weights(tmp_path / "other", label="other")
    async with open_store(str(tmp_path / "store")) as opened:
        await add(opened, tmp_path / "other", "acme/other")
        assert await read(opened, "acme/other/other") == data


def read_through_gateway(store: Path, nodes: list[Kubo], name: str) -> None:
    """Put a gateway in the place of one of the nodes, in the configuration."""
    config = read_config(str(store))
    node = nodes[int(name[1:])]
    gateway = f"{node.gateway}/{node.root('/shelf')}"
    backends = (replace(b, url=gateway) if b.name == name else b for b in config.backends)
    write_config(str(store), replace(config, backends=tuple(backends)))
