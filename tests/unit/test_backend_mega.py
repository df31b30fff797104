"""The MEGA backend against a fake that speaks the protocol: what goes wrong, and other clients."""

import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from modelfloat.backends.base import Backend
from modelfloat.backends.keys import MARKER_KEY, check_key, site_key
from modelfloat.backends.mega import api, secrets, transfers
from modelfloat.backends.mega.address import address_of
from modelfloat.backends.mega.transfers import Transfers
from modelfloat.backends.registry import open_backend
from modelfloat.errors import (
    CorruptAnswerError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    ThrottledError,
    UnavailableError,
    UsageError,
)
from modelfloat.ids import Key, SiteId
from modelfloat.tests.servers.mega.account import MEGA_PASSWORD, MEGA_USER, QUICK, ROUNDS, Account
from modelfloat.tests.servers.mega.server import FakeMega
from modelfloat.tests.support.meddler import answer, meddling
from modelfloat.tests.support.sources import noise

KEY = check_key("packs/ab/abcd/0-4-2")
OTHER = check_key("packs/ab/abcd/1-4-2")
SITE = site_key(SiteId(bytes(16)))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries are short, and few."""
    monkeypatch.setattr(api, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(transfers, "PAUSE", 0.001)


@pytest.fixture
async def backend(mega: FakeMega) -> AsyncIterator[Backend]:
    async with opened(mega) as found:
        yield found


@contextlib.asynccontextmanager
async def opened(
    mega: FakeMega, folder: str = "models", name: str = "d0", state: Path | None = None
) -> AsyncIterator[Backend]:
    kept = None if state is None else str(state)
    found = open_backend(name, mega.address(folder), create=True, state=kept)
    yield found
    await found.aclose()


def kept_session(folder: Path) -> Path:
    """The one file that has a session."""
    (kept,) = folder.glob("mega-*.json")
    return kept


# ---- sessions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("address", ["ada@example.org", "Ada@Example.ORG"])
async def test_accounts_of_both_versions(
    mega: FakeMega, monkeypatch: pytest.MonkeyPatch, version: int, address: str
) -> None:
    monkeypatch.setattr(secrets, "ROUNDS_V2", ROUNDS)
    mega.accounts[MEGA_USER] = Account(MEGA_USER, MEGA_PASSWORD, version)
    monkeypatch.setenv("MODELFLOAT_MEGA_USER", address)
    async with opened(mega) as backend:
        await backend.put(KEY, [b"in plain words"])
        assert await backend.get(KEY) == b"in plain words"
    assert b"words" not in b"".join(mega.account.contents.values())


async def test_a_session_is_kept_for_the_next_process(mega: FakeMega, tmp_path: Path) -> None:
    async with opened(mega, state=tmp_path) as backend:
        await backend.put(KEY, [b"x"])
    mega.commands.clear()
    async with opened(mega, state=tmp_path) as backend:
        assert await backend.get(KEY) == b"x"
    assert "us" not in mega.commands


async def test_what_is_kept_of_a_session_is_for_its_owner_alone(
    mega: FakeMega, tmp_path: Path
) -> None:
    async with opened(mega, state=tmp_path) as backend:
        await backend.put(KEY, [b"x"])
    kept = kept_session(tmp_path)
    assert kept.stat().st_mode & 0o777 == 0o600
    text = kept.read_text()
    assert MEGA_PASSWORD not in text
    assert MEGA_USER not in text
    assert mega.account.master not in bytes.fromhex(text.encode().hex())
    kept.chmod(0o644)
    mega.commands.clear()
    async with opened(mega, state=tmp_path) as backend:
        assert await backend.get(KEY) == b"x"
    assert "us" in mega.commands


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
async def test_a_session_that_root_began_is_the_stores_owners(
    mega: FakeMega, tmp_path: Path
) -> None:
    os.chown(tmp_path, 12345, 12346)
    for _ in range(2):
        async with opened(mega, state=tmp_path / "accounts") as backend:
            await backend.put(KEY, [b"x"])
    assert mega.commands.count("us") == 1
    for path in (tmp_path / "accounts", kept_session(tmp_path / "accounts")):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"modelfloat": 1}', '{"modelfloat": 2}', "\0"])
async def test_a_session_that_cannot_be_read_is_begun_anew(
    mega: FakeMega, tmp_path: Path, text: str
) -> None:
    async with opened(mega, state=tmp_path) as backend:
        await backend.put(KEY, [b"x"])
    kept = kept_session(tmp_path)
    kept.write_text(text)
    async with opened(mega, state=tmp_path) as backend:
        assert await backend.get(KEY) == b"x"
    assert json.loads(kept.read_text())["modelfloat"] == 1


async def test_a_password_that_changed_opens_no_old_session(
    mega: FakeMega, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with opened(mega, state=tmp_path) as backend:
        await backend.put(KEY, [b"x"])
    monkeypatch.setenv("MODELFLOAT_MEGA_PASSWORD", "another")
    async with opened(mega, state=tmp_path) as backend:
        with pytest.raises(DeniedError, match="no such account, or another password"):
            await backend.get(KEY)


@pytest.mark.parametrize("state", [None, Path("/proc/nowhere")])
async def test_without_a_folder_for_sessions_each_process_logs_in(
    mega: FakeMega, state: Path | None
) -> None:
    for _ in range(2):
        async with opened(mega, state=state) as backend:
            await backend.put(KEY, [b"x"])
    assert mega.commands.count("us") == 2


async def test_a_session_that_mega_ended_is_begun_anew(mega: FakeMega, backend: Backend) -> None:
    await backend.put(KEY, [b"x"])
    for call in (
        lambda: backend.get(MARKER_KEY),
        lambda: backend.put(OTHER, [b"y"]),
        lambda: backend.head(KEY),
        backend.usage,
    ):
        mega.end_sessions()
        with contextlib.suppress(KeyNotFoundError):
            await call()
    assert await backend.get(OTHER) == b"y"
    assert mega.commands.count("us") == 5


async def test_who_may_not_enter_is_told_why(
    mega: FakeMega, monkeypatch: pytest.MonkeyPatch
) -> None:
    mega.account.second_factor = True
    async with opened(mega) as backend:
        with pytest.raises(DeniedError, match="asks for a second factor"):
            await backend.get(KEY)
    mega.account.blocked = True
    async with opened(mega) as backend:
        with pytest.raises(
            DeniedError, match=r"MEGA refuses it: a blocked account or file \(-16\)"
        ):
            await backend.get(KEY)
    monkeypatch.setenv("MODELFLOAT_MEGA_PASSWORD", "wrong-secret")
    async with opened(mega) as backend:
        with pytest.raises(DeniedError, match="no such account, or another password") as caught:
            await backend.get(KEY)
    assert "secret" not in str(caught.value)
    monkeypatch.delenv("MODELFLOAT_MEGA_USER")
    async with opened(mega) as backend:
        with pytest.raises(DeniedError, match="no account in MEGA is named"):
            await backend.get(KEY)


async def test_a_backend_may_have_an_account_of_its_own(
    mega: FakeMega, monkeypatch: pytest.MonkeyPatch
) -> None:
    mega.accounts["bob@example.org"] = Account("bob@example.org", "another", rounds=QUICK)
    monkeypatch.setenv("MODELFLOAT_D1_USER", "bob@example.org")
    monkeypatch.setenv("MODELFLOAT_D1_PASSWORD", "another")
    async with opened(mega) as ada, opened(mega, name="d1") as bob:
        await ada.put(KEY, [b"x"])
        await bob.put(OTHER, [b"y"])
        with pytest.raises(KeyNotFoundError):
            await bob.get(KEY)
        assert ada.properties.domain != bob.properties.domain
        assert "bob" not in bob.properties.domain


async def test_work_is_done_before_a_login(mega: FakeMega, backend: Backend) -> None:
    mega.faults.work = 240
    await backend.put(KEY, [b"x"])
    assert mega.solved == 2


@pytest.mark.parametrize("command", ["us0", "us", "f"])
async def test_a_beginning_goes_on_when_nobody_waits(
    mega: FakeMega, backend: Backend, command: str
) -> None:
    """A look at a marker has seconds; what takes longer is not begun anew by the next one."""
    mega.held[command] = trio.Event()
    for _ in range(3):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(backend.head, KEY)
                await mega.holding.wait()
                scope.cancel()
    mega.held[command].set()
    with pytest.raises(KeyNotFoundError):
        await backend.head(KEY)
    assert [mega.commands.count(each) for each in ("us0", "us", "f")] == [1, 1, 1]


async def test_closing_ends_a_beginning(mega: FakeMega) -> None:
    async with opened(mega) as backend:
        mega.held["us0"] = trio.Event()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(backend.head, KEY)
                await mega.holding.wait()
                scope.cancel()
    assert not mega.commands


@pytest.mark.parametrize("easiness", [0, 63])
async def test_too_much_work_is_refused(mega: FakeMega, backend: Backend, easiness: int) -> None:
    mega.faults.work = easiness
    with pytest.raises(UnavailableError, match="asks for work that cannot be done"):
        await backend.get(KEY)


async def test_no_secret_is_told(
    mega: FakeMega, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await backend.put(KEY, [b"x"])
    mega.faults.refuse["g"] = -1
    with pytest.raises(UnavailableError) as caught:
        await backend.get(KEY)
    (sid,) = mega.sessions
    for secret in (sid, MEGA_PASSWORD, MEGA_USER):
        assert secret not in caplog.text
        assert secret not in str(caught.value)
        assert secret not in repr(backend.properties)


# ---- what goes wrong -----------------------------------------------------------------------------


async def test_a_busy_api_is_asked_again(mega: FakeMega, backend: Backend) -> None:
    for fault in ("busy", "unavailable"):
        setattr(mega.faults, fault, 3)
        await backend.put(KEY, [b"x"])
        setattr(mega.faults, fault, 3)
        assert await backend.get(KEY) == b"x"


async def test_an_api_that_stays_busy_is_given_up(
    mega: FakeMega, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "BUSY", 0.01)
    mega.faults.busy = 10**6
    with pytest.raises(UnavailableError, match=r"MEGA answers busy \(-3\)"):
        await backend.get(KEY)


def calls_of(backend: Backend) -> dict[str, Callable[[], Awaitable[object]]]:
    """What makes the backend send a command."""
    return {
        "u": lambda: backend.put(KEY, [b"y"]),
        "p": lambda: backend.put(KEY, [b"y"]),
        "d": lambda: backend.delete(KEY),
        "uq": backend.usage,
        "f": lambda: backend.get(KEY),
        "g": lambda: backend.get(KEY),
    }


@pytest.mark.parametrize(
    ("command", "code", "error"),
    [
        ("g", -1, UnavailableError),
        ("g", -18, UnavailableError),
        ("g", -16, DeniedError),
        ("g", -11, DeniedError),
        ("u", -17, QuotaError),
        ("u", -24, QuotaError),
        ("p", -17, QuotaError),
        ("p", -29, QuotaError),
        ("p", -2, UnavailableError),
        ("f", -28, DeniedError),
        ("uq", -19, UnavailableError),
        ("d", -11, DeniedError),
    ],
)
async def test_codes_are_told_apart(
    mega: FakeMega, command: str, code: int, error: type[Exception]
) -> None:
    async with opened(mega) as backend:
        await backend.put(KEY, [b"x"])
    async with opened(mega) as backend:
        mega.faults.refuse[command] = code
        with pytest.raises(error, match=rf"\({code}\)"):
            await calls_of(backend)[command]()
        assert await backend.get(KEY) == b"x"


async def test_a_command_whose_answer_is_lost_is_done_once(
    mega: FakeMega, backend: Backend
) -> None:
    await backend.put(OTHER, [b"x"])
    for command in range(2):  # of a put: where to upload, and the name
        before = len(mega.account.contents)
        mega.faults.lost_answers = 1
        await backend.put(check_key(f"packs/ab/abcd/{command}"), [b"y"])
        assert len(mega.account.contents) == before + 1


async def test_a_full_account_takes_nothing(mega: FakeMega, backend: Backend) -> None:
    await backend.put(KEY, [b"x" * 100])
    mega.account.total = 150
    with pytest.raises(QuotaError, match=r"the MEGA account has no room: over quota \(-17\)"):
        await backend.put(OTHER, [b"x" * 100])
    usage = await backend.usage()
    assert (usage.free, usage.total) == (50, 150)
    assert await backend.get(KEY) == b"x" * 100


@pytest.mark.parametrize("in_answer", [False, True])
async def test_a_used_up_quota_is_left_alone_until_its_time(
    mega: FakeMega, backend: Backend, mock_clock: trio.testing.MockClock, in_answer: bool
) -> None:
    await backend.put(KEY, [b"x"])
    mega.faults.used_up, mega.faults.quota_in_answer = 2700, in_answer
    with pytest.raises(ThrottledError, match="is used up; it is asked again in 45 min") as caught:
        await backend.get(KEY)
    assert caught.value.seconds == 2700
    await backend.put(OTHER, [b"y"])  # uploads are free
    mega.commands.clear()
    mega.faults.used_up = None
    mock_clock.jump(2600)
    with pytest.raises(ThrottledError, match="in 100 s"):
        await backend.get(KEY, 0, 1)
    assert not mega.commands
    mock_clock.jump(101)
    assert await backend.get(KEY) == b"x"


async def test_a_quota_without_a_time_is_asked_for_again(
    mega: FakeMega, backend: Backend, mock_clock: trio.testing.MockClock
) -> None:
    await backend.put(KEY, [b"x"])
    mega.faults.used_up = 0
    with pytest.raises(ThrottledError, match="in 10 min"):
        await backend.get(KEY)
    mega.faults.used_up = None
    mock_clock.jump(601)
    assert await backend.get(KEY) == b"x"


async def test_a_download_that_breaks_off_is_no_value(mega: FakeMega, backend: Backend) -> None:
    await backend.put(KEY, [noise(1, 300_000)])
    mega.faults.cut_downloads = 1
    with pytest.raises(UnavailableError):
        await backend.get(KEY)
    assert await backend.get(KEY) == noise(1, 300_000)


@pytest.mark.parametrize("size", [1, 200_000, 3_000_000])
async def test_a_value_that_was_changed_has_another_mac(
    mega: FakeMega, backend: Backend, size: int
) -> None:
    await backend.put(KEY, [noise(1, size)])
    mega.faults.damage = 1
    with pytest.raises(CorruptAnswerError, match="its MAC in MEGA is another"):
        await backend.get(KEY)
    assert await backend.get(KEY) == noise(1, size)


async def test_addresses_that_are_over_are_asked_for_again(
    mega: FakeMega, backend: Backend
) -> None:
    await backend.put(KEY, [b"0123456789"])
    assert await backend.get(KEY, 2, 3) == b"234"
    mega.end_addresses()
    assert await backend.get(KEY, 3, 3) == b"345"


@pytest.mark.parametrize("fault", ["busy_uploads", "cut_uploads"])
async def test_a_piece_is_sent_again(mega: FakeMega, backend: Backend, fault: str) -> None:
    value = noise(1, 10_000_000)
    setattr(mega.faults, fault, 1)
    await backend.put(KEY, [value])
    assert await backend.get(KEY) == value


async def test_a_record_does_not_wait_for_shards(
    mega: FakeMega, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line may be so slow that they take longer than it may."""
    taken, go_on = Transfers._taken, trio.Event()

    async def slow(self: Transfers, url: str, data: bytearray, key: Key) -> str:
        if key != SITE:
            await go_on.wait()
        return await taken(self, url, data, key)

    monkeypatch.setattr(Transfers, "_taken", slow)
    async with opened(mega) as backend, trio.open_nursery() as nursery:
        for number in range(transfers.UPLOADS + 2):
            shard = check_key(f"packs/ab/abcd/{number}-9-9")
            nursery.start_soon(backend.put, shard, [noise(number, 200_000)])
        await trio.testing.wait_all_tasks_blocked(0.2)
        with trio.fail_after(30):
            await backend.put(SITE, [b"at work"])
        go_on.set()
    assert len(mega.account.contents) == transfers.UPLOADS + 3


