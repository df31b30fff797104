"""What a WebDAV backend makes of answers that no good server gives, and whom it tells what."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from modelfloat.backends.keys import MARKER_KEY, check_key
from modelfloat.backends.registry import open_backend
from modelfloat.errors import (
    BackendError,
    CorruptAnswerError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
    UsageError,
)
from modelfloat.tests.support.meddler import Meddler, Request, answer, meddling
from modelfloat.tests.support.servers import CREDENTIALS, PASSWORD, USER, RcloneWebdav

KEY = check_key("packs/ab/abcd/0-4-2")
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
FILE = (
    "<response><href>{}</href><propstat><prop><resourcetype/><getcontentlength>{}"
    "</getcontentlength><getlastmodified>Sun, 01 Nov 2026 11:00:00 GMT</getlastmodified></prop>"
    "<status>HTTP/1.1 200 OK</status></propstat></response>"
)
FOLDER = (
    "<response><href>{}/</href><propstat><prop><resourcetype><collection/></resourcetype>{}</prop>"
    "<status>HTTP/1.1 200 OK</status></propstat></response>"
)
QUOTA = "<quota-available-bytes>700</quota-available-bytes><quota-used-bytes>300</quota-used-bytes>"


def found(*responses: str) -> bytes:
    """A multistatus."""
    body = f'<?xml version="1.0"?><multistatus xmlns="DAV:">{"".join(responses)}</multistatus>'
    return answer("207 Multi-Status", body.encode(), content_type="application/xml")


@pytest.fixture
async def meddler() -> AsyncIterator[Meddler]:
    async with meddling() as meddler:
        yield meddler


def url(meddler: Meddler) -> str:
    return f"webdav://{meddler.host}/shelf"


def calls(meddler: Meddler) -> "list[tuple[str, object]]":
    """Every operation of a backend, as a name and a call."""
    backend = open_backend("d0", url(meddler))

    async def listing() -> None:
        async for _ in backend.list():
            pass

    return [
        ("put", lambda: backend.put(KEY, [b"value"])),
        ("put if absent", lambda: backend.put(KEY, [b"value"], if_absent=True)),
        ("get", lambda: backend.get(KEY)),
        ("range", lambda: backend.get(KEY, 0, 10)),
        ("head", lambda: backend.head(KEY)),
        ("age", lambda: backend.age(KEY)),
        ("delete", lambda: backend.delete(KEY)),
        ("list", listing),
        ("usage", backend.usage),
    ]


@pytest.mark.parametrize(
    "page",
    [
        answer("200 OK", PAGE, content_type="text/html"),
        answer("201 Created", PAGE, content_type="text/html"),
        answer("302 Found", location="https://portal.example/login"),
        answer("207 Multi-Status", PAGE),
        answer("207 Multi-Status", b"<?xml version='1.0'?><!DOCTYPE a><a/>"),
        answer("207 Multi-Status", b"<multistatus xmlns='DAV:'>"),
        answer("500 Internal Server Error", PAGE),
        answer("503 Service Unavailable", PAGE, retry_after="10"),
        answer("206 Partial Content", PAGE, content_range=f"bytes 7-{6 + len(PAGE)}/100"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
    ids=lambda page: page[9:30].decode().strip() or "nothing",
)
async def test_what_another_answers_is_no_answer(meddler: Meddler, page: bytes) -> None:
    """A portal, a proxy's page, half an answer: every call fails, as one that may be repeated."""
    meddler.before = lambda _: page
    for name, call in calls(meddler):
        with pytest.raises(UnavailableError, match="d0") as caught:
            await call()  # type: ignore[operator]
        assert "\n" not in str(caught.value), name


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("401 Unauthorized", DeniedError),
        ("403 Forbidden", DeniedError),
        ("507 Insufficient Storage", QuotaError),
        ("429 Too Many Requests", UnavailableError),
        ("502 Bad Gateway", UnavailableError),
    ],
)
async def test_statuses_are_told_apart(
    meddler: Meddler, status: str, error: type[BackendError]
) -> None:
    meddler.before = lambda _: answer(status, PAGE)
    for _, call in calls(meddler):
        with pytest.raises(error, match="d0"):
            await call()  # type: ignore[operator]


