"""What a Google Drive backend makes of refusals, broken connections and late listings."""

import os
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from modelfloat.backends.base import Backend
from modelfloat.backends.gdrive import api
from modelfloat.backends.gdrive.address import parse_place
from modelfloat.backends.gdrive.grant import Grant, find_grant, grant_path, write_grant
from modelfloat.backends.gdrive.known import UPLOADS, Known
from modelfloat.backends.keys import MARKER_KEY, check_key, site_key
from modelfloat.backends.registry import open_backend
from modelfloat.errors import (
    BackendError,
    CorruptAnswerError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    UnavailableError,
    UsageError,
)
from modelfloat.ids import SiteId
from modelfloat.tests.servers.gdrive import CLIENT, FakeDrive, serve_gdrive
from modelfloat.tests.servers.gdrive.serving import DRIVE, Fault
from modelfloat.tests.servers.httpd import Answer
from modelfloat.tests.support.sources import noise

KEY = check_key("packs/ab/abcd/0-4-2")
OTHER = check_key("packs/ab/abcd/1-4-2")
SITE = site_key(SiteId(bytes(16)))
SHARD = noise(5, (6 << 20) + 12345)
PAGE = Answer(200, b"<!DOCTYPE html><html>Please log in</html>", {"Content-Type": "text/html"})
LISTING = "GET /drive/v3/files?"


@pytest.fixture
async def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeDrive]:
    """A fake Drive, everybody logged in, and waits that are no waits."""
    monkeypatch.setattr(api, "BACKOFF", api.Backoff(first=0.0001))
    async with serve_gdrive(tmp_path / "drive") as drive:
        for name, value in drive.credentials().items():
            monkeypatch.setenv(name, value)
        yield drive


Opening = Callable[..., Backend]


@pytest.fixture
async def opened(drive: FakeDrive, tmp_path: Path) -> AsyncIterator[Opening]:
    """Opens backends: those of one `machine` share what they remember."""
    backends: list[Backend] = []

    def open_(machine: str = "a", url: str = "") -> Backend:
        state = str(tmp_path / machine)
        where = url or drive.backend_url()
        backends.append(open_backend("d0", where, state=state, rate="none"))
        return backends[-1]

    yield open_
    for backend in backends:
        await backend.aclose()


async def keys_of(backend: Backend, prefix: str = "") -> dict[str, int]:
    return {str(each.key): each.size async for each in backend.list(prefix)}


def files_of(drive: FakeDrive) -> list[str]:
    """The names of all files that have a content."""
    return sorted(file.name for file in drive.state.files.values() if file.content)


@pytest.mark.parametrize(
    ("status", "reason", "error", "says"),
    [
        (403, "rateLimitExceeded", UnavailableError, "come back later"),
        (429, "rateLimitExceeded", UnavailableError, "come back later"),
        (500, "internalError", UnavailableError, "come back later"),
        (503, "backendError", UnavailableError, "come back later"),
        (403, "dailyLimitExceeded", UnavailableError, "come back later"),
        (403, "downloadQuotaExceeded", UnavailableError, "come back later"),
        (403, "storageQuotaExceeded", QuotaError, "no room"),
        (403, "teamDriveFileLimitExceeded", QuotaError, "no room"),
        (403, "insufficientFilePermissions", DeniedError, "refuses it"),
        (403, "accessNotConfigured", DeniedError, "refuses it"),
    ],
)
async def test_refusals_are_told_apart(
    drive: FakeDrive,
    opened: Opening,
    status: int,
    reason: str,
    error: type[BackendError],
    says: str,
) -> None:
    backend = opened()
    await backend.put(KEY, [b"value"])
    for call in (
        lambda: backend.put(KEY, [b"value"]),
        lambda: backend.get(KEY, 0, 5),
        lambda: backend.head(KEY),
        lambda: backend.age(KEY),
        lambda: keys_of(backend),
        backend.usage,
    ):
        drive.faults.refuse(status, reason, 99, about=lambda r: "/drive/v3/" in r.path)
        with pytest.raises(error, match=says) as caught:
            await call()
        assert "d0" in str(caught.value)
        drive.faults.waiting.clear()
    assert await backend.get(KEY) == b"value"


async def test_a_reason_is_one_word(drive: FakeDrive, opened: Opening) -> None:
    drive.faults.refuse(403, "odd\n\x1b[2Jreason", about=lambda r: "/about" in r.path)
    with pytest.raises(DeniedError, match=r"\(403 odd2Jreason\)"):
        await opened().usage()


