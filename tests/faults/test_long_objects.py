"""A backend that has more than anybody wrote: whatever lies under a key, little of it is held."""

import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelfloat.backends.base import Backend
from modelfloat.backends.fetch import LARGEST
from modelfloat.backends.keys import (
    condemned_key,
    journal_key,
    lease_key,
    news_key,
    session_key,
)
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.encryption.copies import find_copies
from modelfloat.cas.formats.condemned import Condemned, encode_condemned
from modelfloat.cas.formats.journal import NOWHERE
from modelfloat.cas.formats.presence import (
    MOST_OPEN,
    Presence,
    PresenceRecord,
    encode_presence,
)
from modelfloat.cas.gc import condemning
from modelfloat.cas.gc.condemning import condemned
from modelfloat.cas.gc.others import MOST_IN_USE, AtWork, Others
from modelfloat.cas.journal.news import read_news
from modelfloat.cas.lease import sessions
from modelfloat.cas.lease.lease import Leases
from modelfloat.cas.lease.sites import own_site
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import UnavailableError
from modelfloat.ids import Key, ObjectId, PackId, SiteId, WriterId
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.encrypted import KEYS, fresh_encrypted, unlocked
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, data_shards, fresh_store, read, weights

LONG = LARGEST - 1
"""Bytes of what is laid: all that a backend may say that a key has."""
BOUND = 100 << 20
"""Bytes that are held at once, at most: three copies of a record, and what else there is."""

SOMEBODY = WriterId(b"s" * 16)
ELSEWHERE = SiteId(b"e" * 16)


def lay(backend: Path, key: str) -> None:
    """Lay a value on a directory that is very long and takes no space; after what is there."""
    path = backend / key
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        file.truncate(LONG)


@contextmanager
def held_little() -> Iterator[None]:
    """What is done inside holds no more than BOUND at any time."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < BOUND


async def test_of_what_is_too_long_no_more_is_had_than_shows_that() -> None:
    backend, key = MemoryBackend("m"), Key("a")
    for size, had in ((0, 0), (99, 99), (100, 100), (101, 101), (5000, 101)):
        await backend.put(key, [bytes(size)])
        assert len(await backend.get(key, most=100)) == had


Read = Callable[[Store, Backend], Awaitable[object]]


async def _lease(store: Store, home: Backend) -> object:
    return await Leases(home, store.id, ELSEWHERE, "refs")._read(7)


READERS: dict[str, tuple[Key, Read, str]] = {
    "news": (
        news_key(ELSEWHERE),
        lambda store, _: read_news(store.members, ELSEWHERE, 2, 0),
        "None",
    ),
    "session": (
        session_key(SOMEBODY),
        lambda store, _: Others(store.members, ELSEWHERE, store.access.lock(""), 2).at_work(),
        "a writer of whom nothing is known",
    ),
    "told": (
        session_key(SOMEBODY),
        lambda store, _: Others(store.members, ELSEWHERE, store.access.lock(""), 2).told(),
        "a writer of whom nothing is known",
    ),
    "condemned": (
        condemned_key(PackId(b"p" * 16)),
        lambda store, _: condemned(store.members),
        "{}",
    ),
    "lease": (lease_key("refs", 7), _lease, "somebody's"),
    "keyring": (
        Key(f"keys/{9:016x}"),
        lambda store, home: find_copies([home], store.id),
        "no record",
    ),
}


@pytest.mark.parametrize("kind", READERS)
async def test_small_objects_that_are_long_are_damaged(kind: str, tmp_path: Path) -> None:
    key, ask, found = READERS[kind]
    async with fresh_store(tmp_path / "s", "2+1") as store:
        for name in ("d0", "d1", "d2"):
            lay(tmp_path / "s/backends" / name, key)
        with held_little():
            answer = await ask(store, next(iter(store.members)).backend)
    said = {
        "news": lambda: answer is None,
        "session": lambda: set(answer.writers) == {SOMEBODY},  # type: ignore[attr-defined]
        "told": lambda: set(answer.writers) == {SOMEBODY},  # type: ignore[attr-defined]
        "condemned": lambda: answer == {},
        "lease": lambda: answer.held,  # type: ignore[attr-defined]
        "keyring": lambda: not answer.records(),  # type: ignore[attr-defined]
    }
    assert said[kind](), found


async def test_of_condemned_packs_without_end_so_many_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that other backends tell of are among them."""
    monkeypatch.setattr(condemning, "MOST", 5)
    async with fresh_store(tmp_path / "s", "2+1") as store:
        first, *_, last = [member.backend for member in store.members]
        for number in range(20):
            await condemn_on(first, store, PackId(number.to_bytes(16, "big")))
        await condemn_on(last, store, PackId(b"p" * 16))
        found = await condemned(store.members)
    assert len(found) == 6
    assert PackId(b"p" * 16) in found