async def test_no_bytes_of_a_page_reach_the_caller(meddler: Meddler) -> None:
    """A whole page of just the length that was asked for is no range."""
    meddler.before = lambda request: (
        found(FILE.format("/shelf/x", len(PAGE)))
        if request.method == "PROPFIND"
        else answer("200 OK", PAGE)
    )
    backend = open_backend("d0", url(meddler))
    buffer = bytearray(len(PAGE))
    with pytest.raises(UnavailableError, match="whole page"):
        await backend.get_into(KEY, 0, memoryview(buffer))
    assert not any(buffer)


@pytest.mark.parametrize("length", [9, 11])
async def test_a_range_of_another_length_is_refused(meddler: Meddler, length: int) -> None:
    head = (
        "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Range: bytes 0-9/100\r\n\r\n"
    )
    meddler.before = lambda _: head.encode() + b"x" * length
    with pytest.raises(UnavailableError, match="than it says"):
        await open_backend("d0", url(meddler)).get(KEY, 0, 10)


async def test_a_shorter_value_is_said_to_be_short(meddler: Meddler) -> None:
    backend = open_backend("d0", url(meddler))
    for page in (
        answer("206 Partial Content", b"01234", content_range="bytes 0-4/5"),
        answer("416 Range Not Satisfiable", content_range="bytes */5"),
    ):
        meddler.before = lambda _, page=page: page  # type: ignore[misc]
        with pytest.raises(CorruptAnswerError, match="ends at byte 5, 10 were expected"):
            await backend.get(KEY, 0, 10)


