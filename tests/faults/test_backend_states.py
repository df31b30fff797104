"""Backends that the user, or what they answer, keeps from getting new shards: read all the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.backends.faulty import FaultyBackend, Name
from modelfloat.cas.packs.health import State
from modelfloat.config import read_config, write_config
from modelfloat.errors import DeniedError, FormatError
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import add, fresh_store, read, weights


def decide(path: Path, name: str, state: str | None) -> None:
    """Write a backend's state into the configuration."""
    config = read_config(str(path))
    backends = tuple(replace(b, state=state) if b.name == name else b for b in config.backends)
    write_config(str(path), replace(config, backends=backends))


def lose(path: Path, name: str) -> None:
    """Take a backend's directory away."""
    (path / "backends" / name).rename(path / f"{name} was here")


def files(path: Path, name: str, kind: str) -> set[str]:
    """The files of one kind below a backend, with their times: what is changed shows."""
    folder = path / "backends" / name / kind
    return {f"{file} {file.stat().st_mtime_ns}" for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("state", ["draining", "read-only"])
async def test_what_the_user_decides_lasts(tmp_path: Path, state: str) -> None:
    path, first = tmp_path / "store", weights(tmp_path / "first", label="1")
    async with fresh_store(path, "2+1") as store:
        await add(store, tmp_path / "first")
    decide(path, "d0", state)
    before = files(path, "d0", "packs")
    second = weights(tmp_path / "second", label="2")
    async with open_store(str(path)) as store:
        member = next(iter(store.members))
        assert member.state is State(state)
        await add(store, tmp_path / "second")
        assert files(path, "d0", "packs") == before
        assert await read(store, "acme/model/first") == first
        assert await read(store, "acme/model/second") == second
        found = (await store.backends())[0]
        assert (found.state, found.up, found.reason) == (state, True, "")
    lose(path, "d1")
    async with open_store(str(path)) as store:
        # Two shards of three are left, and one of them is on the backend that gets no new ones.
        assert await read(store, "acme/model/first") == first


async def test_what_is_read_only_is_not_changed_at_all(tmp_path: Path) -> None:
    path = tmp_path / "store"
    weights(tmp_path / "model")
    async with fresh_store(path, "2+1") as store:
        await add(store, tmp_path / "model")
    decide(path, "d0", "read-only")
    before = files(path, "d0", "")
    async with open_store(str(path)) as store:
        weights(tmp_path / "other", label="2")
        await add(store, tmp_path / "other")
        assert (await store.verify(repair=True)).exit_status == 0
        await store.gc(grace=0)
    assert files(path, "d0", "") == before
    # No lease was held there either, though it is the backend that decides who deletes.
    assert not (path / "backends" / "d0" / "lease").exists()


async def test_where_none_takes_shards_that_is_what_is_told(tmp_path: Path) -> None:
    weights(tmp_path / "model")
    async with fresh_store(tmp_path / "store", "1+1") as store:
        for name, state in (("d0", "read-only"), ("d1", "draining")):
            decide(tmp_path / "store", name, state)
        with pytest.raises(DeniedError, match=r"shards \(backend d0: it is read-only; and 1 more"):
            await add(store, tmp_path / "model")


async def test_a_decision_of_another_process_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "store"
    async with fresh_store(path, "2+1") as store:
        decide(path, "d1", "draining")
        await store.members.refresh()
        assert [m.state for m in store.members] == [State.UP, State.DRAINING, State.UP]
        decide(path, "d1", None)
        await store.members.refresh()
        assert [m.state for m in store.members] == [State.UP] * 3


def test_a_state_that_nobody_decides_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        f'[store]\nid = "{"ab" * 16}"\nerasure = "1+1"\n[[backend]]\nname = "d0"\nurl = "/d0"\n'
        f'uuid = "{"cd" * 16}"\nstate = "down"\n'
    )
    with pytest.raises(FormatError, match="must be draining or read-only, not down"):
        read_config(str(tmp_path))


@pytest.mark.parametrize(("fault", "state"), [("full", State.FULL), ("denied", State.READ_ONLY)])
async def test_what_refuses_shards_is_asked_once_and_read_on(
    tmp_path: Path, fault: Name, state: State
) -> None:
    data = weights(tmp_path / "first", label="first")
    async with fresh_store(tmp_path / "store", "4+2") as store:
        await add(store, tmp_path / "first")
        member = next(iter(store.members))
        member.backend = faulty = FaultyBackend(member.backend)
        refused = faulty.inject(fault, on=["put"])
        for number in range(4):
            weights(tmp_path / f"more{number}", label=f"more {number}")
            await add(store, tmp_path / f"more{number}")
        assert member.state is state
        # The shards of the packs that were on their way, and no more.
        assert refused.struck <= 4
        assert await read(store, "acme/model/first") == data
        assert (await store.stats()).degraded_packs == 0
