"""`verify --scrub`: what it takes on, and what it tells monitoring."""

import json
from pathlib import Path

import pytest

from modelfloat.cas.verify.scrubstatus import ScrubPass, ScrubRun, ScrubStatus
from modelfloat.cli.scrub import lines, metrics, period_of, rate_of
from modelfloat.cli.settings import Settings
from modelfloat.errors import UsageError
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.damage import flip_payload
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import data_shards

DAY = 86_400
FULL = ScrubPass(DAY * 10**9, 2 * DAY * 10**9, 4, 5_000_000, 3, 2, 3)
RUN = ScrubRun(2 * DAY * 10**9, (2 * DAY + 60) * 10**9, 5, 30, 1_000, 2, 1, 0, 0, ("d1",), 3)


def test_the_period_is_the_flag_s_or_the_setting_s() -> None:
    stored = Settings("/s", stored={"scrub_period": "10d", "scrub_limit": "2MB/s"})
    assert period_of(Settings("/s"), scrub=False, period=None, part=True) is None
    assert period_of(Settings("/s"), scrub=True, period=None, part=False) == 30 * DAY
    assert period_of(stored, scrub=True, period=None, part=False) == 10 * DAY
    assert period_of(stored, scrub=False, period="7d", part=False) == 7 * DAY
    assert rate_of(stored) == 2_000_000
    assert rate_of(Settings("/s")) is None
    with pytest.raises(UsageError, match="of everything"):
        period_of(stored, scrub=True, period=None, part=True)


def test_what_prometheus_gets() -> None:
    status = ScrubStatus(7, 1, 2, 3 * DAY * 10**9, FULL, RUN)
    found = list(metrics("ab", status))
    assert 'modelfloat_scrub_packs{store="ab"} 7' in found
    assert f'modelfloat_scrub_full_pass_timestamp_seconds{{store="ab"}} {2.0 * DAY}' in found
    assert 'modelfloat_scrub_run_exit_status{store="ab"} 3' in found
    assert 'modelfloat_scrub_run_seconds{store="ab"} 60.0' in found
    names = [line.split()[2] for line in found if line.startswith("# TYPE")]
    assert len(set(names)) == len(names) == len(found) / 3


def test_what_people_get() -> None:
    assert lines(ScrubStatus(0, 0, 0, 0, None, None)) == []
    (never,) = lines(ScrubStatus(3, 3, 0, 0, None, None))
    assert "ever checked" in never
    full, oldest = lines(ScrubStatus(7, 1, 2, 3 * DAY * 10**9, FULL, RUN))
    assert "3 problems, 2 repaired" in full
    assert oldest.endswith("1 pack never checked")


def test_a_scrub_from_the_command_line(tmp_path: Path) -> None:
    store, report, figures = (tmp_path / name for name in ("store", "r.json", "m.prom"))
    (tmp_path / "file").write_bytes(noise("file", 2_000_000))
    assert modelfloat("--store", store, "init", "--erasure", "2+1").returncode == 0
    assert modelfloat("--store", store, "add", tmp_path / "file", "acme/tiny").returncode == 0
    flip_payload(data_shards(store)[0])
    scrub = ("--store", store, "verify", "--scrub", "--repair", "--report", report)
    done = modelfloat(*scrub, "--metrics", figures)
    assert (done.returncode, done.stderr) == (3, "")
    found = json.loads(report.read_text())
    assert (found["exit_status"], [p["repaired"] for p in found["problems"]]) == (3, [True])
    assert "modelfloat_scrub_run_repaired{" in figures.read_text()
    shown = modelfloat("--store", store, "--json", "stats")
    scrubbed = json.loads(shown.stdout)["scrub"]
    assert scrubbed["run"]["problems"] == 1
    assert modelfloat("--store", store, "verify", "--scrub").returncode == 0


def test_a_place_for_the_report_is_looked_for_first(tmp_path: Path) -> None:
    store, nowhere = tmp_path / "store", tmp_path / "none" / "file"
    (tmp_path / "file").write_bytes(noise("file", 2_000_000))
    assert modelfloat("--store", store, "init", "--erasure", "2+1").returncode == 0
    assert modelfloat("--store", store, "add", tmp_path / "file", "acme/tiny").returncode == 0
    for option in ("--report", "--metrics"):
        done = modelfloat("--store", store, "verify", "--scrub", option, nowhere)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"modelfloat: there is no folder {nowhere.parent}; make it first\n"


def test_what_was_found_is_told_where_the_report_cannot_be_written(tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert modelfloat("--store", store, "init", "--erasure", "2+1").returncode == 0
    (tmp_path / "folder").mkdir()
    done = modelfloat("--store", store, "verify", "--report", tmp_path / "folder")
    assert done.returncode == 1
    assert "no damage found" in done.stdout