async def test_a_read_follows_redirects_and_tells_others_no_credentials(
    meddler: Meddler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    async with meddling() as other:
        other.before = lambda _: answer(
            "206 Partial Content", b"0123456789", content_range="bytes 0-9/10"
        )
        meddler.before = lambda request: answer(
            "307 Temporary Redirect",
            location="/again" if request.target != "/again" else f"http://{other.host}/there",
        )
        assert await open_backend("d0", url(meddler)).get(KEY, 0, 10) == b"0123456789"
    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert [r.headers.get("authorization") for r in meddler.requests] == [wanted, wanted]
    assert [r.headers.get("authorization") for r in other.requests] == [None]
    assert other.requests[0].headers["range"] == "bytes=0-9"


async def test_redirects_end(meddler: Meddler) -> None:
    meddler.before = lambda request: answer("302 Found", location=request.target + "x")
    with pytest.raises(UnavailableError, match="sends us on"):
        await open_backend("d0", url(meddler)).get(KEY, 0, 10)


async def test_a_root_that_went_is_not_an_empty_one(rclone_webdav: RcloneWebdav) -> None:
    """Where the marker was once, a root without one is another place."""
    folder = rclone_webdav.new_folder()
    backend = open_backend("d0", rclone_webdav.webdav_url(folder))
    await backend.put(MARKER_KEY, [b"{}"])
    await backend.put(KEY, [b"value"])
    with pytest.raises(KeyNotFoundError):
        await backend.get(check_key("k/1"))
    await backend.delete(MARKER_KEY)
    for call in (lambda: backend.get(check_key("k/1")), lambda: backend.head(check_key("k/1"))):
        with pytest.raises(UnavailableError, match="is not the one it was"):
            await call()
    await backend.aclose()


async def test_only_create_makes_the_root(rclone_webdav: RcloneWebdav) -> None:
    where = rclone_webdav.webdav_url(rclone_webdav.new_folder()) + "/a/b"
    missing = open_backend("d0", where)
    for call in (lambda: missing.put(KEY, [b"x"]), lambda: missing.get(KEY), missing.usage):
        with pytest.raises(UnavailableError, match=r"the folder /.*/a/b on 127.0.0.1 is not there"):
            await call()
    fresh = open_backend("d0", where, create=True)
    await fresh.put(KEY, [b"x"])
    assert await missing.get(KEY) == b"x"
    await missing.aclose()
    await fresh.aclose()


async def test_refused_credentials_are_named_but_not_shown(
    rclone_webdav: RcloneWebdav, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = rclone_webdav.webdav_url(rclone_webdav.new_folder())
    monkeypatch.setenv("MODELFLOAT_D0_PASSWORD", "wrong-secret")
    monkeypatch.setenv("MODELFLOAT_D0_USER", USER)
    denied = open_backend("d0", where)
    with pytest.raises(DeniedError, match="refuses our credentials") as caught:
        await denied.get(KEY)
    assert "secret" not in str(caught.value)
    await denied.aclose()
    await (allowed := open_backend("d1", where)).put(KEY, [b"x"])
    await allowed.aclose()


async def test_netrc_is_read(
    rclone_webdav: RcloneWebdav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    where = rclone_webdav.webdav_url(rclone_webdav.new_folder())
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    backend = open_backend("d0", where)
    await backend.put(KEY, [b"x"])
    await backend.aclose()


async def test_quotas_become_usage(meddler: Meddler) -> None:
    meddler.before = lambda _: found(FOLDER.format("/shelf", QUOTA))
    usage = await open_backend("d0", url(meddler)).usage()
    assert (usage.free, usage.total, usage.space) == (700, 1000, "webdav:127.0.0.1")


async def test_ages_are_told_by_the_clock_that_dates_files(meddler: Meddler) -> None:
    """The server says 12:00; a file that is written now gets 10:30, so one of 10:00 is half an
    hour old."""

    def serve(request: Request) -> bytes:
        if request.method != "PROPFIND":
            return answer("201 Created")
        if request.target == "/shelf":
            return found(FOLDER.format("/shelf", ""))
        time = "10:30:00" if "/tmp/" in request.target else "10:00:00"
        return found(FILE.format(request.target, 5).replace("11:00:00", time))

    meddler.before = serve
    assert await open_backend("d0", url(meddler)).age(KEY) == 1800.0


async def test_old_uploads_are_removed_at_the_first_write(meddler: Meddler) -> None:
    def serve(request: Request) -> bytes:
        if request.method != "PROPFIND":
            return answer("204 No Content" if request.method == "DELETE" else "201 Created")
        if request.target == "/shelf/tmp":
            old, new = FILE.format("/shelf/tmp/old", 1), FILE.format("/shelf/tmp/new", 1)
            new = new.replace("11:00:00", "11:30:00")
            return found(FOLDER.format("/shelf/tmp", ""), old.replace("11:", "10:"), new)
        return found(FOLDER.format(request.target, ""))

    meddler.before = serve
    backend = open_backend("d0", url(meddler))
    await backend.put(KEY, [b"x"])
    await backend.put(KEY, [b"x"])
    deleted = [r.target for r in meddler.requests if r.method == "DELETE"]
    assert deleted == ["/shelf/tmp/old"]


async def test_a_folder_in_the_way_is_left_alone(rclone_webdav: RcloneWebdav) -> None:
    """Overwriting a folder, or deleting it, would take all that lies in it."""
    backend = open_backend("d0", rclone_webdav.webdav_url(rclone_webdav.new_folder()))
    await backend.put(KEY, [b"x"])
    with pytest.raises(DeniedError, match="in the way of a folder"):
        await backend.put(check_key("packs/ab"), [b"y"])
    await backend.delete(check_key("packs/ab"))
    assert await backend.get(KEY) == b"x"
    await backend.aclose()


async def test_a_server_that_is_silent_is_given_up(
    meddler: Meddler, autojump_clock: trio.testing.MockClock
) -> None:
    meddler.rate, meddler.before = 0.001, lambda _: PAGE
    with pytest.raises(TimedOutError, match="does not answer"):
        await open_backend("d0", url(meddler)).head(KEY)


async def test_a_lock_of_somebody_else_is_waited_for(
    meddler: Meddler, autojump_clock: trio.testing.MockClock
) -> None:
    locked = 3

    def serve(request: Request) -> bytes:
        nonlocal locked
        if request.method == "PROPFIND":
            return found(FOLDER.format(request.target, ""))
        if request.method == "MOVE" and locked:
            locked -= 1
            return answer("423 Locked")
        return answer("201 Created")

    meddler.before = serve
    backend = open_backend("d0", url(meddler))
    await backend.put(KEY, [b"x"])
    locked = 10**6
    with pytest.raises(UnavailableError, match="status 423"):
        await backend.put(KEY, [b"x"])


def test_without_httpx2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx2", None)
    for name in ("backend", "requests", "tree"):
        monkeypatch.delitem(
            __import__("sys").modules, f"modelfloat.backends.webdav.{name}", raising=False
        )
    with pytest.raises(UnsupportedError, match=r"needs httpx2; .*modelfloat\[webdav\]"):
        open_backend("d0", "webdavs://host/x")


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("webdav://host/x", "host:host"),
        ("webdavs://HOST:8443/x/", "host:host"),
        ("WEBDAV://[::1]:80", "host:::1"),
    ],
)
def test_a_host_is_a_domain(text: str, domain: str) -> None:
    assert open_backend("d0", text).properties.domain == domain
    assert open_backend("d0", text, domain="rack").properties.domain == "rack"


@pytest.mark.parametrize(
    "text",
    [
        *("webdav://", "webdav:///x", "webdavs://host:0/x", "webdavs://host:x/y"),
        *("webdav://me@host/x", "webdavs://me:secret@host/x", "webdav://host/x?token=secret"),
        *(
            "webdav://host/x#secret",
            "webdav://host/a/../b",
            "webdav://host/a//b",
            "webdav://h/a%00",
        ),
        "webdav://[secret@host/x",
    ],
)
def test_urls_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="d0") as caught:
        open_backend("d0", text)
    assert "secret" not in str(caught.value)