async def test_an_upload_that_failed_stores_nothing(mega: FakeMega, backend: Backend) -> None:
    mega.faults.failed_uploads = 1
    with pytest.raises(UnavailableError, match=r"a failed upload \(-5\)"):
        await backend.put(KEY, [noise(1, 10_000_000)])
    with pytest.raises(KeyNotFoundError):
        await backend.head(KEY)


@pytest.mark.parametrize(
    ("status", "body", "match"),
    [
        ("404 Not Found", b"", "status 404"),
        ("302 Found", b"", "status 302"),
        ("200 OK", b"<html>log in</html>", "no JSON"),
        ("200 OK", b'"word"', "no object"),
        ("200 OK", b"[]", "no object"),
        ("200 OK", b'[{"v": "2"}]', "no version"),
        ("200 OK", b'[{"v": 3}]', "version 3 are not known"),
        ("200 OK", b'[{"v": 2, "s": "!"}]', "cannot be understood"),
    ],
)
async def test_what_another_answers_is_no_answer(
    mega: FakeMega, status: str, body: bytes, match: str
) -> None:
    async with meddling() as between:
        between.before = lambda _: answer(status, body)
        backend = open_backend("d0", f"mega://x?endpoint=http://{between.host}")
        with pytest.raises(UnavailableError, match=rf"{match}.*, as MEGA does not"):
            await backend.get(KEY)
        await backend.aclose()


