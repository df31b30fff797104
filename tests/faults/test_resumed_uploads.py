"""Uploads to real servers that are killed: the next add goes on, and gc leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelfloat.cas.store import Store
from modelfloat.creating import BackendSpec, create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, Ran
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.servers import SeaweedFS
from modelfloat.tests.support.stores import read

FILES = 40
"""Small files of 1 MB: the first 33 fill a pack."""
Places = Callable[[SeaweedFS], str]
"""The URL of a new place on the server."""

PLACES: dict[str, Places] = {
    "s3": lambda server: server.s3_url(server.new_bucket(), "models"),
    "webdav": lambda server: server.webdav_url(server.new_folder()),
}


@pytest.mark.parametrize("kind", ["s3", pytest.param("webdav", marks=pytest.mark.slow)])
async def test_a_killed_upload_is_taken_up_again(
    kind: str, tmp_path: Path, seaweedfs: SeaweedFS
) -> None:
    source = tmp_path / "files"
    source.mkdir()
    for number in range(FILES):
        (source / f"{number:02}").write_bytes(noise(f"{kind} {number}", 1_000_000))
    with Crasher(tmp_path) as crasher:

        async def fresh(name: str) -> Path:
            places = [PLACES[kind](seaweedfs) for _ in range(2)]
            specs = [BackendSpec(f"d{i}", url, f"host{i}") for i, url in enumerate(places)]
            await create_store(str(tmp_path / name), Scheme(1, 1), specs, reserve=0)
            return tmp_path / name

        def run(store: Path, at: int | None = None) -> Ran:
            return crasher.run("--store", store, "add", source, "acme/m", at=at)

        steps = run(await fresh("clean")).steps
        for at in range(_knows_a_pack(steps), len(steps)):
            # Encoding and storing race: the moment has another number in each run.
            store = await fresh(f"killed{at}")
            killed = run(store, at)
            assert killed.status == -9
            if _knows_a_pack(killed.steps) < len(killed.steps):
                break
        again = run(store)
    assert again.status == 0, again.err
    assert "MB of 40.0 MB were already stored" in again.out
    async with open_store(str(store)) as opened:
        for number in range(0, FILES, 7):
            content = (source / f"{number:02}").read_bytes()
            assert await read(opened, f"acme/m/{number:02}") == content
        assert (await opened.verify()).exit_status == 0
        await opened.gc(grace=0)
        assert await _keys(opened) == _expected(opened)


def _knows_a_pack(steps: list[str]) -> int:
    """The number of the step in which a durable pack is known; how many there are if none is."""
    recorded = (
        i for i, step in enumerate(steps) if step.startswith("put end") and "journal/" in step
    )
    later = range(next(recorded, len(steps)), len(steps))
    return next((i for i in later if steps[i].startswith("index end")), len(steps))


async def _keys(store: Store) -> set[tuple[str, str]]:
    """Shards that lie on the backends."""
    found = set()
    for member in store.members:
        async for listed in member.backend.list("packs/"):
            found.add((member.name, str(listed.key)))
    return found


def _expected(store: Store) -> set[tuple[str, str]]:
    """Shards that the index knows."""
    return {
        (store.members.name_of(pack.backends[i]), str(store.pool.key(pack, i)))
        for pack in store.index.packs()
        for i in range(pack.n)
    }