async def condemn_on(backend: Backend, store: Store, pack: PackId) -> None:
    record = Condemned(store.id, pack, 1, 0, (NOWHERE,))
    await backend.put(condemned_key(pack), [encode_condemned(record)])


async def test_sessions_without_end_are_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST", 5)
    async with fresh_store(tmp_path / "s", "2+1") as store:
        first = next(iter(store.members)).backend
        for number in range(6):
            record = PresenceRecord(Presence.SESSION, store.id, ELSEWHERE, bytes(16), 0, 300)
            await first.put(session_key(WriterId(bytes([number]) * 16)), [encode_presence(record)])
        with pytest.raises(UnavailableError, match="d0 names more than 5 sessions"):
            await store.gc(grace=7200)


async def test_mounts_without_end_are_not_held(tmp_path: Path) -> None:
    """Each names as many files as it can; all of these are another mount's."""
    async with fresh_store(tmp_path / "s", "2+1") as store:
        backend = next(iter(store.members)).backend
        for number in range(MOST_IN_USE // MOST_OPEN + 1):
            await lay_mount(backend, store, number)
        with (
            held_little(),
            pytest.raises(UnavailableError, match="mounts of other sites have more than 262,144"),
        ):
            await store.gc(grace=7200)
        found = AtWork()
        for _ in range(3):
            found.note(SOMEBODY, mount_of(store, 0), 0.0)
        assert len(found.in_use) == MOST_OPEN


def mount_of(store: Store, number: int) -> PresenceRecord:
    first = number * MOST_OPEN
    opened = tuple(ObjectId(n.to_bytes(32, "big")) for n in range(first, first + MOST_OPEN))
    return PresenceRecord(
        Presence.MOUNT, store.id, ELSEWHERE, bytes(16), MOST_OPEN, 600, open=opened
    )


async def lay_mount(backend: Backend, store: Store, number: int) -> None:
    key = session_key(WriterId(bytes([number]) * 16))
    await backend.put(key, [encode_presence(mount_of(store, number))])


@pytest.mark.parametrize("encrypted", [False, True])
async def test_with_one_backend_that_has_only_long_objects_all_goes_on(
    encrypted: bool, tmp_path: Path
) -> None:
    """Everything that lies on it is long, shards too: it is read, mended, collected, rebuilt."""
    data, path = weights(tmp_path / "model", 1_500_000), tmp_path / "s"
    fresh, opened = (fresh_encrypted, unlocked) if encrypted else (fresh_store, open_store)
    keys = KEYS if encrypted else None
    async with fresh(path, "2+1") as store:  # type: ignore[operator]
        await add(store, tmp_path / "model")
    hostile = next(folder.parent for folder in sorted(path.glob("backends/*/journal")))
    for file in [file for file in hostile.rglob("*") if file.suffix != ".json" and file.is_file()]:
        lay(hostile, str(file.relative_to(hostile)))
    with held_little():
        async with opened(str(path)) as store:  # type: ignore[operator]
            assert await read(store, "acme/model/model") == data
        await rebuild_store(str(path), keys=keys)
        async with opened(str(path)) as store:  # type: ignore[operator]
            assert (await store.verify(repair=True)).exit_status == 3
            assert (await store.verify()).exit_status == 0
            await store.remove(parse_address("acme/model"))
            await store.gc(grace=0)
    assert not data_shards(path)


async def test_a_long_record_of_another_site_is_not_taken_over(tmp_path: Path) -> None:
    weights(tmp_path / "model", 300_000)
    path = tmp_path / "s"
    async with fresh_store(path, "2+1") as store:
        await add(store, tmp_path / "model")
    other = await another_site(path, tmp_path / "other")
    async with open_store(str(other)) as there:
        await add(there, tmp_path / "model", "acme/again")
    site = own_site(str(other / "locks"))
    hostile = next(folder.parent for folder in sorted(path.glob("backends/*/journal")))
    for file in hostile.glob("journal/*/*"):
        lay(hostile, str(file.relative_to(hostile)))
    lay(hostile, news_key(site))
    for number in range(1, 4):
        lay(hostile, journal_key(SOMEBODY, number, 0))
    with held_little():
        async with open_store(str(path), refresh=1e6) as store:
            assert {head.repo.name for head in store.index.refs()} == {"model", "again"}
