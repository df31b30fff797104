"""What `stats --mount` prints of what mounts tell."""

import json
from dataclasses import replace

import pytest

from modelfloat.cas.histogram import Histogram
from modelfloat.cas.read.counters import ReadCounts
from modelfloat.cas.read.figures import BackendReads, ReadFigures
from modelfloat.cli import mountstats
from modelfloat.cli.main import run
from modelfloat.cli.output import human_latency
from modelfloat.fuse.mountstate import SILENT, MountState, OpenFileState
from modelfloat.fuse.readstate import ReadState

COUNTS = ReadCounts(
    opened=1234,
    passed_through=5,
    requests=12_000,
    at_once=11_400,
    failed=1,
    served=1_500_000_000,
    slow=2,
    chunk_hits=990,
    chunk_misses=10,
    loads=300,
    loads_failed=4,
    fetches=1200,
    fetched=1_600_000_000,
    ahead=1_000_000_000,
    ahead_used=750_000_000,
    ahead_wasted=50_000_000,
)


def latency() -> Histogram:
    found = Histogram()
    for ns in [10_000] * 90 + [1_000_000] * 9 + [500_000_000]:
        found.note(ns)
    return found


def state(reads: ReadState | None) -> MountState:
    opened = (OpenFileState("ab" * 32, "acme/llama/v", ()),)
    return MountState(7, "1.2", "/mo\x1bdels", 10**18, opened, binding="kernel", reads=reads)


def full(counts: ReadCounts = COUNTS, waiting: int = 2) -> MountState:
    backends = (
        BackendReads("d0", "slow", 4_000_000, 1, 2, 9e8, latency()),
        BackendReads("d\x1b1", "down", errors=3, why="backend d1: gone", since=1e9),
    )
    figures = ReadFigures(counts, latency(), 31_000_000, 512_000_000, backends)
    return state(ReadState(figures, waiting, 3 * 10**9))


def test_a_mount_for_people() -> None:
    head, *lines = mountstats.text(full()).splitlines()
    assert head.startswith("/mo\\x1bdels: pid 7, binding kernel, 1 open file, since ")
    shown = {line.partition("  ")[0]: line.partition("  ")[2].strip() for line in lines}
    assert shown["files"] == "1,234 opened, 5 read by the kernel itself"
    assert shown["requests"] == (
        "12,000, 1.50 GB served, 95.0 % at once, 1 failed, 2 slow; 2 waiting, the first for 3.0 s"
    )
    assert shown["latency"].startswith("p50 9 µs, p90 9 µs, p99 983 µs, p99.9 0.50 s, longest 0.50")
    assert shown["chunks"] == "1,000 asked for, 99.0 % in memory"
    assert shown["loads"] == "300, 4 failed; 1.60 GB in 1,200 ranges from backends"
    assert shown["read ahead"] == "1.00 GB, 75.0 % used, 5.0 % wasted"
    assert shown["memory"] == "31.0 MB of 512 MB"
    assert " ".join(shown["d0"].split()) == "slow 100 4.00 MB 2 1 0 9 µs 983 µs 900 MB/s"
    assert " ".join(shown["d\\x1b1"].split()) == "down 0 0 B 0 0 3 – – –"
    assert lines[-1].startswith("d\\x1b1 is down since 2001-09-09 ")
    assert lines[-1].endswith(": backend d1: gone")
    assert "disk cache" not in shown


def test_the_disk_cache_is_told_where_it_was_used() -> None:
    counts = ReadCounts(disk_hits=3, disk_read=3 << 20)
    assert "\ndisk cache  3 chunks, 3.15 MB\n" in mountstats.text(full(counts))


def test_a_mount_that_is_hidden() -> None:
    hidden = replace(full(), hidden=True)
    assert "dels, hidden until its last user leaves: pid 7, " in mountstats.text(hidden)
    assert mountstats.document(hidden)["hidden"] is True
    assert mountstats.document(full())["hidden"] is False


def test_a_mount_that_did_nothing_yet() -> None:
    text = mountstats.text(state(ReadState()))
    assert "\nfiles       0 opened\n" in text
    assert "0, 0 B served, – at once" in text
    assert "waiting" not in text
    assert "\nlatency     –\n" in text


def test_a_mount_that_tells_nothing() -> None:
    hangs = MountState(7, "", "", 0, problem=SILENT)
    assert mountstats.text(hangs) == f"pid 7: {SILENT}"
    found = mountstats.document(hangs)
    assert found["problem"] == SILENT
    assert [found[key] for key in ("mountpoint", "since", "open_files")] == [None] * 3
    older = state(None)
    assert mountstats.text(older).endswith("\nit runs release 1.2, which counts nothing")
    assert "counts" not in mountstats.document(older)


def test_a_mount_for_programs() -> None:
    found = json.loads(json.dumps(mountstats.document(full())))
    assert (found["pid"], found["binding"], found["open_files"]) == (7, "kernel", 1)
    assert found["counts"]["served"] == COUNTS.served
    assert found["chunk_hit_rate"] == 0.99
    assert (found["ahead_used_rate"], found["ahead_wasted_rate"]) == (0.75, 0.05)
    assert found["latency"]["longest"] == 0.5
    assert found["latency"]["mean"] == pytest.approx(0.0051, rel=0.01)
    assert found["latency"]["p99"] == pytest.approx(1e-3, rel=1 / 8)
    assert (found["waiting"], found["longest_waiting"]) == (2, 3.0)
    assert [each["state"] for each in found["backends"]] == ["slow", "down"]
    assert [each["fetches"] for each in found["backends"]] == [100, 0]
    assert found["backends"][0]["latency"] == found["latency"]
    empty = mountstats.document(state(ReadState()))
    assert (empty["chunk_hit_rate"], empty["latency"]["mean"]) == (None, None)


def test_every_mount_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [full(), state(None)]
    monkeypatch.setattr("modelfloat.fuse.control.mount_states", lambda _store: both)
    assert run(["--store", "/s", "stats", "--mount"]) == 0
    assert capsys.readouterr().out == "\n\n".join(map(mountstats.text, both)) + "\n"
    assert run(["--store", "/s", "stats", "--mount", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [mountstats.document(each) for each in both]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 µs"), (9.94e-4, "994 µs"), (9.96e-4, "1.0 ms"), (0.0994, "99 ms"), (0.0996, "0.10 s")],
)
def test_short_times(seconds: float, text: str) -> None:
    assert human_latency(seconds) == text
