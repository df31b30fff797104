"""Disks that really are full or read-only, under add and verify --repair."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.tests.support.namespaces import Namespace, as_root
from modelfloat.tests.support.samples import noise

pytestmark = as_root

Result = tuple[int, str, str]
DISKS = ("d0", "d1", "d2")


class Machine:
    """A store of 2+1 over three disks of their own, in a mount namespace."""

    def __init__(self, folder: Path, space: Namespace) -> None:
        self.folder = folder
        self.space = space
        for name in DISKS:
            (folder / name).mkdir()
            self.sh(f"mount -t tmpfs -o size=8m tmpfs {folder / name}")
        backends = [f"--backend={name}={folder / name}" for name in DISKS]
        assert self("init", "--erasure", "2+1", *backends)[0] == 0

    def sh(self, script: str) -> str:
        done = self.space.sh(script)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def __call__(self, *arguments: object) -> Result:
        """Run our program: its exit status, output and complaints."""
        done = self.space.run(
            "env",
            "MODELFLOAT_AUTHOR=Ada",
            sys.executable,
            "-m",
            "modelfloat.cli.main",
            "--store",
            self.folder / "store",
            *arguments,
        )
        complaints = [line for line in done.stderr.splitlines() if ": warning: " not in line]
        return done.returncode, done.stdout, "\n".join(complaints)

    def add(self, name: str) -> Result:
        return self("add", self.folder / name, "acme/model")

    def reads(self, name: str) -> None:
        """That a file is there and as it was."""
        path = self.folder / "out"
        assert self("get", f"acme/model/{name}", path)[0] == 0
        assert path.read_bytes() == (self.folder / name).read_bytes()
        path.unlink()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    for name, size in (("old", 1_500_000), ("new", 3_000_000)):
        (tmp_path / name).write_bytes(noise(name, size))
    with Namespace() as space:
        found = Machine(tmp_path, space)
        assert found.add("old")[0] == 0
        yield found


def fill(machine: Machine, *disks: str) -> None:
    for name in disks:
        machine.sh(f"cat /dev/zero > {machine.folder / name}/filler 2> /dev/null || true")


def clear(machine: Machine, *disks: str) -> None:
    for name in disks:
        machine.sh(f"rm {machine.folder / name}/filler")


def test_all_disks_are_full(machine: Machine) -> None:
    fill(machine, *DISKS)
    status, _, said = machine.add("new")
    assert (status, said.count("\n")) == (1, 0)
    assert said.startswith("modelfloat: ")
    machine.reads("old")
    assert machine("cat", "acme/model/new")[0] == 1
    clear(machine, *DISKS)
    assert machine.add("new")[0] == 0
    machine.reads("new")
    assert machine("verify")[0] == 0


@pytest.mark.slow
def test_a_repair_meets_a_full_disk(machine: Machine) -> None:
    folder = machine.folder / "d0"
    lost = machine.sh(f"find {folder}/packs -name '*-2-1'").split()
    machine.sh(f"rm {' '.join(lost)}")
    fill(machine, *DISKS)
    status, out, _ = machine("verify", "--repair")
    assert status == 3
    assert "cannot be written: backend d" in out
    assert "repaired in part" in out
    machine.reads("old")
    clear(machine, *DISKS)
    status, out, _ = machine("verify", "--repair")
    assert (status, "all repaired" in out) == (3, True)
    assert machine("verify")[0] == 0


def test_read_only_disks(machine: Machine) -> None:
    for name in DISKS:
        machine.sh(f"mount -o remount,ro {machine.folder / name}")
    status, _, said = machine.add("new")
    assert (status, said.count("\n")) == (1, 0)
    assert "backend d" in said
    assert "Read-only file system" in said
    assert str(machine.folder) in said or "packs/" in said or "sessions/" in said
    machine.reads("old")
    assert machine("verify")[0] == 0
    for name in DISKS:
        machine.sh(f"mount -o remount,rw {machine.folder / name}")
    assert machine.add("new")[0] == 0
    machine.reads("new")


@pytest.mark.slow
def test_one_disk_is_read_only(machine: Machine) -> None:
    """A bind mount that may not be written: its shards go to the others, as far as they may."""
    here = machine.folder / "d0"
    machine.sh(f"mount --bind {here} {here} && mount -o remount,ro,bind {here}")
    status, _, said = machine.add("new")
    assert status in (0, 1)
    if status:
        assert "backend d0" in said
    machine.reads("old")
    machine.sh(f"umount {here}")
    assert machine.add("new")[0] == 0
    machine.reads("new")
    assert machine("verify", "--repair")[0] in (0, 3)
    assert machine("verify")[0] == 0


@pytest.mark.slow
def test_the_disk_of_the_index_is_read_only(machine: Machine) -> None:
    here = machine.folder / "store"
    machine.sh(f"mount --bind {here} {here} && mount -o remount,ro,bind {here}")
    for command in (["verify", "--repair"], ["add", machine.folder / "new", "acme/model"]):
        status, _, said = machine(*command)
        assert (status, said.count("\n")) == (1, 0)
        assert str(here) in said
    machine.reads("old")
    assert machine("verify")[0] == 0