async def test_storage_servers_have_trouble_too(mega: FakeMega, backend: Backend) -> None:
    await backend.put(KEY, [b"x"])
    async with meddling() as between:
        between.before = lambda _: answer("502 Bad Gateway")
        mega.storage = f"http://{between.host}"
        with pytest.raises(
            UnavailableError, match="a storage server of MEGA answers with status 502"
        ):
            await backend.get(KEY)
        between.before = lambda _: answer("200 OK", b"<html>no token</html>")
        with pytest.raises(UnavailableError, match="no token"):
            await backend.put(OTHER, [b"x"])
        between.before = lambda _: answer("200 OK", b"too much")
        with pytest.raises(UnavailableError, match="longer than it should be"):
            await backend.get(KEY, 0, 1)


# ---- other clients -------------------------------------------------------------------------------


async def test_a_value_that_is_known_costs_no_listing(mega: FakeMega, backend: Backend) -> None:
    await backend.put(KEY, [b"0123456789"])
    mega.commands.clear()
    for _ in range(3):
        assert await backend.get(KEY, 0, 5) == b"01234"
    assert mega.commands == ["g"]


async def test_what_others_write_replace_and_remove_is_seen(mega: FakeMega) -> None:
    async with opened(mega) as one, opened(mega) as two:
        await one.put(KEY, [b"first"])
        assert await two.get(KEY) == b"first"
        await two.put(OTHER, [b"second"])
        assert await one.get(OTHER) == b"second"
        assert {each.key async for each in one.list("packs/")} == {KEY, OTHER}
        await one.put(MARKER_KEY, [b"1"])
        assert await two.get(MARKER_KEY) == b"1"
        await one.put(MARKER_KEY, [b"22"])
        assert await two.get(MARKER_KEY) == b"22"
        await two.delete(KEY)
        with pytest.raises(KeyNotFoundError):
            await one.get(KEY)


