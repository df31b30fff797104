"""What gc asks of the backends of each pack that it deletes: counted, whatever the clock says."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from modelfloat.backends.local import LocalBackend
from modelfloat.cas.refnames import parse_address
from modelfloat.ids import Key
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

REPOSITORIES = 8


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Calls that change a backend from now on, by what they do and to what."""
    calls = Counter[str]()

    def note(name: str) -> None:
        real = getattr(LocalBackend, name)

        def noted(self: LocalBackend, key: Key | list[Key], *args: Any, **options: Any) -> Any:
            first = key if isinstance(key, str) else key[0]
            calls[f"{name} {first.partition('/')[0]}"] += 1
            return real(self, key, *args, **options)

        monkeypatch.setattr(LocalBackend, name, noted)

    for name in ("put", "delete", "delete_many"):
        note(name)
    return calls


async def test_shards_of_many_packs_go_in_one_call_of_each_backend(
    tmp_path: Path, asked: Counter[str]
) -> None:
    kept = weights(tmp_path / "kept", 500_000, "kept")
    async with fresh_store(tmp_path / "s", "4+2") as store:
        await add(store, tmp_path / "kept", "acme/kept")
        staying = shard_files(tmp_path / "s")
        for number in range(REPOSITORIES):
            weights(tmp_path / "gone", 500_000, f"gone {number}")
            await add(store, tmp_path / "gone", f"acme/gone{number}")
            await store.remove(parse_address(f"acme/gone{number}"))
        asked.clear()
        report = await store.gc(grace=0)
        assert report.deleted == 2 * REPOSITORIES
        assert set(staying) >= set(shard_files(tmp_path / "s"))
        assert await read(store, "acme/kept/kept") == kept
    # m+1 records condemn each pack; its shards and these records go with those of the others.
    assert asked["put condemned"] == 3 * report.deleted
    assert (asked["delete_many packs"], asked["delete packs"]) == (6, 0)
    assert (asked["delete_many condemned"], asked["delete condemned"]) == (6, 0)
