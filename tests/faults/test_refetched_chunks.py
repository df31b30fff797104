"""Files of which more shards are lost than parity replaces, and that can be had where they came
from."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.refnames import parse_address
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import DamageError
from modelfloat.hub.httpsource import HttpSource
from modelfloat.opening import open_store
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.damage import lose, packs_of
from modelfloat.tests.support.rangeserver import RangeServer, range_server
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import fresh_store, read, weights


async def stored(tmp_path: Path, server: RangeServer, count: int = 1) -> dict[str, bytes]:
    """Stores files that the server has too, then loses two data shards of each split pack."""
    files = {f"m{i}": weights(tmp_path / f"m{i}", 3_000_000, f"model {i}") for i in range(count)}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        for name, data in files.items():
            server.files[f"/{name}"] = data
            address = parse_address(f"acme/{name}")
            url = server.url(f"/{name}")
            await store.carry_out(AddRequest([str(tmp_path / name)], address, source_url=url))
    for pack in packs_of(tmp_path / "store"):
        if pack.k == 2:
            lose(pack.shards[0])
            lose(pack.shards[1])
    return files


async def test_lost_chunks_are_read_from_the_source(tmp_path: Path) -> None:
    async with range_server({}) as server:
        files = await stored(tmp_path, server)
        async with open_store(str(tmp_path / "store"), fetch=HttpSource().fetch) as store:
            assert await read(store, "acme/m0/m0") == files["m0"]
        assert server.asked
        # Without leave nobody is asked.
        asked = len(server.asked)
        async with open_store(str(tmp_path / "store")) as store:
            with pytest.raises(DamageError):
                await read(store, "acme/m0/m0")
        assert len(server.asked) == asked


async def test_a_source_that_became_another_file_gives_no_byte(tmp_path: Path) -> None:
    async with range_server({}) as server:
        await stored(tmp_path, server)
        server.files["/m0"] = bytes(len(server.files["/m0"]))
        async with open_store(str(tmp_path / "store"), fetch=HttpSource().fetch) as store:
            with pytest.raises(DamageError):
                await read(store, "acme/m0/m0")


async def test_a_repair_stores_again_what_the_source_has(tmp_path: Path) -> None:
    async with range_server({}) as server:
        files = await stored(tmp_path, server, 3)
        del server.files["/m2"]
        async with open_store(str(tmp_path / "store"), fetch=HttpSource().fetch) as store:
            # Without a repair it is told, and nobody is asked.
            assert (await store.verify()).exit_status == 4
            assert not server.asked
            report = await store.verify(repair=True)
            assert report.lost_files == ["acme/m2@main/m2"]
            assert report.exit_status == 4
            assert report.refetched > 0
            server.files["/m2"] = files["m2"]
            report = await store.verify(repair=True)
            assert (report.lost_files, report.exit_status) == ([], 3)
            asked = len(server.asked)
            assert (await store.verify(repair=True)).refetched == 0
        async with open_store(str(tmp_path / "store")) as store:
            for name, data in files.items():
                assert await read(store, f"acme/{name}/{name}") == data
            await store.gc(grace=0)
            report = await store.verify()
            assert (report.exit_status, report.unneeded) == (0, [])
        assert len(server.asked) == asked


async def test_commands_use_sources_unless_they_may_not(tmp_path: Path) -> None:
    async with range_server({}) as server:
        files = await stored(tmp_path, server)
        out = tmp_path / "out"

        async def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
            command = ("--store", tmp_path / "store", "--quiet", *arguments)
            return await trio.to_thread.run_sync(lambda: modelfloat(*command))

        done = await run("verify")
        assert done.returncode == 4
        assert "from where it came from (`modelfloat verify --repair`)" in done.stdout
        assert (await run("config", "use_sources", "no")).returncode == 0
        assert (await run("get", "acme/m0/m0", out)).returncode == 4
        assert (await run("verify", "--repair")).returncode == 4
        assert not server.asked
        assert (await run("config", "use_sources", "yes")).returncode == 0
        assert (await run("get", "acme/m0/m0", out)).returncode == 0
        assert out.read_bytes() == files["m0"]
        done = await run("verify", "--repair")
        assert done.returncode == 3
        assert "had again from where the files came from" in done.stdout
        assert (await run("verify")).returncode == 0


async def test_chunks_that_two_files_share_are_asked_for_once(tmp_path: Path) -> None:
    async with range_server({}) as server:
        await stored(tmp_path, server)
        address = parse_address("acme/again")
        async with open_store(str(tmp_path / "store"), fetch=HttpSource().fetch) as store:
            report = await store.verify(repair=True)
            count = report.refetched
            assert len(server.asked) == count > 2
            request = AddRequest([str(tmp_path / "m0")], address, source_url=server.url("/m0"))
            await store.carry_out(request)
        for pack in packs_of(tmp_path / "store"):
            if pack.k == 2 and pack.shards.get(0) is not None:
                lose(pack.shards[0])
                lose(pack.shards[1])
        async with open_store(str(tmp_path / "store"), fetch=HttpSource().fetch) as store:
            report = await store.verify(repair=True)
            assert (report.refetched, report.lost_files) == (count, [])
            assert len(server.asked) == 2 * count
            assert (await store.verify()).exit_status == 0


async def test_chunks_of_several_packs_are_protected_as_each_was(tmp_path: Path) -> None:
    """One file, half of which a repository with more parity had stored before."""
    data = noise("model", 6_000_000)
    (tmp_path / "m").write_bytes(data)
    (tmp_path / "half").write_bytes(data[:3_000_000])
    async with range_server({"/m": data}) as server:
        async with fresh_store(tmp_path / "store", "2+2") as store:
            for name, scheme in (("half", "2+2"), ("m", "2+1")):
                asked = AddRequest([str(tmp_path / name)], parse_address(f"acme/{name}"))
                url = server.url("/m") if name == "m" else None
                own = Scheme.parse(scheme)
                await store.carry_out(replace(asked, erasure=own, source_url=url))
            await store.remove(parse_address("acme/half"))
            schemes = {(pack.k, pack.m) for pack in store.index.packs() if pack.k > 1}
            assert schemes == {(2, 1), (2, 2)}
        for pack in packs_of(tmp_path / "store"):
            for index in range(pack.m + 1) if pack.k == 2 else ():
                lose(pack.shards[index])
        async with open_store(str(tmp_path / "store"), fetch=HttpSource().fetch) as store:
            lost = {pack.number for pack in store.index.packs() if pack.k == 2}
            assert (await store.verify(repair=True)).refetched > 0
            made = [pack for pack in store.index.packs() if pack.number not in lost and pack.k == 2]
            assert {(pack.k, pack.m) for pack in made} == {(2, 1), (2, 2)}
            assert await read(store, "acme/m/m") == data
