"""Listings are slow, dear and late at providers: no read waits for one."""

from pathlib import Path

import pytest

from modelfloat.opening import open_store
from modelfloat.tests.support.listings import noted_listings
from modelfloat.tests.support.stores import add, fresh_store, read, weights


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefixes of all listings that are asked for from now on."""
    return noted_listings(monkeypatch)


@pytest.mark.parametrize("lost", [(), ("d0", "d3")], ids=["healthy", "two gone"])
async def test_opening_a_store_and_reading_lists_nothing(
    tmp_path: Path, listed: list[str], lost: tuple[str, ...]
) -> None:
    data = weights(tmp_path / "model")
    async with fresh_store(tmp_path / "s", "4+2") as store:
        await add(store, tmp_path / "model")
        assert [each async for each in next(iter(store.members)).backend.list("packs/")]
    assert "packs/" in listed  # they are noticed
    for name in lost:
        folder = tmp_path / "s" / "backends" / name
        folder.rename(tmp_path / name)
    listed.clear()
    async with open_store(str(tmp_path / "s")) as store:
        assert await read(store, "acme/model/model") == data
    assert listed == []
