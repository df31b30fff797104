"""A mount in the background: where its log lies, and that its failures are told. Needs no FUSE."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from modelfloat.cas.read.options import ReadOptions
from modelfloat.cli import background
from modelfloat.cli.main import run
from modelfloat.cli.mount import log_path
from modelfloat.cli.mountrequest import MountRequest
from modelfloat.cli.settings import Flags, resolve
from modelfloat.fuse.mountoptions import MountOptions


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/models", "mount-models.log"),
        ("/srv/my models/ä", "mount-srv-my-models.log"),
        ("/", "mount-root.log"),
        ("/" + "a/" * 200 + "end", "mount-" + "-".join(["a"] * 48) + "-end.log"),
    ],
)
def test_log_path(path: str, name: str) -> None:
    assert log_path("/store", path) == f"/store/log/{name}"


@pytest.mark.parametrize("wait", [True, False])
def test_the_daemon_waits_for_locks_as_it_was_told(wait: bool) -> None:
    asked = MountRequest("/m", MountOptions(), "kernel", 0.5, "off")
    arguments = asked.arguments(resolve(Flags(wait=wait), {}))
    assert ("--wait" in arguments, "--no-wait" in arguments) == (wait, not wait)


def test_the_daemon_is_told_what_was_found_out() -> None:
    options = MountOptions(allow_other=True, uid=3, gid=4, umask=0o27)
    asked = MountRequest("/m", options, "pyfuse3", 1e-7, "[::1]:9100", ReadOptions(10**8))
    arguments = asked.arguments(resolve(Flags(), {}))
    assert arguments[-1] == "/m"
    assert {"--uid=3", "--gid=4", "--umask=27", "--allow-other"} <= {*arguments}
    assert {
        "--binding=pyfuse3",
        "--slow-read=0.000000",
        "--memory=100000000",
        "--metrics=[::1]:9100",
        "--refresh=10.000000",
    } <= {*arguments}


def test_a_store_that_cannot_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, folder = tmp_path / "store", tmp_path / "models"
    assert run(["--store", str(store), "init"]) == 0
    shutil.rmtree(store / "index")
    capsys.readouterr()
    assert run(["--store", str(store), "mount", str(folder)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("modelfloat: no index at ")
    assert captured.err.count("\n") == 1
    (line,) = Path(log_path(str(store), str(folder))).read_text().splitlines()
    told = captured.err.removeprefix("modelfloat: ").rstrip()
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d [0-9:,]+ error: {re.escape(told)}", line)


def test_no_store_makes_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--store", str(tmp_path / "store"), "mount", str(tmp_path / "models")]) == 1
    assert "there is no store" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_long_log_gives_way_to_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LONGEST", 10)
    path = tmp_path / "log" / "mount-m.log"

    def write(text: str) -> list[str]:
        log = background.open_log(str(path))
        os.write(log, text.encode())
        os.close(log)
        return [file.read_text() for file in sorted(path.parent.iterdir())]

    assert write("first 1234") == ["first 1234"]
    assert write("+") == ["first 1234+"]
    assert write("second 1234") == ["second 1234", "first 1234+"]
    assert write("third 12345") == ["third 12345", "second 1234", "first 1234+"]
    assert write("fourth") == ["fourth", "third 12345", "second 1234"]


def test_a_log_is_kept_short_while_the_daemon_runs(tmp_path: Path) -> None:
    """Equal lines are told once in a while; other ones go on in a new file when there are many."""
    path = tmp_path / "log" / "mount-m.log"
    program = textwrap.dedent(
        f"""
        import logging, os
        from modelfloat.cli import background
        from modelfloat.cli.boundedlog import keep_short
        background.LONGEST = 1000
        log = background.open_log({str(path)!r})
        os.dup2(log, 1), os.dup2(log, 2)
        logger = logging.getLogger("modelfloat")
        logger.addHandler(logging.StreamHandler())
        keep_short({str(path)!r})
        for number in range(100):
            logger.error("read of x by pid %d failed", number)
        for number in range(100):
            logger.error("line %d, which is not the one before", number)
        """
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    logs = [file.read_text() for file in sorted(path.parent.iterdir())]
    assert len(logs) == 3
    assert max(map(len, logs)) < 1200
    assert logs[0].endswith("line 99, which is not the one before\n")
    assert "".join(logs).count("failed") <= 1


def test_what_libfuse_said_is_told_with_the_failure(tmp_path: Path) -> None:
    program = (
        "import sys; sys.stderr.write('fusermount3: user has no write access to mountpoint\\n"
        "modelfloat: mounting on /srv was refused\\n'); sys.exit(1)"
    )
    path = tmp_path / "log"
    with path.open("a+b") as log:
        subprocess.run([sys.executable, "-c", program], stderr=log, check=False, timeout=60)
        assert background._last_words(log.fileno(), 0) == (
            "mounting on /srv was refused (fusermount3: user has no write access to mountpoint)"
        )