@pytest.mark.parametrize(
    "status", [403, 503, *(pytest.param(each, marks=pytest.mark.slow) for each in (429, 500, 504))]
)
async def test_haste_is_waited_out(drive: FakeDrive, opened: Opening, status: int) -> None:
    """Every kind of call goes through when Google has asked three times to come back."""
    backend = opened()
    for call in (
        lambda: backend.put(KEY, [b"value"]),
        lambda: backend.put(OTHER, [SHARD]),
        lambda: backend.get(KEY, 0, 5),
        lambda: backend.head(KEY),
        lambda: keys_of(backend),
        lambda: backend.delete(KEY),
    ):
        drive.faults.refuse(status, "rateLimitExceeded", 3, about=lambda r: "/drive/v3/" in r.path)
        await call()
        assert drive.faults.waiting == []


async def test_a_long_wait_is_the_callers(drive: FakeDrive, opened: Opening) -> None:
    backend = opened()
    drive.faults.refuse(429, "x", retry_after="300", about=lambda r: "about" in r.path)
    with pytest.raises(UnavailableError, match="come back in 300 s"):
        await backend.usage()


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        Answer(201, PAGE.body),
        Answer(302, b"", {"Location": "https://portal.example/login"}),
        Answer(206, b"x" * 5, {"Content-Range": "bytes 7-11/100"}),
        Answer(200, b"[]"),
        Answer(200, b"[" * 100_000),
        Answer(200, b"{}"),
        Answer(204),
    ],
    ids=["page", "created", "redirect", "range", "list", "deep", "nothing", "empty"],
)
async def test_what_another_answers_is_no_answer(
    drive: FakeDrive, opened: Opening, page: Answer
) -> None:
    backend = opened()
    await backend.put(KEY, [b"value"])
    for call in (
        lambda: backend.put(KEY, [b"value"]),
        lambda: backend.put(OTHER, [SHARD]),
        lambda: backend.get(KEY, 0, 5),
        lambda: backend.head(KEY),
        lambda: backend.age(KEY),
        lambda: keys_of(backend, "packs/"),
        backend.usage,
    ):
        drive.faults.answer(page, 99)
        with pytest.raises(BackendError, match="d0"):
            await call()
        drive.faults.waiting.clear()
    drive.faults.answer(PAGE, 99)
    with pytest.raises(UnavailableError, match="as Google Drive does not answer"):
        await backend.head(KEY)
    drive.faults.waiting.clear()
    assert await backend.get(KEY) == b"value"


async def test_tokens_that_expire_are_asked_for_anew(drive: FakeDrive, opened: Opening) -> None:
    backend = opened()
    await backend.put(KEY, [SHARD])
    assert drive.count("POST /token") == 1
    drive.oauth.expire()
    assert await backend.get(KEY, 5, 10) == SHARD[5:15]
    drive.oauth.expire()
    await backend.put(OTHER, [SHARD])
    assert await backend.get(OTHER) == SHARD
    assert drive.count("POST /token") == 3


