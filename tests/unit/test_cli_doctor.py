"""`doctor`: every check's good and bad states, each provoked; one failing check hides no other."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelfloat.cas.index.checknotes import Check
from modelfloat.cas.index.index import Index
from modelfloat.cas.index.records import ShardState
from modelfloat.cli import (
    checks_backends,
    checks_index,
    checks_machine,
    checks_store,
    checks_use,
    doctor,
)
from modelfloat.cli.checks import Finding, Level, examine, ok, problem
from modelfloat.cli.main import run
from modelfloat.cli.output import human_time
from modelfloat.cli.settings import Settings
from modelfloat.cli.settingtable import SETTINGS
from modelfloat.fuse import mountinfo
from modelfloat.fuse.control import MountState, ReadError
from modelfloat.fuse.liveness import Life
from modelfloat.fuse.mountinfo import Mount
from modelfloat.fuse.mountstate import SILENT
from modelfloat.tests.support.mounts import remount_read_only, small_tmpfs
from modelfloat.tests.support.stores import shard_files, weights
from modelfloat.version import __version__

Capture = pytest.CaptureFixture[str]


def only(findings: Iterable[Finding]) -> tuple[Level, str]:
    """Level, and text with remedy, of the one finding there is."""
    (finding,) = findings
    return finding.level, f"{finding.text}; {finding.remedy}"


# The machine


@pytest.mark.parametrize(
    ("system", "release", "level"),
    [
        ("Linux", "6.1.0-13-amd64", Level.OK),
        ("Linux", "4.19.0", Level.WARNING),
        ("Linux", "unknown", Level.WARNING),
        ("Darwin", "23.1.0", Level.PROBLEM),
    ],
)
def test_kernel(system: str, release: str, level: Level) -> None:
    assert only(checks_machine.kernel(system, release))[0] is level


def test_fuse_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    level, text = only(checks_machine.device(str(tmp_path / "fuse")))
    assert level is Level.WARNING
    assert "modprobe fuse" in text
    (tmp_path / "fuse").touch()
    assert only(checks_machine.device(str(tmp_path / "fuse")))[0] is Level.OK
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may open everything
    level, text = only(checks_machine.device(str(tmp_path / "fuse")))
    assert level is Level.PROBLEM
    assert "chmod 666" in text


@pytest.mark.parametrize(
    ("user", "found", "level"),
    [
        (0, None, Level.OK),
        (1000, "/usr/bin/fusermount3", Level.OK),
        (1000, None, Level.WARNING),
    ],
)
def test_fusermount3(user: int, found: str | None, level: Level) -> None:
    assert only(checks_machine.helper(user, found))[0] is level


@pytest.mark.parametrize(
    ("user", "conf", "level"),
    [
        (0, "", Level.OK),
        (1000, "#user_allow_other\n", Level.WARNING),
        (1000, "mount_max = 10\nuser_allow_other\n", Level.OK),
    ],
)
def test_allow_other(user: int, conf: str, level: Level, tmp_path: Path) -> None:
    (tmp_path / "fuse.conf").write_text(conf)
    assert only(checks_machine.allow_other(user, str(tmp_path / "fuse.conf")))[0] is level


def test_the_fuse_binding_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyfuse3", None)
    level, text = only(checks_machine.binding())
    assert level is Level.WARNING
    assert "install the package fuse3" in text


def test_libisal_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelfloat.erasure.isal.SONAME", "libisal-of-nobody.so.2")
    level, text = only(checks_machine.erasure_engine())
    assert level is Level.WARNING
    assert "NumPy" in text
    assert text.endswith("install the package libisal2")


def test_settings_that_cannot_be() -> None:
    environment = {"MODELFLOAT_WAIT": "maybe", "MODELFLOAT_STROE": "/x", "PATH": "/bin"}
    settings = Settings("/s", environment=environment, stored={"wiat": 1})
    found = list(checks_machine.environment(settings))
    assert [finding.level for finding in found] == [Level.PROBLEM, Level.PROBLEM, Level.WARNING]
    assert "$MODELFLOAT_WAIT" in found[0].text
    assert "wiat" in found[1].text
    assert "$MODELFLOAT_STROE" in found[2].text
    assert only(checks_machine.environment(Settings("/s")))[0] is Level.OK


# How checks are kept apart


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/a"), "/a: Permission denied"),
        (OSError("odd"), "odd"),
        (ValueError("two\nlines"), "unexpected ValueError: two lines"),
    ],
)
def test_a_check_that_fails_is_a_problem(error: Exception, text: str) -> None:
    def check() -> Iterator[Finding]:
        raise error
        yield

    assert examine("x", check) == [problem("x", text)]


# The store


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    # What this machine has mounted beside is none of a test's business.
    monkeypatch.setattr("modelfloat.fuse.mountinfo.mounts", list)


@pytest.fixture
def store(tmp_path: Path, capsys: Capture) -> Path:
    """A store of three directories, 2+1, with one file in it."""
    weights(tmp_path / "source", 3_000_000)
    path = tmp_path / "store"
    assert run(["--store", str(path), "init", "--erasure", "2+1"]) == 0
    assert run(["--store", str(path), "add", str(tmp_path / "source"), "acme/model"]) == 0
    capsys.readouterr()
    return path


def examined(store: Path, capsys: Capture) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit status, and the worst finding of each check of the store: level and text."""
    status = run(["doctor", "--json", "--store", str(store)])
    captured = capsys.readouterr()
    assert captured.err == ""
    document = json.loads(captured.out)
    assert document["exit_status"] == status
    found: dict[str, tuple[str, str]] = {}
    for each in document["findings"]:
        if each["group"] == "store":
            order = ["ok", "warning", "problem", "damage"]
            text = f"{each['text']}; {each['remedy']}"
            known = found.get(each["check"], ("ok", ""))
            if order.index(each["level"]) >= order.index(known[0]):
                found[each["check"]] = (each["level"], text)
    return status, found


