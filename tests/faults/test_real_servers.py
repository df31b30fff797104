"""Real servers that are killed, slow, full, late, or answered for by somebody else.

Never wrong bytes, an error in one line, and all is well once the server is back. What lies between
client and server, where a test needs that, is a `Meddler`.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

import pytest
import trio

from modelfloat.backends.base import Backend
from modelfloat.backends.keys import check_key
from modelfloat.backends.registry import open_backend
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.creating import BackendSpec
from modelfloat.errors import BackendError, DeniedError, ModelFloatError, UnavailableError
from modelfloat.opening import open_store
from modelfloat.tests.support.meddler import Meddler, Request, answer, meddling
from modelfloat.tests.support.mounts import small_tmpfs
from modelfloat.tests.support.servers import RcloneS3, RcloneWebdav, SeaweedFS, Server
from modelfloat.tests.support.sources import noise
from modelfloat.tests.support.stores import add, fresh_store, read, weights

KEY = check_key("packs/ab/abcd/0-4-2")
VALUE = noise(1, 3 << 20)
PAGE = answer("200 OK", b"<html><body>Please log in</body></html>", content_type="text/html")
BOUND = 120.0
"""Seconds after which something hangs: a watchdog, many times what anything here takes."""
DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")


@dataclass
class Place:
    """A folder or bucket of a server, reached through a meddler."""

    server: Server
    meddler: Meddler
    url: str

    def open(self, name: str = "d0") -> Backend:
        """A backend there."""
        return open_backend(name, self.url)

    async def restart(self) -> None:
        """Have the server run again."""
        await trio.to_thread.run_sync(self.server.start)


def _webdav(server: SeaweedFS | RcloneWebdav) -> tuple[str, Callable[[str], str]]:
    folder = server.new_folder()
    return server.webdav, lambda host: f"webdav://{host}/{folder}"


def _s3(server: SeaweedFS | RcloneS3) -> tuple[str, Callable[[str], str]]:
    own = server.s3_url(server.new_bucket())
    return server.s3, lambda host: own.replace(server.s3, f"http://{host}")


PLACES: dict[str, tuple[str, Callable[..., tuple[str, Callable[[str], str]]]]] = {
    "webdav of seaweedfs": ("seaweedfs", _webdav),
    "webdav of rclone": ("rclone_webdav", _webdav),
    "s3 of seaweedfs": ("seaweedfs", _s3),
    "s3 of rclone": ("rclone_s3", _s3),
}


USUAL = ("webdav of rclone", "s3 of seaweedfs")
"""Those of every run: each protocol, and each server."""
ONCE = [*USUAL, pytest.param("webdav of seaweedfs", marks=pytest.mark.slow)]


@pytest.fixture(params=[*ONCE, pytest.param("s3 of rclone", marks=pytest.mark.slow)])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    fixture, make = PLACES[request.param]
    server = request.getfixturevalue(fixture)
    upstream, url = make(server)
    async with meddling(upstream) as meddler:
        with trio.fail_after(BOUND):
            yield Place(server, meddler, url(meddler.host))
    await trio.to_thread.run_sync(server.start)


async def outcome(call: Callable[[], object], told: list[BackendError]) -> None:
    """Make a call; it may fail as backends do."""
    try:
        await call()  # type: ignore[misc]
    except BackendError as error:
        told.append(error)


async def test_killed_in_the_middle_of_puts(place: Place) -> None:
    backend, told = place.open(), list[BackendError]()
    keys = [check_key(f"packs/ab/{number}/0-4-2") for number in range(6)]
    async with trio.open_nursery() as nursery:
        for key in keys:
            nursery.start_soon(outcome, lambda k=key: backend.put(k, [VALUE]), told)
        await place.meddler.seen("PUT", "POST")
        place.server.kill()
    assert told
    assert all(re.fullmatch("backend d0: .*", str(error)) for error in told)
    assert {type(error) for error in told} <= {UnavailableError, *UnavailableError.__subclasses__()}
    await place.restart()
    async for listed in backend.list("packs/"):
        assert await backend.get(listed.key) == VALUE
    for key in keys:
        await backend.put(key, [VALUE])
        assert await backend.get(key) == VALUE
    await backend.aclose()


async def test_killed_in_the_middle_of_reads(place: Place) -> None:
    backend, told = place.open(), list[BackendError]()
    await backend.put(KEY, [VALUE])
    buffers = [bytearray(len(VALUE)) for _ in range(6)]
    async with trio.open_nursery() as nursery:
        for each in buffers:
            view = memoryview(each)
            nursery.start_soon(outcome, lambda v=view: backend.get_into(KEY, 0, v), told)
        await place.meddler.seen("GET")
        place.server.kill()
    assert sum(buffer == VALUE for buffer in buffers) >= len(buffers) - len(told)
    await place.restart()
    assert await backend.get(KEY) == VALUE
    await backend.aclose()


async def test_answers_that_break_off(place: Place) -> None:
    """Half of an answer, with the head that promised all of it."""
    backend = place.open()
    await backend.put(KEY, [VALUE])
    place.meddler.after = lambda request, whole: (
        whole[: len(whole) // 2] if request.method == "GET" else whole
    )
    buffer = bytearray(len(VALUE))
    with pytest.raises(UnavailableError, match="d0"):
        await backend.get_into(KEY, 0, memoryview(buffer))
    place.meddler.after = lambda _, whole: whole
    assert await backend.get(KEY) == VALUE
    await backend.aclose()


async def test_a_login_page_in_its_place(place: Place) -> None:
    backend, told = place.open(), list[BackendError]()
    await backend.put(KEY, [VALUE])
    place.meddler.before = lambda _: PAGE
    calls: list[Callable[[], object]] = [
        lambda: backend.put(check_key("k/new"), [VALUE]),
        lambda: backend.get(KEY, 0, 38),
        lambda: backend.get(KEY),
        lambda: backend.head(KEY),
        lambda: backend.age(KEY),
        lambda: backend.delete(KEY),
        lambda: anext(backend.list(), None),
        lambda: anext(backend.list("packs/"), None),
    ]
    for call in calls:
        await outcome(call, told)
    assert len(told) == len(calls)
    assert all(re.fullmatch("backend d0: .*", str(error)) for error in told)
    place.meddler.before = lambda _: None
    assert [listed.key async for listed in backend.list()] == [KEY]
    assert await backend.get(KEY) == VALUE
    await backend.aclose()


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_clock_that_is_hours_off(place: Place, hours: int) -> None:
    """Ages are told by the backend's clock alone, whatever ours says."""

    def shift(_: Request, whole: bytes) -> bytes:
        head, _, body = whole.partition(b"\r\n\r\n")
        if b"xml" in head:
            body = _shifted(body, hours)
        return _shifted(head, hours) + b"\r\n\r\n" + body

    place.meddler.after = shift
    backend = place.open()
    await backend.put(KEY, [b"x"])
    assert await backend.age(KEY) < BOUND
    await backend.aclose()


