"""Standard streams that are closed, full or narrow, and a program that is interrupted."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfloat.tests.support.command import modelfloat

FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one directory that holds acme/tiny/file."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "file").write_bytes(bytes(range(256)) * 4096)
    assert modelfloat("--store", folder / "store", "init").returncode == 0
    added = modelfloat("--store", folder / "store", "add", folder / "file", "acme/tiny")
    assert added.returncode == 0, added.stderr
    return folder / "store"


def shell(script: str, store: Path) -> "subprocess.CompletedProcess[str]":
    """Run a line of shell in which `$M` is the program."""
    program = f"{sys.executable} -m modelfloat.cli.main --store {store}"
    return subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "M": program},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["ls", "ls --json", "stats", "cat acme/tiny/file"])
@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_full_device_is_told_once(command: str, store: Path) -> None:
    done = shell(f"$M {command} >/dev/full", store)
    assert done.returncode == 1
    assert done.stderr == (
        "modelfloat: standard output: No space left on device; free some space there\n"
    )


@pytest.mark.parametrize("command", ["ls", "cat acme/tiny/file"])
def test_a_closed_output_is_told_once(command: str, store: Path) -> None:
    done = shell(f"$M {command} >&-", store)
    assert done.returncode == 1
    assert done.stderr == "modelfloat: standard output: Bad file descriptor; write it elsewhere\n"


def test_a_closed_input_and_a_closed_stderr_harm_nothing(store: Path) -> None:
    done = shell("$M ls <&-", store)
    assert (done.returncode, done.stderr) == (0, "")
    assert "acme/tiny" in done.stdout
    assert shell("$M ls nothing/there 2>&-", store).returncode == 1
    assert shell("$M verify <&- 2>&-", store).returncode == 0


def test_a_reader_that_went_away(store: Path) -> None:
    done = shell("$M cat acme/tiny/file | head -c 0; echo ${PIPESTATUS[0]} >&2", store)
    assert done.stderr == "141\n"


@pytest.mark.parametrize("columns", ["1", "10", "20"])
def test_a_very_narrow_terminal(columns: str, store: Path) -> None:
    for command in ("--help", "add --help", "ls", "stats", "config"):
        done = shell(f"COLUMNS={columns} $M {command}", store)
        assert (done.returncode, done.stderr) == (0, ""), command


def test_a_terminal_that_knows_ascii_only(store: Path, tmp_path: Path) -> None:
    (tmp_path / "Größe").write_bytes(b"x")
    script = f"export LC_ALL=C PYTHONUTF8=0; $M add {tmp_path}/Gr* acme/ascii; $M ls acme/ascii"
    done = shell(script, store)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    done = shell("LC_ALL=C PYTHONUTF8=0 PYTHONIOENCODING=ascii $M ls acme/ascii", store)
    assert (done.returncode, done.stdout) == (0, "Gr\\xf6\\xdfe\n")


def test_without_a_home_folder_the_store_that_is_named_is_used(store: Path) -> None:
    done = shell("unset HOME; $M ls", store)
    assert (done.returncode, done.stderr) == (0, "")


def _interrupted(start: Callable[[], "subprocess.Popen[str]"]) -> "tuple[int, str]":
    process = start()
    assert process.stderr is not None
    # It waits for a lock that we hold, and says so: then it is surely in the middle of its work.
    line = process.stderr.readline()
    assert "waiting for" in line
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    return process.returncode, rest


def test_ctrl_c_is_one_word_and_status_130(store: Path, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "new").write_bytes(b"new")
    command = [sys.executable, "-m", "modelfloat.cli.main", "--store", str(store)]

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*command, "add", str(tmp_path / "new"), "acme/new"],
            stderr=subprocess.PIPE,
            text=True,
            # Who was started in the background may have been told to ignore it, and hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    with open(store / "locks" / "store", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, said = _interrupted(start)
    assert (status, said) == (
        130,
        "modelfloat: interrupted; repeat the command, it goes on where it was\n",
    )


def test_a_lost_backend_is_warned_of_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    store = ("--store", tmp_path / "store")
    assert modelfloat(*store, "init", "--erasure", "2+1").returncode == 0
    assert modelfloat(*store, "add", tmp_path / "file", "acme/tiny").returncode == 0
    shutil.rmtree(tmp_path / "store" / "backends" / "d1")
    done = modelfloat(*store, "verify", "--repair")
    assert done.returncode == 3
    assert not done.stderr, "the result says it"
    assert "d1: was lost, and was made anew" in done.stdout


def test_quiet_add_prints_the_commit_and_nothing_else(store: Path, tmp_path: Path) -> None:
    (tmp_path / "quiet").write_bytes(b"quiet")
    arguments = ("--store", store, "--quiet", "add", tmp_path / "quiet", "acme/quiet")
    first, again = modelfloat(*arguments), modelfloat(*arguments)
    assert (first.returncode, first.stderr, len(bytes.fromhex(first.stdout))) == (0, "", 32)
    assert (again.returncode, again.stderr, again.stdout) == (0, "", "")
