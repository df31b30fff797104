"""gc where backends have room for few records: what it deletes first makes room for the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelfloat.backends.base import Backend, Buffer
from modelfloat.backends.keys import RESERVE_KEY
from modelfloat.cas.gc import collection
from modelfloat.cas.gc.collection import FIRST, GROWTH, _parts
from modelfloat.cas.refnames import parse_address
from modelfloat.errors import QuotaError
from modelfloat.ids import Key
from modelfloat.tests.support.stores import add, fresh_store, read, weights

REPOSITORIES = 20
RECORDS = 6
"""Records of condemned packs that fit on a backend at once: of fewer packs than die, on all six."""


@dataclass
class Crowded:
    """A backend with room for RECORDS records of condemned packs, and for any other."""

    inner: Backend
    there: set[Key] = field(default_factory=set)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    @property
    def bulk(self) -> None:
        """Each goes by itself, so it is known which have gone."""

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        if key.startswith("condemned/"):
            if len(self.there | {key}) > RECORDS:
                name = self.inner.name
                raise QuotaError(f"backend {name}: {key}: no room", backend=name, key=key)
            self.there.add(key)
        await self.inner.put(key, parts, if_absent=if_absent)

    async def delete(self, key: Key) -> None:
        await self.inner.delete(key)
        self.there.discard(key)


async def test_more_packs_die_than_records_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "FIRST", RECORDS)
    monkeypatch.setattr(collection, "GROWTH", 1)
    kept = weights(tmp_path / "kept", 300_000, "kept")
    async with fresh_store(tmp_path / "s", "4+2") as store:
        await add(store, tmp_path / "kept", "acme/kept")
        for number in range(REPOSITORIES):
            weights(tmp_path / "gone", 300_000, f"gone {number}")
            await add(store, tmp_path / "gone", f"acme/gone{number}")
            await store.remove(parse_address(f"acme/gone{number}"))
        for member in store.members:
            await member.backend.put(RESERVE_KEY, [bytes(10)])
            member.backend = Crowded(member.backend)  # type: ignore[assignment]
        report = await store.gc(grace=0)
        assert report.deleted == 2 * REPOSITORIES
        assert (await store.gc(grace=0)).deleted == 0
        assert await read(store, "acme/kept/kept") == kept
        assert (await store.verify()).exit_status == 0
    assert "giving up the reserve there" in caplog.text
    assert not list((tmp_path / "s" / "backends").glob("*/condemned/*"))


@pytest.mark.parametrize("count", [0, 1, FIRST, FIRST + 1, 5000])
def test_each_part_is_larger_than_the_one_before(count: int) -> None:
    rows = list(range(count))
    parts = _parts(rows, FIRST)
    assert [row for part in parts for row in part] == rows
    for number, part in enumerate(parts[:-1]):
        assert len(part) == FIRST * GROWTH**number
    assert _parts(rows, count) == [rows]