def test_a_sound_store_has_no_problem(store: Path, capsys: Capture) -> None:
    status, found = examined(store, capsys)
    assert status == 0
    assert {check for check, (level, _) in found.items() if level not in ("ok", "warning")} == set()
    assert {"config", "disk space", "reserve", "filesystem", "index", "packs"} <= set(found)
    assert {"backend d0", "survives", "locks", "mounts", "leftovers", "verified"} <= set(found)


def test_without_a_store_the_machine_is_checked(tmp_path: Path, capsys: Capture) -> None:
    assert run(["doctor", "--store", str(tmp_path / "none")]) == 0
    captured = capsys.readouterr()
    assert "only the machine was checked" in captured.out
    assert "kernel" in captured.out
    assert captured.err == ""
    assert not (tmp_path / "none").exists()


def test_damaged_configuration(store: Path, capsys: Capture) -> None:
    (store / "config.toml").write_text("[store\n")
    status, found = examined(store, capsys)
    assert status == 1
    assert found["config"][0] == "problem"
    assert "is not valid TOML" in found["config"][1]
    assert found["packs"][0] == "ok"


def test_configuration_that_others_may_read(store: Path, capsys: Capture) -> None:
    (store / "config.toml").chmod(0o644)
    assert examined(store, capsys)[1]["config"][0] == "warning"


def test_lost_index(store: Path, capsys: Capture) -> None:
    shutil.rmtree(store / "index")
    status, found = examined(store, capsys)
    assert status == 1
    assert found["index"][0] == "problem"
    assert "packs" not in found  # it would say the same once more
    assert found["backend d0"][0] == "ok"


def test_damaged_index(store: Path, capsys: Capture) -> None:
    (store / "index" / "data.mdb").write_bytes(b"no index" * 4096)
    status, found = examined(store, capsys)
    assert status == 1
    assert found["index"][0] == "problem"
    assert found["backend d0"][0] == "ok"


@pytest.mark.parametrize("size", [8192, 40_000])
def test_an_index_cut_short_ends_no_check_but_its_own(
    size: int, store: Path, capsys: Capture
) -> None:
    os.truncate(store / "index" / "data.mdb", size)
    status, found = examined(store, capsys)
    assert status == 1
    assert found["index"][0] == "problem"
    assert found["backend d0"][0] == "ok"


