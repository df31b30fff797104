"""A store whose config.toml is lost: init leaves it alone, and it is written anew by hand."""

import json
from pathlib import Path

import pytest

from modelfloat.cas.store import Store
from modelfloat.creating import BackendSpec, create_store
from modelfloat.errors import ExistsError, MarkerError, NotFoundError
from modelfloat.opening import open_store
from modelfloat.tests.support.damage import all_files
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read

DATA = noise("f", 1_500_000)


@pytest.fixture
async def lost(tmp_path: Path) -> Path:
    """A store of 2+1 with a file in it, without its configuration."""
    (tmp_path / "f").write_bytes(DATA)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "f")
    (tmp_path / "store" / "config.toml").unlink()
    return tmp_path / "store"


def by_hand(marker: Path) -> str:
    """What the guide says to write, from one backend's marker."""
    found = json.loads(marker.read_text())
    lines = ["[store]", f'id = "{found["store"]}"', f'erasure = "{found["erasure"]}"']
    for each in found["backends"]:
        lines += ["", "[[backend]]", f'name = "{each["name"]}"', f'url = "{each["url"]}"']
        lines += [f'uuid = "{each["backend"]}"', f"weight = {each['weight']}"]
    return "\n".join([*lines, ""])


async def opened(path: Path) -> bytes:
    async with open_store(str(path)) as store:
        assert isinstance(store, Store)
        assert (await store.verify()).exit_status == 0
        return await read(store, "acme/model/f")


async def test_init_does_not_adopt_what_is_left(lost: Path) -> None:
    before = all_files(lost)
    with pytest.raises(ExistsError, match=r"config\.toml is missing, but .*index/data\.mdb is "):
        await create_store(str(lost), None, [], reserve=0)
    assert all_files(lost) == before
    (lost / "index").rename(lost / "elsewhere")
    with pytest.raises(ExistsError, match=r"but .*backends/d0/modelfloat\.json is there"):
        await create_store(str(lost), None, [], reserve=0)


async def test_a_command_says_what_is_missing(lost: Path) -> None:
    with pytest.raises(NotFoundError, match=r"config\.toml is missing, but .* restore it"):
        await opened(lost)


async def test_a_configuration_written_by_hand_from_a_marker(lost: Path) -> None:
    (lost / "config.toml").write_text(by_hand(lost / "backends" / "d1" / "modelfloat.json"))
    assert await opened(lost) == DATA


async def test_a_place_of_another_store_is_named_without_an_id_made_up(
    lost: Path, tmp_path: Path
) -> None:
    taken = lost / "backends" / "d0"
    with pytest.raises(MarkerError, match=r"belongs to store [0-9a-f]{32} already; check its URL"):
        await create_store(str(tmp_path / "new"), None, [BackendSpec("a", str(taken))], reserve=0)