async def test_a_value_that_was_replaced_elsewhere_is_found(mega: FakeMega) -> None:
    """What is written once is not asked for anew; where it was replaced all the same, its old file
    is gone."""
    async with opened(mega) as one, opened(mega) as two:
        await one.put(KEY, [b"first"])
        assert await two.get(KEY, 0, 5) == b"first"
        await one.put(KEY, [b"other"])
        assert await two.get(KEY, 0, 5) == b"other"


async def test_of_two_files_of_one_name_the_later_one_counts(mega: FakeMega) -> None:
    async with opened(mega) as one, opened(mega) as two:
        await one.put(OTHER, [b"x"])
        await two.head(OTHER)
        mega.faults.refuse["d"] = -1  # what one replaces stays
        await one.put(KEY, [b"first"])
        await one.put(KEY, [b"last"])
        for each in (one, two):
            assert await each.get(KEY) == b"last"
            assert {e.key: e.size async for e in each.list()} == {KEY: 4, OTHER: 1}
        assert len(mega.account.contents) == 3
        await two.delete(KEY)
        assert len(mega.account.contents) == 1
        with pytest.raises(KeyNotFoundError):
            await one.head(KEY)


async def test_folders_of_one_name_count_as_one(mega: FakeMega) -> None:
    async with opened(mega) as one, opened(mega) as two:
        await one.put(MARKER_KEY, [b"x"])
        await two.head(MARKER_KEY)
        async with trio.open_nursery() as nursery:  # each makes packs/ab/abcd
            nursery.start_soon(one.put, KEY, [b"one"])
            nursery.start_soon(two.put, OTHER, [b"two"])
        async with opened(mega) as three:
            for each in (one, two, three):
                assert await each.get(KEY) == b"one"
                assert await each.get(OTHER) == b"two"