async def test_a_login_that_was_revoked(
    drive: FakeDrive, opened: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened()
    await backend.put(KEY, [b"value"])
    drive.oauth.revoke()
    with pytest.raises(DeniedError, match=r"invalid_grant.*backend login"):
        await backend.get(KEY)
    for name, value in drive.credentials().items():  # somebody logs in while it is open
        monkeypatch.setenv(name, value)
    assert await backend.get(KEY) == b"value"
    for name in drive.credentials():
        monkeypatch.delenv(name)
    with pytest.raises(DeniedError, match="nobody is logged in"):
        await opened("b").get(KEY)


async def test_a_new_login_takes_the_place_of_the_old_one(
    drive: FakeDrive, opened: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount that goes on does not write the old login back, and uses the new one."""
    for name in drive.credentials():
        monkeypatch.delenv(name)
    state, place = str(tmp_path / "a"), parse_place("d0", drive.backend_url())
    old, new = (Grant(CLIENT.id, CLIENT.secret, drive.oauth.grant(DRIVE)) for _ in range(2))
    write_grant(state, place, old)
    backend, other = opened(), opened()
    await backend.usage()
    write_grant(state, place, new)
    drive.oauth.expire()
    await backend.usage()
    found = find_grant("d0", place, state, {})
    assert found is not None
    assert found.refresh == new.refresh
    asked = drive.count("POST /token")
    await other.usage()  # with the token that is there
    assert drive.count("POST /token") == asked


async def test_a_login_that_was_taken_away_does_not_come_back(
    drive: FakeDrive, opened: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in drive.credentials():
        monkeypatch.delenv(name)
    state, place = str(tmp_path / "a"), parse_place("d0", drive.backend_url())
    write_grant(state, place, Grant(CLIENT.id, CLIENT.secret, drive.oauth.grant(DRIVE)))
    backend = opened()
    await backend.usage()
    await trio.Path(grant_path(state, place)).unlink()
    drive.oauth.expire()
    await backend.usage()
    assert find_grant("d0", place, state, {}) is None


async def test_a_token_server_in_trouble(drive: FakeDrive, opened: Opening) -> None:
    drive.faults.answer(Answer(503, b"busy"))
    backend = opened()
    with pytest.raises(UnavailableError, match="token server answers with status 503"):
        await backend.usage()
    assert (await backend.usage()).total == 15 << 30


async def test_a_login_that_cannot_be_read(
    drive: FakeDrive, opened: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in drive.credentials():
        monkeypatch.delenv(name)
    backend = opened()
    path = trio.Path(grant_path(str(tmp_path / "a"), parse_place("d0", drive.backend_url())))
    await path.parent.mkdir(exist_ok=True)
    for text in ("{", "[]", '{"version": 1}', '{"version": 2}', '{"secret": "GOCSPX"}'):
        await path.write_text(text)
        with pytest.raises(DeniedError, match="cannot be read") as caught:
            await backend.head(KEY)
        assert "GOCSPX" not in str(caught.value)


async def test_an_upload_that_breaks_off_goes_on(drive: FakeDrive, opened: Opening) -> None:
    drive.faults.cut_uploads = [1 << 20, 100, 3 << 20]
    backend = opened()
    await backend.put(KEY, [SHARD[: 1 << 20], SHARD[1 << 20 :]])
    assert await backend.get(KEY) == SHARD
    assert drive.count("POST /upload/") == 1  # one session did it
    assert drive.count("PUT /upload/") == 7  # four parts, and three questions how far it came


async def test_an_upload_goes_on_in_a_later_process(drive: FakeDrive, opened: Opening) -> None:
    drive.faults.cut_uploads = [2 << 20]
    drive.faults.hang_up(99, lambda r: "*/" in r.headers.get("content-range", ""))
    with pytest.raises(UnavailableError):
        await opened().put(KEY, [SHARD])
    drive.faults.waiting.clear()
    drive.asked.clear()
    await opened().put(KEY, [SHARD])
    (session,) = drive.sessions.values()
    assert session.done is not None
    assert drive.count("POST /upload/") == 0
    assert await opened().get(KEY) == SHARD
    assert files_of(drive) == ["ab/abcd/0-4-2"]


async def test_a_session_that_takes_nothing_is_given_up(drive: FakeDrive, opened: Opening) -> None:
    stuck = Fault(lambda r: r.method == "PUT" and "upload_id" in r.query, Answer(308), 999)
    drive.faults.waiting.append(stuck)
    with pytest.raises(UnavailableError, match="takes nothing of what is sent"):
        await opened().put(KEY, [SHARD])
    assert drive.count("PUT /upload/") <= 2 * api.BACKOFF.tries
    drive.faults.waiting.clear()
    await opened().put(KEY, [SHARD])
    assert await opened().get(KEY) == SHARD


async def test_other_bytes_do_not_go_on_with_an_upload(drive: FakeDrive, opened: Opening) -> None:
    drive.faults.cut_uploads = [2 << 20]
    drive.faults.hang_up(99, lambda r: "*/" in r.headers.get("content-range", ""))
    with pytest.raises(UnavailableError):
        await opened().put(KEY, [SHARD])
    drive.faults.waiting.clear()
    other = bytes(len(SHARD))
    await opened().put(KEY, [other])
    assert await opened().get(KEY) == other


async def test_an_upload_that_is_forgotten_begins_anew(drive: FakeDrive, opened: Opening) -> None:
    drive.faults.cut_uploads = [2 << 20]
    drive.faults.hang_up(99, lambda r: "*/" in r.headers.get("content-range", ""))
    with pytest.raises(UnavailableError):
        await opened().put(KEY, [SHARD])
    drive.faults.waiting.clear()
    drive.sessions.clear()
    await opened().put(KEY, [SHARD])
    assert await opened().get(KEY) == SHARD


@pytest.mark.parametrize("value", [b"small", SHARD], ids=["at once", "in a session"])
async def test_answers_that_are_lost_make_no_second_file(
    drive: FakeDrive, opened: Opening, value: bytes
) -> None:
    """However many answers to a put are lost: it, or the next one, finds what it has made."""
    for lost in range(1, 6):
        key = check_key(f"packs/{lost}")
        backend = opened(f"machine{lost}")
        await backend.put(check_key("packs/first"), [b"x"])  # folders, ids and tokens are there
        drive.state.lag = 50
        drive.faults.lost_answers = lost
        try:
            await backend.put(key, [value])
        except UnavailableError:
            drive.faults.lost_answers = 0
            await backend.put(key, [value])
        assert drive.faults.lost_answers == 0
        assert await backend.get(key) == value
        assert files_of(drive).count(str(lost)) == 1


async def test_what_came_as_other_bytes_is_not_kept(drive: FakeDrive, opened: Opening) -> None:
    backend = opened()
    for value in (b"value", SHARD):
        drive.faults.garbled_uploads = 1
        with pytest.raises(CorruptAnswerError, match="other bytes"):
            await backend.put(KEY, [value])
        with pytest.raises(KeyNotFoundError):
            await backend.head(KEY)
        await backend.put(KEY, [value])
        assert await backend.get(KEY) == value
        await backend.delete(KEY)


async def test_a_read_that_breaks_off_is_an_error(drive: FakeDrive, opened: Opening) -> None:
    backend = opened()
    await backend.put(KEY, [SHARD])
    drive.faults.cut_downloads = [1000]
    with pytest.raises(UnavailableError):
        await backend.get(KEY, 0, 1 << 20)
    assert await backend.get(KEY, 0, 1 << 20) == SHARD[: 1 << 20]


async def test_what_google_takes_for_malware_is_read(drive: FakeDrive, opened: Opening) -> None:
    backend = opened()
    await backend.put(KEY, [SHARD])
    drive.state.abusive |= set(drive.state.files)
    assert await backend.get(KEY, 10, 20) == SHARD[10:30]


async def test_a_day_has_so_many_bytes(drive: FakeDrive, opened: Opening) -> None:
    """Then the backend is full, for other processes too, and is read as before."""
    backend = opened()
    await backend.put(KEY, [SHARD])
    drive.state.account.daily = drive.state.account.uploaded + 1000
    for _ in range(2):
        with pytest.raises(QuotaError, match=r"750 GB a day.*in 10 min"):
            await backend.put(OTHER, [SHARD])
    asked = len(drive.asked)
    with pytest.raises(QuotaError):
        await opened().put(OTHER, [SHARD])
    assert len(drive.asked) == asked
    assert (await opened().usage()).free == 0
    assert await opened().get(KEY) == SHARD


async def test_a_clock_that_was_set_back_stops_no_uploads_for_years(tmp_path: Path) -> None:
    times = iter([2e9, 2e9 + 1, 1e9])
    known = Known(str(tmp_path / "known"), clock=lambda: next(times))
    await known.stop(UPLOADS, 600.0)
    assert await known.stopped(UPLOADS) == 599.0
    assert await known.stopped(UPLOADS) == 0.0
    await known.aclose()


async def test_a_full_account(drive: FakeDrive, opened: Opening) -> None:
    drive.state.account.limit = 1 << 20
    backend = opened()
    await backend.put(KEY, [b"value"])
    with pytest.raises(QuotaError, match="storageQuotaExceeded"):
        await backend.put(OTHER, [SHARD])
    usage = await backend.usage()
    assert (usage.free, usage.total) == ((1 << 20) - 5, 1 << 20)
    drive.state.account.limit = None
    assert (await backend.usage()).free is None


async def test_two_machines_make_one_key(drive: FakeDrive, opened: Opening) -> None:
    """Neither sees the other's file; what was written last counts for both, and doubles go."""
    first, second = opened("a"), opened("b")
    drive.state.lag = 1_000
    await first.put(SITE, [b"first"])
    await second.put(SITE, [b"the second"])
    drive.state.settle()
    assert files_of(drive).count("0" * 32) == 2
    assert await first.get(SITE) == await second.get(SITE) == b"the second"
    assert await keys_of(first) == await keys_of(second) == {SITE: 10}
    await first.put(SITE, [b"third"])
    drive.state.settle()
    assert files_of(drive).count("0" * 32) == 1
    assert await second.get(SITE) == b"third"
    await second.delete(SITE)
    with pytest.raises(KeyNotFoundError):
        await first.get(SITE)


async def test_what_another_removed_is_gone(drive: FakeDrive, opened: Opening) -> None:
    first, second = opened("a"), opened("b")
    await first.put(KEY, [b"value"])
    assert await second.get(KEY) == b"value"
    drive.state.lag = 1_000
    await first.delete(KEY)
    for call in (lambda: second.get(KEY, 0, 5), lambda: second.head(KEY)):
        with pytest.raises(KeyNotFoundError):  # though listings show it still
            await call()
    await second.put(KEY, [b"again"])
    assert await second.get(KEY) == b"again"


async def test_reads_of_what_is_known_list_nothing(drive: FakeDrive, opened: Opening) -> None:
    backend = opened()
    await backend.put(KEY, [SHARD])
    assert await opened("elsewhere").get(KEY) == SHARD
    for machine in ("a", "elsewhere"):
        backend = opened(machine)
        drive.asked.clear()
        for offset in range(0, 6 << 20, 1 << 20):
            assert await backend.get(KEY, offset, 1000) == SHARD[offset : offset + 1000]
        assert drive.count(LISTING) == 0
        assert drive.count("GET /drive/v3/files/") == 6


async def test_a_folder_that_went_is_down(drive: FakeDrive, opened: Opening) -> None:
    """It must not look like lost keys: it is in the trash, is gone, or is another's."""
    backend = opened()
    await backend.put(MARKER_KEY, [b"marker"])
    for call in (
        lambda: opened().head(KEY),
        lambda: opened().get(KEY, 0, 1),
        lambda: keys_of(opened("b")),
        lambda: opened("c").put(KEY, [b"x"]),
    ):
        url = drive.backend_url("1" * 33)
        folder = drive.state.files[drive.models]
        drive.state.put(replace(folder, trashed=True))
        with pytest.raises(UnavailableError, match="its folder is not there"):
            await call()
        drive.state.put(folder)
        with pytest.raises(UnavailableError, match="its folder is not there"):
            await opened("d", url).head(KEY)
    assert await backend.get(MARKER_KEY) == b"marker"


async def test_a_folder_inside_that_went_is_made_anew(drive: FakeDrive, opened: Opening) -> None:
    await opened().put(KEY, [b"value"])
    (folder,) = (file for file in drive.state.files.values() if file.name == "packs")
    drive.state.remove(folder.id)
    drive.state.settle()
    with pytest.raises(UnavailableError, match="looked for anew"):
        await opened().head(OTHER)
    with pytest.raises(KeyNotFoundError):
        await opened().head(KEY)
    backend = opened()
    await backend.put(KEY, [SHARD])
    (folder,) = (file for file in drive.state.files.values() if file.name == "packs")
    drive.state.remove(folder.id)
    with pytest.raises(UnavailableError, match="looked for anew"):
        await backend.put(OTHER, [b"value"])
    await backend.put(OTHER, [b"value"])
    assert await backend.get(OTHER) == b"value"


async def test_folders_that_always_go_are_given_up(drive: FakeDrive, opened: Opening) -> None:
    backend = opened()
    await backend.put(OTHER, [b"value"])
    drive.faults.refuse(404, "notFound", 9, about=lambda r: r.path.startswith("/upload/"))
    with pytest.raises(UnavailableError, match="goes away while it is written"):
        await backend.put(KEY, [b"value"])


async def test_what_lies_in_the_trash_is_missing(drive: FakeDrive, opened: Opening) -> None:
    """A put brings it back; where its folder lies there too, it goes to a new one."""
    backend = opened()
    await backend.put(KEY, [b"value"])
    (file,) = (file for file in drive.state.files.values() if file.content)
    drive.state.put(replace(file, trashed=True))
    with pytest.raises(KeyNotFoundError):
        await backend.head(KEY)
    await opened().put(KEY, [b"again"])
    assert await opened("b").get(KEY) == b"again"
    (folder,) = (file for file in drive.state.files.values() if file.name == "packs")
    drive.state.put(replace(folder, trashed=True))
    assert await keys_of(opened("c")) == {}
    await opened().put(KEY, [SHARD])
    await opened().put(OTHER, [b"other"])
    assert await keys_of(opened("c")) == {KEY: len(SHARD), OTHER: 5}
    assert await opened("c").get(KEY) == SHARD


async def test_half_a_listing_is_none(drive: FakeDrive, opened: Opening) -> None:
    backend = opened()
    await backend.put(KEY, [b"value"])
    drive.faults.partial_listings = 1
    with pytest.raises(UnavailableError, match="a part of its folder"):
        await keys_of(backend)
    assert await keys_of(backend) == {KEY: 5}


async def test_listings_have_pages(
    drive: FakeDrive, opened: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelfloat.backends.gdrive.homes.PAGE", 3)
    backend = opened()
    wanted = {f"packs/{n}": n for n in range(10)} | {"journal/x": 3}
    for key, size in wanted.items():
        await backend.put(check_key(key), [bytes(size)])
    assert await keys_of(opened("b")) == wanted
    drive.asked.clear()
    assert await keys_of(opened("b"), "journal/") == {"journal/x": 3}
    assert drive.count(LISTING) == 2  # its folders, and what is in them: not all packs


@pytest.mark.parametrize("may_delete", [True, False])
async def test_shared_drives(drive: FakeDrive, opened: Opening, may_delete: bool) -> None:
    """Whose members may not delete has things go to the trash."""
    drive.state.may_delete = may_delete
    shared = drive.state.new_drive("models of us all")
    backend = opened("a", drive.backend_url(shared, shared))
    await backend.put(KEY, [SHARD])
    await backend.put(MARKER_KEY, [b"marker"])
    assert await backend.get(KEY) == SHARD
    assert await keys_of(opened("b", drive.backend_url(shared, shared))) == {
        KEY: len(SHARD),
        MARKER_KEY: 6,
    }
    assert (await backend.usage()).free is None
    assert backend.properties.domain == f"gdrive:{shared}"
    await backend.delete(KEY)
    with pytest.raises(KeyNotFoundError):
        await backend.head(KEY)
    assert await keys_of(backend) == {MARKER_KEY: 6}
    await backend.put(KEY, [b"again"])
    assert await backend.get(KEY) == b"again"


async def test_what_is_remembered_may_be_lost(
    drive: FakeDrive, opened: Opening, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = opened()
    await backend.put(KEY, [b"value"])
    (path,) = (tmp_path / "a").glob("*.known")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await backend.aclose()
    path.write_bytes(b"this is no database" * 1000)
    backend = opened()
    assert await backend.get(KEY) == b"value"
    await backend.put(OTHER, [b"other"])
    assert await backend.get(OTHER) == b"other"
    assert "cannot be used" in caplog.text


async def test_no_secret_is_told(
    drive: FakeDrive, opened: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    backend = opened()
    said = [repr(backend.properties)]
    for status in (400, 401, 403, 404, 429, 500):
        drive.faults.refuse(status, "some reason", 9)
        with pytest.raises(BackendError) as caught:
            await backend.put(KEY, [SHARD])
        said.append(f"{caught.value} {caught.value!r}")
        drive.faults.waiting.clear()
    await backend.put(KEY, [SHARD])
    secrets = [CLIENT.secret, *drive.oauth.refresh, *drive.oauth.access, *drive.sessions]
    secrets.append(os.environ["MODELFLOAT_GDRIVE_REFRESH_TOKEN"])
    text = caplog.text + "".join(said)
    assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize(
    "url",
    [
        "gdrive://",
        "gdrive:///folder",
        "gdrive://folder/below",
        "gdrive://me@folder",
        "gdrive://me:secret@folder",
        "gdrive://a b",
        "gdrive://folder?token=secret",
        "gdrive://folder?drive=",
        "gdrive://folder?drive=a/b",
        "gdrive://folder?drive=a&drive=b",
        "gdrive://folder?endpoint=http://example.org",
        "gdrive://folder?endpoint=https://example.org",
        "gdrive://folder?endpoint=ftp://127.0.0.1",
        "gdrive://folder?endpoint=http://127.0.0.1:port",
        "gdrive://folder?endpoint=http://127.0.0.1:1/path",
        "gdrive://folder?endpoint=https://me:secret@example.org",
        "gdrive://folder#x",
        "gdrive://[folder",
    ],
)
def test_urls_that_cannot_be(url: str) -> None:
    with pytest.raises(UsageError, match="backend d0: its URL") as caught:
        open_backend("d0", url)
    assert "secret" not in str(caught.value)