def test_the_index_of_another_store(store: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(["--store", str(tmp_path / "other"), "init"]) == 0
    capsys.readouterr()
    shutil.copy(tmp_path / "other/index/data.mdb", store / "index/data.mdb")
    status, found = examined(store, capsys)
    assert status == 1
    assert "is the index of store" in found["index"][1]
    assert "rebuild-index" in found["index"][1]


def test_an_index_that_is_almost_full(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Index, "used", lambda _: (900, 1000))
    level, text = only(checks_index.opens(str(store / "index"), str(store)))
    assert level is Level.WARNING
    assert "900 B of 1.00 kB in use" in text


def test_an_index_that_can_only_be_read(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index.open(str(store / "index"))
    monkeypatch.setattr(index, "read_only", "Permission denied")
    assert only(checks_index.opens(str(store / "index"), str(store)))[0] is Level.WARNING
    index.close()


@pytest.mark.parametrize(
    ("kind", "level"), [("ext4", "ok"), ("nfs4", "problem"), ("fuse.sshfs", "problem")]
)
def test_filesystem_of_the_index(
    kind: str, level: str, store: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelfloat.cas.index.networkfs.filesystem_type", lambda _: kind)
    found = examined(store, capsys)[1]["filesystem"]
    assert (found[0], kind in found[1]) == (level, True)


@pytest.mark.parametrize(
    ("states", "word"), [([1], "that parity replaces"), ([1, 2], "more shards than parity")]
)
def test_packs_with_known_damage(
    states: list[int], word: str, store: Path, capsys: Capture
) -> None:
    index = Index.open(str(store / "index"))
    pack = next(pack for pack in index.packs() if pack.k == 2)
    left = [ShardState.GOOD] * (pack.n - len(states))
    index.note_checks([Check(pack.number, (*map(ShardState, states), *left), 1)])
    index.close()
    status, found = examined(store, capsys)
    assert status == 3
    assert found["packs"][0] == "damage"
    assert word in found["packs"][1]
    assert "verify --repair" in found["packs"][1]


def test_when_packs_were_verified(store: Path, capsys: Capture) -> None:
    assert "never read back" in examined(store, capsys)[1]["verified"][1]
    assert run(["verify", "--store", str(store)]) == 0
    capsys.readouterr()
    level, text = examined(store, capsys)[1]["verified"]
    assert (level, "was read back since" in text) == ("ok", True)
    index = Index.open(str(store / "index"))
    for pack in list(index.packs()):
        index.note_checks([Check(pack.number, pack.states, 1)])
    index.close()
    assert examined(store, capsys)[1]["verified"][0] == "warning"


@pytest.mark.parametrize(
    ("free", "expected"),
    [(10_000_000_000, Level.OK), (1_000_000, Level.WARNING), (0, Level.PROBLEM)],
)
def test_disk_space(
    free: int, expected: Level, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(store)
    fields = [1, 1, free, free, free, *real[5:10]]
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    for found in (
        only(checks_store.space(str(store))),
        only(checks_backends.room("backend d0", free, "/d0", "disk")),
    ):
        assert (found[0], "gc --grace 0" in found[1]) == (expected, expected is Level.PROBLEM)


def test_capacities(store: Path, capsys: Capture) -> None:
    assert "capacity" not in examined(store, capsys)[1]
    for size, level, text in (("1GB", "ok", "of 1.00 GB"), ("5000", "warning", "no new shards")):
        assert run(["--store", str(store), "backend", "set", "d0", "--capacity", size]) == 0
        capsys.readouterr()
        found = examined(store, capsys)[1]["capacity"]
        assert (found[0], "d0 holds 1." in found[1], text in found[1]) == (level, True, True)


def test_a_read_only_filesystem(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "small", "1m") as path:
        remount_read_only(path)
        level, text = only(checks_store.space(str(path)))
        assert (level, "mount it writable" in text) == (Level.PROBLEM, True)
        assert only(checks_backends.writable("backend d0", str(path)))[0] is Level.PROBLEM


def test_folders_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    assert only(checks_store.space(str(tmp_path)))[0] is Level.PROBLEM
    assert only(checks_backends.writable("backend d0", str(tmp_path)))[0] is Level.PROBLEM


def test_the_reserve(tmp_path: Path) -> None:
    assert only(checks_store.reserve(str(tmp_path)))[0] is Level.WARNING
    (tmp_path / "reserve").write_bytes(b"1" * 100_000)
    assert only(checks_store.reserve(str(tmp_path)))[0] is Level.OK


def test_leftovers(store: Path, capsys: Capture) -> None:
    (store / "config.toml.0123abcd").touch()
    (store / "backends" / "d1.new").mkdir()
    found = list(checks_store.leftovers(str(store)))
    assert [finding.level for finding in found] == [Level.WARNING] * 2
    upload = store / "backends/d0/tmp/half"
    upload.write_bytes(b"half")
    assert examined(store, capsys)[1]["backend d0"][0] == "ok", "it may be under way"
    os.utime(upload, (time.time() - 7200,) * 2)
    level, text = examined(store, capsys)[1]["backend d0"]
    assert level == "warning"
    assert "1 file (4 B) of interrupted uploads" in text


# Its backends


def test_credentials_are_no_misspelt_settings(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"MODELFLOAT_D0_SECRET_ACCESS_KEY": "hunter2", "MODELFLOAT_WEBDAV_USER": "me"}
    assert only(checks_machine.environment(Settings(str(store), environment=environment)))[0] == (
        Level.OK
    )
    wrong = {"MODELFLOAT_DO_SECRET_ACCESS_KEY": "hunter2"}
    level, text = only(checks_machine.environment(Settings(str(store), environment=wrong)))
    assert level is Level.WARNING
    assert "$MODELFLOAT_DO_SECRET_ACCESS_KEY is no setting of ours" in text
    assert "hunter2" not in text


def test_a_backend_that_is_gone(store: Path, capsys: Capture) -> None:
    shutil.rmtree(store / "backends" / "d1")
    status, found = examined(store, capsys)
    assert status == 1
    level, text = found["backend d1"]
    assert level == "problem"
    assert text.startswith("down: the directory ")
    assert found["backend d0"][0] == "ok"


def test_a_backend_with_the_marker_of_another(store: Path, capsys: Capture) -> None:
    shutil.copy(store / "backends/d0/modelfloat.json", store / "backends/d1/modelfloat.json")
    level, text = examined(store, capsys)[1]["backend d1"]
    assert level == "problem"
    assert "is backend d0" in text


def test_a_backend_without_a_marker(store: Path, capsys: Capture) -> None:
    (store / "backends/d1/modelfloat.json").unlink()
    level, text = examined(store, capsys)[1]["backend d1"]
    assert (level, "is the disk mounted?" in text) == ("problem", True)


def test_no_backend_is_up(store: Path, capsys: Capture) -> None:
    shutil.rmtree(store / "backends")
    status, found = examined(store, capsys)
    assert status == 1
    level, text = found["survives"]
    assert (level, "no backend is up" in text) == ("problem", True)


def test_what_survives_counts_backends_that_are_down(tmp_path: Path, capsys: Capture) -> None:
    store = tmp_path / "six"
    assert run(["--store", str(store), "init", "--erasure", "4+2"]) == 0
    weights(tmp_path / "model")
    assert run(["--store", str(store), "add", str(tmp_path / "model"), "acme/six"]) == 0
    capsys.readouterr()
    told = []
    for down in (None, "d1", "d4", "d5"):
        if down is not None:
            (store / "backends" / down).rename(tmp_path / down)
        told.append(examined(store, capsys)[1]["survives"])
    assert [level for level, _ in told] == ["ok", "ok", "warning", "problem"]
    wanted = ("any 2 of 6", "any 1 of 5", "nothing more may be lost", "cannot be read now")
    assert all(want in text for want, (_, text) in zip(wanted, told, strict=True))
    assert run(["--store", str(store), "stats"]) == 0
    said = capsys.readouterr().out
    assert "more than parity replaces; bring back what is down" in said


def test_a_store_without_parity(tmp_path: Path, capsys: Capture) -> None:
    store = tmp_path / "plain"
    assert run(["--store", str(store), "init", "--erasure", "1+0"]) == 0
    capsys.readouterr()
    level, text = examined(store, capsys)[1]["survives"]
    assert (level, "no parity" in text) == ("warning", True)


# Who uses it


def test_locks_are_known_by_the_device_of_the_superblock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A btrfs subvolume has, for stat, another device than the kernel's tables."""
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/store").touch()
    table = tmp_path / "table"
    inode = (tmp_path / "locks/store").stat().st_ino
    table.write_text(f"1: FLOCK  ADVISORY  WRITE 77 00:ff:{inode} 0 EOF\n")
    real = mountinfo.all_mounts()
    odd = [replace(mount, device="0:255") for mount in real]
    monkeypatch.setattr(mountinfo, "all_mounts", lambda: odd)
    found = checks_use.holders(str(tmp_path / "locks"), str(table))
    assert found == {f"{tmp_path}/locks/store": "pid 77"}


def test_locks_that_are_held(store: Path, capsys: Capture) -> None:
    hold = (
        "import sys, trio; from modelfloat.cas.locks import locked\n"
        "async def main():\n"
        "    async with locked(sys.argv[1], shared=sys.argv[2] == 'shared', what='a test'):\n"
        "        print('held', flush=True); sys.stdin.read()\n"
        "trio.run(main)\n"
    )
    for how in ("shared", "alone"):
        process = subprocess.Popen(
            [sys.executable, "-c", hold, str(store / "locks/store"), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        level, text = examined(store, capsys)[1]["locks"]
        process.communicate()
        assert level == "ok"
        assert f"{store}/locks/store is held by pid {process.pid} on " in text
        assert "(a test)" in text
    assert "nobody holds one" in examined(store, capsys)[1]["locks"][1]


def test_a_stale_socket(store: Path, capsys: Capture) -> None:
    import socket

    (store / "run").mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(store / "run" / "mount-1.sock"))
    level, text = examined(store, capsys)[1]["mounts"]
    assert level == "warning"
    assert "1 socket of dead mounts" in text
    assert os.listdir(store / "run") == []


def living(**changes: Any) -> MountState:
    fields = {"pid": 7, "version": __version__, "mountpoint": "/m", "started_ns": 10**18}
    return MountState(**{**fields, **changes})


@pytest.mark.parametrize(
    ("state", "level", "word"),
    [
        (living(), Level.OK, "pid 7 serves /m since"),
        (living(hidden=True), Level.OK, "serves /m, hidden until its last user leaves, since"),
        (living(index_replaced=True), Level.PROBLEM, "replaced since; unmount it and mount it"),
        (living(version="0.0.1"), Level.WARNING, "it runs release 0.0.1"),
        (living(pid=10**9, problem=SILENT), Level.PROBLEM, "`kill -9 1000000000`"),
        (living(problem="it is newer; upgrade this one"), Level.WARNING, "newer; upgrade this"),
        (living(problem="it cannot be asked: Permission denied"), Level.WARNING, "as the user"),
    ],
)
def test_living_mounts(
    state: MountState, level: Level, word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("modelfloat.fuse.control.mount_states", lambda _: [state])
    found = only(checks_use.sockets(str(tmp_path), []))
    assert (found[0], word in found[1]) == (level, True)


def test_a_daemon_that_was_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            silent = living(pid=process.pid, problem=SILENT)
            monkeypatch.setattr("modelfloat.fuse.control.mount_states", lambda _: [silent])
            assert "-CONT" not in only(checks_use.sockets(str(tmp_path), []))[1]
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            told = only(checks_use.sockets(str(tmp_path), []))[1]
            assert f"it is stopped; `kill -CONT {process.pid}` wakes it" in told
        finally:
            process.kill()


def test_how_a_mount_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = living(device="0:27", note="reads are not passed through")
    monkeypatch.setattr("modelfloat.fuse.control.mount_states", lambda _: [state])
    monkeypatch.setattr("modelfloat.fuse.tuning.told", lambda device: f"of {device} 128 KiB")
    _, found = checks_use.sockets(str(tmp_path), [])
    assert found.text == "of /m of 0:27 128 KiB; reads are not passed through"
    assert found.level is Level.OK


@pytest.mark.parametrize(
    ("life", "word", "end"),
    [
        (Life.DEAD, "is dead", "modelfloat umount /m"),
        (Life.HANGS, "does not answer", "modelfloat umount --lazy /m"),
    ],
)
def test_dead_mounts(life: Life, word: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = Mount("/m", "fuse.modelfloat", "0:1", source="/of%20it")
    monkeypatch.setattr("modelfloat.fuse.mountinfo.mounts", lambda: [mount])
    monkeypatch.setattr("modelfloat.fuse.liveness.life_of", lambda _: life)
    level, text = only(checks_use.dead_mounts("/of it"))
    assert level is Level.PROBLEM
    assert word in text
    assert end in text
    assert ("`modelfloat --store '/of it' mount /m` serves" in text) is (life is Life.DEAD)
    level, text = only(checks_use.dead_mounts("/another"))
    assert (level, "it is of the store /of it" in text) == (Level.WARNING, True)


# The report


def test_it_ends_with_the_last_failed_reads() -> None:
    down = "it is down, `modelfloat doctor` says more; 3 of 6 shards are gone"
    later = ReadError(2 * 10**18, "acme/b", 12, down)
    earlier = ReadError(10**18, "acme/a\n", 11, "chunk 1f is damaged")
    errors = checks_use.read_errors([living(errors=(later,)), living(pid=8, errors=(earlier,))])
    text = doctor.lines("/s", [ok("kernel", "good")], [problem("index", "bad", "mend it")], errors)
    assert text == [
        "machine",
        "  ok       kernel  good",
        "",
        "store /s",
        "  problem  index   bad",
        "                   → mend it",
        "",
        "last failed reads of its mounts",
        f"  {human_time(10**18)}  acme/a, pid 11: chunk 1f is damaged",
        f"  {human_time(2 * 10**18)}  acme/b, pid 12: it is down; 3 of 6 shards are gone",
        "",
        "1 problem, 0 warnings",
    ]


def test_all_is_well() -> None:
    assert doctor.lines("/s", [ok("a", "b")], [ok("c", "d")], [])[-1] == "all is well"


def test_shards_are_not_touched(store: Path, capsys: Capture) -> None:
    before = {path: path.stat().st_mtime_ns for path in shard_files(store)}
    examined(store, capsys)
    assert {path: path.stat().st_mtime_ns for path in shard_files(store)} == before
