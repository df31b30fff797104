"""What is in deploy/: units that systemd accepts, and a program that mount(8) can call."""

import contextlib
import mmap
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.checkout import ROOT
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounted import PATIENCE, needs_fuse, sweep
from modelfloat.tests.support.namespaces import Namespace, as_root

pytestmark = [pytest.mark.mount, needs_fuse]

DEPLOY = ROOT / "deploy"
PROGRAM = Path(sys.executable).parent / "modelfloat"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = tmp_path / "the store"
    (tmp_path / "file").write_bytes(b"content")
    assert modelfloat("--store", store, "init").returncode == 0
    assert modelfloat("--store", store, "add", tmp_path / "file", "acme/tiny").returncode == 0
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "models"
    sweep(tmp_path)


@pytest.mark.parametrize(
    "unit", ["modelfloat@.service", "modelfloat.user.service", "modelfloat-scrub@.service"]
)
def test_systemd_accepts_the_units(unit: str, tmp_path: Path) -> None:
    text = (DEPLOY / unit).read_text()
    for program in ("/usr/local/bin/modelfloat", "%h/.local/bin/modelfloat"):
        text = text.replace(program, str(PROGRAM))
    copy = tmp_path / unit.replace("@", "@main")
    copy.write_text(text)
    _verify(copy)


def test_systemd_accepts_the_timer(tmp_path: Path) -> None:
    for kind in ("service", "timer"):
        text = (DEPLOY / f"modelfloat-scrub@.{kind}").read_text()
        copy = tmp_path / f"modelfloat-scrub@main.{kind}"
        copy.write_text(text.replace("/usr/local/bin/modelfloat", str(PROGRAM)))
    _verify(copy)