async def test_what_the_user_moves_or_deletes_is_gone(mega: FakeMega, backend: Backend) -> None:
    await backend.put(KEY, [b"x"])
    account = mega.account
    folders = [n for n in account.nodes.values() if n["t"] == 1]
    bin_ = next(n for n in account.nodes.values() if n["t"] == 4)
    packs = next(n for n in folders if n["p"] == next(f["h"] for f in folders))
    moved = {"a": "m", "n": packs["h"], "t": bin_["h"]}
    back = {"a": "m", "n": packs["h"], "t": packs["p"]}
    (sid,) = mega.sessions
    mega._done([moved], sid)
    with pytest.raises(KeyNotFoundError):
        await backend.head(KEY)
    assert [each async for each in backend.list()] == []
    mega._done([back], sid)
    assert await backend.get(KEY) == b"x"
    mega._done([{"a": "d", "n": packs["p"]}], sid)
    with pytest.raises(KeyNotFoundError):
        await backend.head(KEY)
    await backend.put(KEY, [b"again"])
    assert await backend.get(KEY) == b"again"


async def test_a_folder_that_went_unseen_is_made_again(mega: FakeMega, backend: Backend) -> None:
    await backend.put(KEY, [b"x"])
    (sid,) = mega.sessions
    top = next(n for n in mega.account.nodes.values() if n["t"] == 1)
    mega._done([{"a": "d", "n": top["h"]}], sid)
    with pytest.raises(UnavailableError, match=r"nothing there \(-9\)"):
        await backend.put(OTHER, [b"y"])
    await backend.put(OTHER, [b"y"])
    assert await backend.get(OTHER) == b"y"