async def test_a_folder_that_goes_again_and_again_is_made_again(
    rclone_webdav: RcloneWebdav,
) -> None:
    """A server may remove empty folders by itself, and call a move into none forbidden."""
    refused = 0

    def forbid(request: Request) -> bytes | None:
        nonlocal refused
        if request.method != "MOVE" or refused == 3:
            return None
        refused += 1
        return answer("403 Forbidden")

    async with meddling(rclone_webdav.webdav) as between:
        between.before = forbid
        backend = open_backend("d0", f"webdav://{between.host}/{rclone_webdav.new_folder()}")
        await backend.put(KEY, [b"value"])
        assert await backend.get(KEY) == b"value"
        await backend.aclose()
    assert refused == 3


@pytest.mark.parametrize("times", [1, 10**6], ids=["once", "always"])
async def test_an_upload_that_a_server_loses_is_sent_again(
    rclone_webdav: RcloneWebdav, times: int
) -> None:
    """SeaweedFS removes a folder that was empty a moment ago, with what was written there since."""
    lost: set[str] = set()

    def lose(request: Request) -> bytes | None:
        if request.method == "MOVE" and (request.target in lost or len(lost) < times):
            lost.add(request.target)
            return answer("403 Forbidden")
        return answer("404 Not Found") if request.target in lost else None

    async with meddling(rclone_webdav.webdav) as between:
        between.before = lose
        backend = open_backend("d0", f"webdav://{between.host}/{rclone_webdav.new_folder()}")
        if times == 1:
            await backend.put(KEY, [b"val", b"ue"], if_absent=True)
            assert await backend.get(KEY) == b"value"
            assert len(lost) == 1
        else:
            with pytest.raises(UnavailableError, match="answers MOVE with status 404"):
                await backend.put(KEY, [b"value"])
        await backend.aclose()