def _shifted(data: bytes, hours: int) -> bytes:
    """All HTTP dates in it moved; they keep their lengths."""

    def move(match: re.Match[str]) -> str:
        moved = parsedate_to_datetime(match[0]) + timedelta(hours=hours)
        return format_datetime(moved.astimezone(UTC), usegmt=True)

    return DATE.sub(move, data.decode("latin-1")).encode("latin-1")


def beside(place: Place, folder: Path) -> tuple[BackendSpec, ...]:
    """The server, and three directories, each a domain of its own."""
    local = [BackendSpec(f"d{i}", str(folder / f"b{i}"), f"disk{i}") for i in (1, 2, 3)]
    return (BackendSpec("d0", place.url), *local)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one file to add."""
    (tmp_path / "source").mkdir()
    weights(tmp_path / "source" / "file", 6_000_000)
    return tmp_path / "source"


async def assert_clean(store: Store) -> None:
    """Every shard of every pack is where it should be, and what it should be."""
    report = await store.verify()
    assert (report.problems, report.lost, report.down) == ([], [], {})


async def test_an_add_goes_on_without_a_server_that_is_killed(
    place: Place, tmp_path: Path, source: Path
) -> None:
    """What it had taken is not relied on; a repair makes the rest when it is back."""
    data = (source / "file").read_bytes()
    async with fresh_store(tmp_path / "store", "2+2", beside(place, tmp_path)) as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(add, store, source)
            await place.meddler.seen("PUT", "POST")
            place.server.kill()
        assert await read(store, "acme/model/file") == data
    await place.restart()
    async with open_store(str(tmp_path / "store")) as store:
        assert await read(store, "acme/model/file") == data
        assert not (await store.verify(repair=True)).lost
        await assert_clean(store)


async def test_an_add_that_finds_no_server_leaves_nothing_half_known(
    place: Place, tmp_path: Path, source: Path
) -> None:
    data = (source / "file").read_bytes()
    alone = (BackendSpec("d0", place.url),)
    async with fresh_store(tmp_path / "store", "2+0", alone) as store:

        async def fails() -> None:
            with pytest.raises(ModelFloatError, match="d0"):
                await add(store, source)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)
            await place.meddler.seen("PUT", "POST")
            place.server.kill()
    await place.restart()
    async with open_store(str(tmp_path / "store")) as store:
        with pytest.raises(ModelFloatError):
            store.open_file(parse_address("acme/model/file"))
        await add(store, source)
        assert await read(store, "acme/model/file") == data
        await assert_clean(store)
        await store.gc(grace=0)
        assert await read(store, "acme/model/file") == data


async def test_reads_go_round_a_login_page_and_answers_that_break_off(
    place: Place, tmp_path: Path, source: Path
) -> None:
    data = (source / "file").read_bytes()
    async with fresh_store(tmp_path / "store", "2+2", beside(place, tmp_path)) as store:
        await add(store, source)
    place.meddler.after = lambda request, whole: (
        whole[: len(whole) // 2] if request.method == "GET" else whole
    )
    async with open_store(str(tmp_path / "store")) as store:
        assert await read(store, "acme/model/file") == data
    place.meddler.before = lambda _: PAGE
    async with open_store(str(tmp_path / "store")) as store:
        assert await read(store, "acme/model/file") == data
    place.meddler.before, place.meddler.after = lambda _: None, lambda _, whole: whole
    async with open_store(str(tmp_path / "store")) as store:
        await assert_clean(store)


async def test_reads_do_not_wait_for_a_slow_server(
    place: Place, tmp_path: Path, source: Path
) -> None:
    """At 100 bytes a second the rest of this test would take hours."""
    data = (source / "file").read_bytes()
    async with fresh_store(tmp_path / "store", "2+2", beside(place, tmp_path)) as store:
        await add(store, source)
        place.meddler.rate = 100.0
        assert await read(store, "acme/model/file") == data


@pytest.mark.parametrize("place", ONCE, indirect=True)
async def test_records_that_are_replaced_are_never_missed(place: Place) -> None:
    """Else who collects garbage elsewhere would take a session for closed while it is renewed."""
    writer, other = place.open(), place.open()
    key = check_key("sessions/0123456789abcdef0123456789abcdef")
    await writer.put(key, [b"first"])
    done, seen = trio.Event(), 0

    async def watch() -> None:
        nonlocal seen
        while not done.is_set():
            # While there is no end of writing a listing may break off; that is no answer.
            with contextlib.suppress(UnavailableError):
                assert [listed.key async for listed in other.list("sessions/")] == [key]
                assert await other.head(key) == 5
                seen += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        for number in range(40):
            await writer.put(key, [b"%05d" % number])
        done.set()
    assert seen
    await writer.aclose()
    await other.aclose()


@pytest.fixture
def small_rclone(tmp_path: Path) -> Iterator[RcloneWebdav]:
    """A server on a filesystem of 3 MiB."""
    with small_tmpfs(tmp_path / "small", "3m") as small:
        server = RcloneWebdav(small)
        server.start()
        yield server
        server.stop()


async def test_a_server_without_space_gets_no_more(
    rclone_webdav: RcloneWebdav, small_rclone: RcloneWebdav, tmp_path: Path, source: Path
) -> None:
    data = (source / "file").read_bytes()
    url = small_rclone.webdav_url(small_rclone.new_folder())
    backend = open_backend("d0", url)
    await backend.put(KEY, [b"x"])
    with pytest.raises(BackendError, match="d0"):
        await backend.put(KEY, [noise(2, 4 << 20)])
    assert await backend.get(KEY) == b"x"
    assert [listed.key async for listed in backend.list()] == [KEY]
    await backend.delete(KEY)
    await backend.aclose()
    local = [BackendSpec(f"d{i}", str(tmp_path / f"b{i}"), f"disk{i}") for i in (1, 2, 3)]
    specs = (BackendSpec("d0", url), *local)
    async with fresh_store(tmp_path / "store", "2+2", specs) as store:
        await add(store, source)
        assert await read(store, "acme/model/file") == data


async def test_credentials_that_are_revoked(
    rclone_webdav: RcloneWebdav, tmp_path: Path, source: Path
) -> None:
    """Reads go on from the others, an add too; with credentials again all is well."""
    data = (source / "file").read_bytes()
    (tmp_path / "server").mkdir()
    server = RcloneWebdav(tmp_path / "server")
    server.start()
    url = server.webdav_url(server.new_folder())
    local = [BackendSpec(f"d{i}", str(tmp_path / f"b{i}"), f"disk{i}") for i in (1, 2, 3)]
    async with fresh_store(tmp_path / "store", "2+2", (BackendSpec("d0", url), *local)) as store:
        await add(store, source)
        server.stop()
        right = server._command
        server._command = [re.sub("^--pass=.*", "--pass=another", word) for word in right]
        await trio.to_thread.run_sync(server.start)
        backend = open_backend("d0", url)
        with pytest.raises(DeniedError, match="refuses our credentials"):
            await backend.get(KEY, 0, 1)
        await backend.aclose()
        assert await read(store, "acme/model/file") == data
        (source / "file").write_bytes(data[:-1])
        await add(store, source)
        assert await read(store, "acme/model/file") == data[:-1]
        server.stop()
        server._command = right
        await trio.to_thread.run_sync(server.start)
    async with open_store(str(tmp_path / "store")) as store:
        await store.verify(repair=True)
        await assert_clean(store)
        assert await read(store, "acme/model/file") == data[:-1]
    server.stop()