async def test_a_folder_that_is_not_there_is_no_empty_one(mega: FakeMega) -> None:
    missing = open_backend("d0", mega.address("a/b"))
    for call in (
        lambda: missing.get(KEY),
        lambda: missing.put(KEY, [b"x"]),
        lambda: missing.delete(KEY),
        lambda: missing.head(KEY),
        lambda: anext(missing.list()),
    ):
        with pytest.raises(UnavailableError, match="the folder /a/b is not there in the MEGA"):
            await call()
    async with opened(mega, "a/b") as fresh:
        await fresh.put(KEY, [b"x"])
    assert await missing.get(KEY) == b"x"
    await missing.aclose()


async def test_the_whole_drive_may_be_a_backend(mega: FakeMega) -> None:
    async with opened(mega, "") as whole, opened(mega, "packs") as part:
        await whole.put(KEY, [b"x"])
        assert await part.get(check_key("ab/abcd/0-4-2")) == b"x"


async def test_what_is_not_ours_is_passed_over(mega: FakeMega) -> None:
    async with opened(mega) as backend:
        await backend.put(KEY, [b"x"])
    account = mega.account
    folder = next(n["h"] for n in account.nodes.values() if n["t"] == 1)
    strange = {"h": "strange1", "p": folder, "u": account.user, "t": 0, "ts": 1, "s": 1}
    account.nodes["strange1"] = {**strange, "a": "AAAA", "k": f"{account.user}:AAAA"}
    account.nodes["strange2"] = {
        **strange,
        "h": "strange2",
        "a": "A" * 22,
        "k": "other:" + "A" * 43,
    }
    account.nodes["strange3"] = {"h": "strange3", "p": folder, "t": 9}
    account.nodes["strange4"] = {"h": "strange4", "p": folder, "t": -1, "a": 5}
    async with opened(mega) as backend:
        assert [each.key async for each in backend.list()] == [KEY]


