"""What add, verify and stats print about what the engine reports."""

import json
from dataclasses import replace

import pytest

from modelfloat.cas.add.report import AddReport
from modelfloat.cas.refnames import RepoName
from modelfloat.cas.storestats import BackendStatus, StoreStats
from modelfloat.cas.verify.report import LISTED, UNSEEN, Problem, VerifyReport
from modelfloat.cli import add, stats, verifyreport
from modelfloat.cli.verifyflags import parse_rate, parse_share
from modelfloat.errors import UsageError
from modelfloat.ids import ObjectId

REPO = RepoName("acme", "tiny")
COMMIT = ObjectId(bytes.fromhex("3f2a9c01d2e4") + bytes(26))


def test_add_of_something_new() -> None:
    report = AddReport(
        REPO,
        "main",
        COMMIT,
        files=3,
        logical=90_000_000,
        new=80_000_000,
        deduplicated=10_000_000,
        encoded=80_000_000,
        stored=121_000_000,
        seconds=1.2,
    )
    assert add.summary(report).splitlines() == [
        "acme/tiny@main: 3 files, 90.0 MB, commit 3f2a9c01d2e4",
        "new 80.0 MB, deduplicated 10.0 MB, stored 121 MB with parity (ratio 1.34)",
        "1.2 s, 75.0 MB/s",
    ]
    assert json.loads(json.dumps(add.document(report)))["commit"] == COMMIT.hex()


def test_add_of_what_is_stored_already() -> None:
    report = AddReport(
        REPO, "main", None, files=1, logical=1_234_567, deduplicated=1_234_567, seconds=0.5
    )
    text = add.summary(report)
    assert "nothing new: all 1,234,567 bytes were already stored" in text
    assert "no commit: nothing changed" in text
    assert add.document(report)["commit"] is None


def test_add_of_an_empty_file() -> None:
    report = AddReport(REPO, "main", COMMIT, files=1)
    assert add.summary(report).splitlines() == [
        "acme/tiny@main: 1 file, 0 B, commit 3f2a9c01d2e4",
        "0.00 s, –/s",
    ]


def problem(backend: str, what: str, *, repaired: bool = False) -> Problem:
    return Problem("ab" * 16, 0, backend, what, repaired)


def test_verify_without_damage() -> None:
    report = VerifyReport(packs=2, shards=12, bytes_read=12_000_000, seconds=2.0)
    assert verifyreport.lines(report, repair=False, all_files=False) == [
        "2 packs, 12 shards, 12.0 MB read in 2.0 s (6.00 MB/s)",
        "no damage found",
    ]


def test_verify_groups_problems_by_backend_and_kind() -> None:
    report = VerifyReport(
        problems=[
            *[problem("d1", "missing")] * 3,
            problem("d1", "block 0 is damaged"),
            problem("d4", "missing"),
        ],
        down={"d1": "its folder\nis gone"},
    )
    lines = verifyreport.lines(report, repair=False, all_files=False)
    assert lines[1:] == [
        "d1: down (its folder is gone)",
        "d1: 1 shard: block 0 is damaged",
        "d1: 3 shards: missing",
        "d4: 1 shard: missing",
        "damage found; `modelfloat verify --repair` writes it anew",
    ]


def test_verify_counts_what_a_backend_that_is_down_has() -> None:
    gone = problem("d1", "its backend is down")
    record = Problem("journal record ab/1", 1, "d1", "its backend is down", False, "journal record")
    report = VerifyReport(problems=[gone, gone, record], down={"d1": "its folder is gone"})
    lines = verifyreport.lines(report, repair=False, all_files=False)
    assert lines[1] == "d1: down, with 2 shards and 1 journal record (its folder is gone)"
    assert report.exit_status == 3
    assert lines[-1].startswith("no damage found in what could be read: bring d1 back")


def test_who_is_refused_knows_of_no_damage() -> None:
    gone, damaged = problem("d1", UNSEEN), problem("d2", "missing")
    report = VerifyReport(down={"d1": "credentials"}, refused=["d1"])
    for each in [gone] * (LISTED + 1):
        report.note(each)
    assert report.exit_status == 1
    last = verifyreport.lines(report, repair=False, all_files=False)[-1]
    assert last == "no damage found in what could be read: see why d1 refuses us, verify again"
    report.note(damaged)
    assert report.exit_status == 3
    report = VerifyReport(problems=[gone], down={"d1": "a", "d2": "b"}, refused=["d1"])
    assert report.exit_status == 3


def test_verify_tells_what_was_repaired() -> None:
    report = VerifyReport(
        problems=[problem("d1", "missing", repaired=True)] * 2, replaced=["d1"], packs=1, shards=6
    )
    lines = verifyreport.lines(report, repair=True, all_files=False)
    assert "d1: was lost, and was made anew" in lines
    assert "d1: 2 shards: missing, all repaired" in lines
    assert lines[-1] == "damage found and repaired"


def test_verify_tells_what_could_not_be_repaired() -> None:
    report = VerifyReport(
        problems=[problem("d1", "missing", repaired=True), problem("d1", "missing")]
    )
    lines = verifyreport.lines(report, repair=True, all_files=False)
    assert "d1: 2 shards: missing, 1 repaired" in lines
    assert lines[-1] == "repaired in part: 1 could not be written anew"