def _verify(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_how_it_is(
    store: Path, folder: Path, tmp_path: Path, abstract: bool
) -> None:
    address = f"@modelfloat-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.settimeout(PATIENCE)
        server.bind(address.replace("@", "\0", 1) if abstract else address)
        command = [PROGRAM, "--store", store, "mount", "--foreground", folder]
        environment = os.environ | {"NOTIFY_SOCKET": address}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
            ready = server.recv(1000).decode().splitlines()
            assert ready == ["READY=1", f"STATUS=mounted on {folder}"]
            assert (folder / "acme" / "tiny" / "file").read_bytes() == b"content"
            process.terminate()
            assert server.recv(1000) == b"STOPPING=1"
            assert process.wait(PATIENCE) == 0
    assert mount_at(str(folder)) is None


def helper(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [str(DEPLOY / "mount.modelfloat"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_called_as_mount_calls_it(store: Path, folder: Path) -> None:
    options = f"rw,nofail,x-systemd.automount,uid=1234,gid=2345,umask=027,command={PROGRAM}"
    done = helper(store, folder, "-n", "-o", options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = (folder / "acme" / "tiny" / "file").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1234, 2345, 0o440)
    again = helper(store, folder, "-o", f"command={PROGRAM}")
    assert again.returncode == 32
    assert "is mounted on" in again.stderr
    assert modelfloat("umount", folder).returncode == 0


def test_every_option_of_mount_can_stand_in_fstab(tmp_path: Path) -> None:
    """A program in the place of ours tells what it is called with."""
    program = tmp_path / "told"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\n')
    program.chmod(0o755)
    texts = ("binding", "memory", "cache", "cache_size", "slow_read", "metrics")
    texts += ("uid", "gid", "umask", "key_file", "passphrase_file")
    switches = ("allow_other", "cache_local", "warm_sets")
    for no, dashes in (("", "--"), ("no", "--no-")):
        given = [f"{key}=x{i}" for i, key in enumerate(texts)] + [no + key for key in switches]
        done = helper("/store", "/dir", "-o", ",".join([*given, f"command={program}"]))
        assert (done.returncode, done.stderr) == (0, "")
        arguments = (tmp_path / "arguments").read_text().splitlines()
        wanted = [f"--{key.replace('_', '-')}=x{i}" for i, key in enumerate(texts)]
        wanted += [dashes + key.replace("_", "-") for key in switches]
        assert arguments == ["--store", "/store", "mount", "/dir", *wanted, "--quiet"]
    readme = (DEPLOY / "README.md").read_text()
    for option in [f"{key}=" for key in texts] + [*switches, *(f"no{key}" for key in switches)]:
        assert f"`{option}`" in readme, option


def test_what_mount_knows_of_every_filesystem(store: Path, folder: Path) -> None:
    others = "sync,dirsync,diratime,iversion,silent,strictatime,_netdev,noauto"
    done = helper(store, folder, "-o", f"{others},command={PROGRAM}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert modelfloat("umount", folder).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change a mount")
def test_noexec_holds_where_it_is_asked_for(store: Path, folder: Path) -> None:
    """Files show without x, so what is left to forbid is mapping them as code."""
    for option in ("noexec,", ""):
        done = helper(store, folder, "-o", f"{option}command={PROGRAM}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        (line,) = [
            line
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if f" {folder} " in line
        ]
        flags = line.split()[5].split(",")
        assert {"ro", "nosuid", "nodev", "noatime"} <= set(flags)
        assert ("noexec" in flags) == bool(option)
        with (folder / "acme" / "tiny" / "file").open("rb") as file:
            code = mmap.PROT_READ | mmap.PROT_EXEC
            with pytest.raises(PermissionError) if option else contextlib.nullcontext():
                mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, code).close()
        assert modelfloat("umount", folder).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("-o", "nonsense"), 1, "there is no option nonsense"),
        (("-o", "umask=99"), 32, "--umask 99"),
        (("-o", "remount,ro"), 32, "cannot be remounted"),
        (("-x",), 1, "usage: "),
        (("-s", "-f", "-o", "nonsense,*"), 0, ""),
        (("-o", "command=/no/such"), 1, "there is no /no/such"),
    ],
)
def test_what_it_refuses(
    store: Path, folder: Path, arguments: tuple[str, ...], status: int, word: str
) -> None:
    if arguments[-1].startswith("umask"):
        arguments = ("-o", f"{arguments[-1]},command={PROGRAM}")
    done = helper(store, folder, *arguments)
    assert done.returncode == status
    assert word in done.stderr
    assert done.stderr.count("\n") == bool(word)
    assert mount_at(str(folder)) is None


@as_root
def test_mount_finds_it_by_fstab(store: Path, folder: Path, tmp_path: Path) -> None:
    """In a namespace of its own, where the program lies in /sbin and fstab has the line."""
    folder.mkdir()
    (tmp_path / "sbin").mkdir()
    shutil.copy(DEPLOY / "mount.modelfloat", tmp_path / "sbin")
    source = str(store).replace(" ", "\\040")
    (tmp_path / "fstab").write_text(f"{source} {folder} modelfloat command={PROGRAM},umask=0 0 0\n")
    script = f"""
    sbin=$(readlink -f /sbin)
    mount -t overlay overlay -o lowerdir={tmp_path}/sbin:$sbin $sbin || exit 77
    mount --bind {tmp_path}/fstab /etc/fstab
    mount {folder} || exit 1
    findmnt -n -o FSTYPE,SOURCE {folder}
    cat {folder}/acme/tiny/file; echo
    umount {folder}
    mount -t modelfloat '{store}' {folder} -o command={PROGRAM} && umount {folder}
    """
    with Namespace() as namespace:
        done = namespace.sh(script)
    if done.returncode == 77:
        pytest.skip("this kernel has no overlayfs")
    assert (done.returncode, done.stderr) == (0, "")
    shown, content = done.stdout.splitlines()
    assert shown.split(maxsplit=1) == ["fuse.modelfloat", str(store)]
    assert content == "content"
