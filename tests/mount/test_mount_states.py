"""What other commands learn of a mount that serves: open files, failed reads, hangs."""

import os
import signal
from pathlib import Path

import pytest

from modelfloat.fuse import control
from modelfloat.fuse.control import mount_states
from modelfloat.tests.support.mounted import mounted, needs_fuse
from modelfloat.tests.support.shelf import Shelf
from modelfloat.version import __version__

pytestmark = [pytest.mark.mount, needs_fuse]


def test_open_files_and_failed_reads(
    shelf: Shelf, shelf_folder: Path, mountpoint: Path, binding: str
) -> None:
    shelf.commit("acme/llama", {"v": b"content", "lost": b"lost"})
    shelf.lose(b"lost")
    store = str(shelf_folder)
    with mounted(shelf_folder, mountpoint) as daemon:
        with (mountpoint / "acme" / "llama" / "v").open("rb") as file:
            (state,) = mount_states(store)
            assert file.read() == b"content"
        assert (state.pid, state.version) == (daemon.process.pid, __version__)
        assert (state.mountpoint, state.problem) == (str(mountpoint), "")
        assert state.binding == binding
        (opened,) = state.open
        assert (opened.name, opened.pids) == ("acme/llama/v", (os.getpid(),))
        assert state.errors == ()
        with pytest.raises(OSError):
            (mountpoint / "acme" / "llama" / "lost").read_bytes()
        (state,) = mount_states(store)
        (error,) = state.errors
        assert (error.file, error.pid) == ("acme/llama/lost", os.getpid())
        assert "is gone" in error.cause
    assert mount_states(store) == []


def test_several_mounts_of_one_store_and_a_dead_one(
    shelf: Shelf, shelf_folder: Path, mountpoint: Path
) -> None:
    shelf.commit("acme/llama", {"v": b"content"})
    others = [mountpoint.with_name(name) for name in ("second", "third")]
    with (
        mounted(shelf_folder, mountpoint) as first,
        mounted(shelf_folder, others[0]) as second,
        mounted(shelf_folder, others[1]) as third,
    ):
        states = mount_states(str(shelf_folder))
        daemons = {d.process.pid: str(d.mountpoint) for d in (first, second, third)}
        assert {state.pid: state.mountpoint for state in states} == daemons
        third.signal(signal.SIGKILL)
        states = mount_states(str(shelf_folder))
        assert {state.pid for state in states} == {first.process.pid, second.process.pid}
        assert len(os.listdir(shelf_folder / "run")) == 2


def test_a_daemon_that_is_stopped_hangs_nobody(
    shelf: Shelf, shelf_folder: Path, mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.3)
    shelf.commit("acme/llama", {"v": b"content"})
    with mounted(shelf_folder, mountpoint) as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, daemon.process.pid, os.WSTOPPED | os.WNOWAIT)
        (state,) = mount_states(str(shelf_folder))
        daemon.process.send_signal(signal.SIGCONT)
        assert (state.pid, state.problem) == (daemon.process.pid, "it does not answer")


def test_a_mount_of_a_replaced_index_says_so(
    shelf: Shelf, shelf_folder: Path, mountpoint: Path
) -> None:
    shelf.commit("acme/llama", {"v": b"content"})
    index, other = shelf_folder / "index", shelf_folder / "another"
    index.mkdir(exist_ok=True)
    (index / "data.mdb").touch()
    with mounted(shelf_folder, mountpoint):
        (state,) = mount_states(str(shelf_folder))
        assert not state.index_replaced
        other.write_bytes((index / "data.mdb").read_bytes())
        other.replace(index / "data.mdb")
        (state,) = mount_states(str(shelf_folder))
        assert state.index_replaced