async def test_a_put_that_is_given_up_stores_nothing(mega: FakeMega, backend: Backend) -> None:
    await backend.put(OTHER, [b"x"])
    with trio.CancelScope() as scope:
        mega.faults.busy_uploads, mega.uploading = 10**6, trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(backend.put, KEY, [noise(1, 9_000_000)])
            await mega.uploading.wait()
            scope.cancel()
    mega.faults.busy_uploads = 0
    assert [each.key async for each in backend.list()] == [OTHER]


# ---- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("mega://me:secret@host/x", "mega://x?key=secret", "mega://x#secret", "mega://a/../b"),
        *("mega://a//b", "mega://a/%00", "mega://x?endpoint=ftp://h", "mega://x?endpoint=secret"),
        *("mega://x?endpoint=http://h:x", "mega://x?endpoint=http://secret@h", "mega://[secret"),
        *("mega://x?endpoint=https://mega.example.org", "mega://x?endpoint=https://192.0.2.1"),
        *("mega://x?endpoint=http://g.api.mega.co.nz", "mega://x?endpoint=https://xmega.co.nz"),
    ],
)
def test_urls_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match=r"backend d0: .* is no folder in MEGA") as caught:
        open_backend("d0", text)
    assert "secret@" not in str(caught.value)
    assert "=secret" not in str(caught.value) or "endpoint=secret" in text


@pytest.mark.parametrize("server", ["https://g.api.mega.nz", "http://[::1]:80", "http://127.0.0.9"])
def test_megas_own_servers_and_this_machine_may_know_the_account(server: str) -> None:
    assert address_of("d0", f"mega://x?endpoint={server}").endpoint == server


def test_an_account_is_a_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_backend("d0", "mega://x").properties.domain == "mega"
    monkeypatch.setenv("MODELFLOAT_MEGA_USER", MEGA_USER)
    domain = open_backend("d0", "mega://x").properties.domain
    assert domain.startswith("mega:")
    assert open_backend("d1", "MEGA://y").properties.domain == domain
    assert open_backend("d0", "mega://x", domain="rack").properties.domain == "rack"
