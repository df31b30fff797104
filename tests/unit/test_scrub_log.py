"""Passes through a store: how much a check by period takes on, what is kept of what it found."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.cas.store import Store
from modelfloat.cas.verify.checkorder import VerifyRequest
from modelfloat.cas.verify.report import Problem, VerifyReport
from modelfloat.cas.verify.scrublog import NAME, ScrubLog
from modelfloat.opening import open_store
from modelfloat.tests.support.damage import flip_payload, lose
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, data_shards, fresh_store

GOLDEN = Path(__file__).parent.parent / "formats" / "golden" / "scrub-v1.json"
DAY = 86_400 * 10**9


@pytest.fixture
async def stored(tmp_path: Path) -> Path:
    """A store with eight data packs of one size."""
    async with fresh_store(tmp_path / "store", "2+1") as store:
        for number in range(8):
            (tmp_path / f"{number}").write_bytes(noise(f"file {number}", 1_200_000))
            await add(store, tmp_path / f"{number}")
    return tmp_path / "store"


def records(store: Path) -> list[Path]:
    return sorted(store.glob("backends/*/journal/*/*"))


async def a_scrub(store: Store, **asked: object) -> VerifyReport:
    request = replace(VerifyRequest(period=30 * 86_400.0), **asked)  # type: ignore[arg-type]
    return await store.verify(request)


async def test_what_was_never_checked_is_checked_and_then_a_share_a_day(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(str(stored)) as store:
        count = sum(1 for _ in store.index.packs())
        before = await store.scrubbed()
        assert (before.packs, before.unchecked, before.oldest_ns) == (count, count, 0)
        assert (before.full, before.run) == (None, None)
        assert (await a_scrub(store)).packs == count
        after = await store.scrubbed()
        assert (after.unchecked, after.wrong) == (0, 0)
        assert after.run is not None
        assert after.full is not None
        assert after.full.began_ns <= after.oldest_ns <= after.full.ended_ns
        real, rounds = time.time_ns, 0
        monkeypatch.setattr("time.time_ns", lambda: real() + rounds * DAY)
        most = 0
        while (await store.scrubbed()).full == after.full and rounds < 40:
            rounds += 1
            most = max(most, (await a_scrub(store)).bytes_read)
        # The last of it is checked again when a period is over, and never much at once.
        assert 28 <= rounds <= 31
        assert 0 < most < 4_000_000
        full = (await store.scrubbed()).full
        assert full is not None
        assert full.runs == rounds


async def test_a_pass_tells_what_all_its_runs_found(stored: Path) -> None:
    flip_payload(data_shards(stored)[0])
    lose(data_shards(stored)[4])
    async with open_store(str(stored)) as store:
        await store.verify(VerifyRequest(share=0.2))
        assert (await store.scrubbed()).full is None
        report = await store.verify()
        status = await store.scrubbed()
        assert status.full is not None
        assert (status.full.runs, status.full.repaired, status.full.exit_status) == (2, 0, 3)
        assert 2 <= status.full.problems <= 4  # the first run may have met them too
        assert status.wrong == 2
        assert status.run is not None
        assert status.run.packs == report.packs
        # What is known to be wrong is due where it would be repaired.
        report = await a_scrub(store, repair=True)
        assert sum(problem.repaired for problem in report.problems) == 2
        assert (await store.scrubbed()).wrong == 0
        assert (await store.verify()).exit_status == 0
        status = await store.scrubbed()
        assert status.full is not None
        assert status.full.repaired == 2


async def test_the_journal_s_copies_are_checked_by_every_scrub(stored: Path) -> None:
    record = records(stored)[0]
    async with open_store(str(stored)) as store:
        await store.verify()
        record.unlink()
        report = await a_scrub(store, repair=True)
        assert [p.kind for p in report.problems] == ["journal record"]
        assert record.exists() or (await store.verify()).exit_status == 0


async def test_a_check_of_an_address_is_no_pass(stored: Path) -> None:
    from modelfloat.cas.refnames import parse_address

    async with open_store(str(stored)) as store:
        await store.verify(VerifyRequest(address=parse_address("acme/model/1")))
        assert (await store.scrubbed()).run is None
    assert not (stored / NAME).exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"format": 2}',
        '{"format": 1, "current": {"began_ns": -1}, "full": null, "run": null}',
        '{"format": 1, "current": {"began_ns": "x"}, "full": null, "run": null}',
        '{"format": 1, "current": {"what": 1}, "full": null, "run": null}',
        '{"format": 1, "current": {}, "full": 3, "run": null}',
        '{"format": 1, "current": {}, "full": null, "run": {"down": 3}}',
    ],
)
async def test_a_file_that_is_none_tells_nothing(stored: Path, text: str) -> None:
    (stored / NAME).write_text(text)
    async with open_store(str(stored)) as store:
        assert (await store.scrubbed()).run is None
        await store.verify()
        assert (await store.scrubbed()).run is not None


async def test_the_file_is_as_the_format_says(stored: Path) -> None:
    golden = json.loads(GOLDEN.read_bytes())
    async with open_store(str(stored)) as store:
        (stored / NAME).write_bytes(GOLDEN.read_bytes())
        status = await store.scrubbed()
        assert status.full is not None
        assert status.run is not None
        assert (status.full.problems, status.run.down) == (3, ("d1",))
        report = VerifyReport(
            5, 15, 999, down={"d1": "away"}, problems=[Problem("00", 1, "d1", "missing", True)]
        )
        report.lost.append("11")
        ScrubLog(str(stored), store.index).note(report, golden["run"]["began_ns"], 4 * DAY)
        assert json.loads((stored / NAME).read_bytes()) == {
            **golden,
            "current": {
                **golden["current"],
                "runs": 3,
                "bytes_read": golden["current"]["bytes_read"] + 999,
                "problems": 2,
                "repaired": 2,
                "exit_status": 4,
            },
            "run": {
                **golden["run"],
                "ended_ns": 4 * DAY,
                "packs": 5,
                "shards": 15,
                "bytes_read": 999,
                "problems": 1,
                "repaired": 1,
                "lost_packs": 1,
                "exit_status": 4,
            },
        }
