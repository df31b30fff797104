"""Rates in a store's configuration, and what open stores make of their changes."""

import shutil
from pathlib import Path

import pytest

from modelfloat.backendchanges import change_backend
from modelfloat.cli.backendspec import parse_changes
from modelfloat.config import read_config
from modelfloat.creating import BackendSpec
from modelfloat.errors import UsageError
from modelfloat.opening import open_store
from modelfloat.rate import Rate
from modelfloat.tests.support.stores import add, fresh_store, read, weights


async def test_a_store_keeps_to_rates_and_takes_over_their_changes(tmp_path: Path) -> None:
    specs = tuple(
        BackendSpec(f"d{i}", str(tmp_path / f"d{i}"), f"host{i}", rate="1000/s:2000")
        for i in range(3)
    )
    path = tmp_path / "s"
    async with fresh_store(path, "2+1", specs) as store:
        data = weights(tmp_path / "model")
        await add(store, tmp_path / "model")
        assert await read(store, "acme/model/model") == data
        assert {each.rate for each in await store.backends()} == {"1000/s:2000"}
        assert len(list((path / "run").glob("rate-*"))) == 3  # shared with other processes
        await change_backend(str(path), "d1", parse_changes("d1", None, None, None, "9/min:2"))
        await change_backend(str(path), "d2", parse_changes("d2", None, None, None, "default"))
        await store.members.refresh()
        rates = {m.name: m.backend.properties.rate for m in store.members}
        assert rates == {"d0": Rate(1000.0, 2000), "d1": Rate(9 / 60, 2), "d2": None}
    assert [each.rate for each in read_config(str(path)).backends] == [
        "1000/s:2000",
        "9/min:2",
        None,
    ]


async def test_a_store_whose_folder_was_made_anew_shares_its_rates(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody wrote its configuration into an empty folder, from a backend's marker."""
    path, specs = tmp_path / "s", [BackendSpec("d", str(tmp_path / "d"), "host", rate="9/s:90")]
    async with fresh_store(path, "1+0", specs) as store:
        data = weights(tmp_path / "model")
        await add(store, tmp_path / "model")
    shutil.rmtree(path / "run")
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model") == data
    assert len(list((path / "run").glob("rate-*"))) == 1
    assert caplog.messages == []


def test_a_rate_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="rate cannot be 'fast'"):
        parse_changes("d0", None, None, None, "fast")