@pytest.mark.parametrize(("all_files", "named"), [(False, 20), (True, 25)])
def test_verify_names_lost_files(all_files: bool, named: int) -> None:
    report = VerifyReport(lost=["ab" * 16], lost_files=[f"acme/tiny@main/{i}" for i in range(25)])
    lines = verifyreport.lines(report, repair=False, all_files=all_files)
    assert sum(line.startswith("lost: acme/") for line in lines) == named
    assert ("lost: 5 more; --verbose names them" in lines) is not all_files
    assert lines[-1].startswith("DATA IS LOST")
    assert report.exit_status == 4


def test_verify_says_what_nothing_needs() -> None:
    report = VerifyReport(unneeded=["ab" * 16], rescued=3)
    assert verifyreport.lines(report, repair=True, all_files=False)[1:] == [
        "3 chunks of lost packs stored again in new ones",
        "1 pack is beyond repair and nothing needs it: `modelfloat gc` removes it",
        "damage found and repaired",
    ]
    report = VerifyReport(unneeded=["ab" * 16, "cd" * 16])
    assert report.exit_status == 0
    assert (
        "2 packs are beyond repair" in verifyreport.lines(report, repair=False, all_files=False)[1]
    )


def test_verify_names_only_so_many() -> None:
    report = VerifyReport()
    for number in range(LISTED + 5):
        report.note(problem("d1", "missing", repaired=number % 2 == 0))
        report.lose(f"file {number}")
    assert (len(report.problems), report.unlisted, report.unlisted_repaired) == (LISTED, 5, 3)
    assert (len(report.lost_files), report.unlisted_files) == (LISTED, 5)
    lines = verifyreport.lines(report, repair=True, all_files=True)
    assert "5 more problems, 3 of them repaired" in lines
    assert "lost: 5 more, too many to be named" in lines


def test_verify_says_how_lost_data_comes_back() -> None:
    lost = VerifyReport(lost=["ab" * 16], lost_files=["acme/tiny@main/a"])
    again = "add the files named above again with `modelfloat add`"
    assert verifyreport.lines(lost, repair=False, all_files=False)[-1] == f"DATA IS LOST: {again}"
    lost.down = {"d4": "gone", "d1": "gone"}
    assert verifyreport.lines(lost, repair=False, all_files=False)[-1] == (
        f"DATA IS LOST: bring d1, d4 back and run `modelfloat verify --repair`, or {again}"
    )


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50MB/s", 5e7), ("1.5 GiB/s", 1.5 * 2**30), ("300k", 3e5), ("7", 7.0), ("2TB/s", 2e12)],
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "fast", "0", "-5MB/s", "5PB/s", "1e5", "5MB/h", "٣MB/s"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(UsageError, match="as 50MB/s"):
        parse_rate(text)


def test_shares() -> None:
    assert parse_share("5%") == pytest.approx(0.05)
    assert parse_share("0.1%") == pytest.approx(0.001)
    assert parse_share("100 %") == 1.0
    for text in ("5", "0%", "101%", "-5%", "%", "five%", "٥%"):
        with pytest.raises(UsageError, match="as 5%"):
            parse_share(text)


def test_verify_document_holds_everything() -> None:
    report = VerifyReport(problems=[problem("d1", "missing")])
    document = json.loads(json.dumps(verifyreport.document(report)))
    assert document["exit_status"] == 3
    assert document["problems"][0]["backend"] == "d1"


def status(
    name: str, domain: str, free: int | None, *, up: bool = True, total: int | None = 100
) -> BackendStatus:
    reason = "" if up else "its marker is missing"
    state = "up" if up else "down"
    return BackendStatus(
        name, f"/disks/{name}", domain, up, reason, free, total, 7, 5_000_000, state=state
    )


def test_a_device_is_counted_once() -> None:
    same = [status(f"d{i}", "disk", 50) for i in range(6)]
    assert stats.free_space(same) == 50
    assert stats.free_space([*same, status("e", "other", 30)]) == 80
    assert stats.free_space([*same, status("e", "disk", 30, total=200)]) == 80
    assert stats.free_space([status("d", "disk", 50, up=False)]) is None
    leaving = replace(status("e", "other", 30), state="draining")
    assert stats.free_space([*same, leaving]) == 50
    assert stats.free_space([status("d", "cloud", None, total=None)]) is None


def test_stats() -> None:
    backends = (status("d0", "disk", 50_000_000), status("d1", "disk", None, up=False))
    report = StoreStats(
        repositories=2,
        files=5,
        logical=200_000_000,
        unique=100_000_000,
        encoded=80_000_000,
        objects=474_000,
        stored=120_000_000,
        packs=3,
        chunks=100,
        degraded_packs=1,
        scheme="1+1",
        survives="survives the loss of any 1 of 2 domains",
        backends=backends,
    )
    text = stats.text(report)
    for wanted in (
        "logical       200 MB  2 repositories, 5 files",
        "unique        100 MB",
        "encoded      80.0 MB  3 packs, 100 chunks",
        "objects       474 kB  commits, trees, manifests: in no table below",
        "with parity   120 MB",
        "free         50.0 MB",
        "net ratio       0.60",
        "survives the loss of any 1 of 2 domains",
        "1 pack of 3 lacking shards",
        "d1 is down: its marker is missing",
    ):
        assert wanted in text
    document = json.loads(json.dumps(stats.document(report)))
    assert (document["net_ratio"], document["free"]) == (0.6, 50_000_000)
    assert document["backends"][1]["up"] is False


def test_a_lost_name_is_told_as_it_can_be_typed() -> None:
    report = VerifyReport(lost=["ab" * 16], lost_files=["acme/tiny@main/a\nb \udcff"])
    lines = verifyreport.lines(report, repair=False, all_files=False)
    assert r"lost: acme/tiny@main/a\nb \xff" in lines
