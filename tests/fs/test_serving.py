"""The daemon's course around a binding that is a stand-in: ready, signals, the way out."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from modelfloat.errors import UnsupportedError
from modelfloat.fuse import mounting
from modelfloat.fuse.mounting import GRACE, MountOptions, load_binding, serve
from modelfloat.fuse.operations import Operations
from modelfloat.tests.support.shelf import Shelf


class Recorder:
    """A binding and its one session; `hangs` has it ignore that it is asked to stop."""

    name = "recorder"
    note = "it is a stand-in"

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs = hangs
        self.options: frozenset[str] = frozenset()
        self.course: list[str] = []
        self.ended = trio.Event()

    def mount(self, operations: Operations, path: str, options: frozenset[str]) -> "Recorder":
        self.course.append("mount")
        self.options = options
        return self

    async def run(self) -> None:
        if self.hangs:
            await trio.sleep_forever()
        await self.ended.wait()
        self.course.append("ran")

    def stop(self) -> None:
        self.course.append("stop")
        self.ended.set()

    def close(self) -> None:
        self.course.append("close")


@pytest.fixture(autouse=True)
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounting, "check_machine", lambda *, allow_other: None)


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to mount on, outside of the store."""
    return tmp_path_factory.mktemp("place")


async def run(shelf: Shelf, path: Path, binding: Recorder, *, told: bool) -> None:
    """Serve, and as soon as the mount is ready end it: by SIGTERM, or by unmounting."""

    def ready() -> None:
        binding.course.append("ready")
        if told:
            signal.raise_signal(signal.SIGTERM)
        else:
            binding.ended.set()

    await serve(shelf, str(path), MountOptions(), ready, binding=binding)


async def test_a_mount_that_is_unmounted(shelf: Shelf, place: Path) -> None:
    binding = Recorder()
    await run(shelf, place, binding, told=False)
    assert binding.course == ["mount", "ready", "ran", "close"]


async def test_a_mount_that_is_told_to_end(shelf: Shelf, place: Path) -> None:
    binding = Recorder()
    await run(shelf, place, binding, told=True)
    assert binding.course == ["mount", "ready", "stop", "ran", "close"]


async def test_requests_that_hang_do_not_keep_it(
    shelf: Shelf, place: Path, autojump_clock: MockClock
) -> None:
    binding = Recorder(hangs=True)
    started = trio.current_time()
    await run(shelf, place, binding, told=True)
    assert binding.course == ["mount", "ready", "stop", "close"]
    assert trio.current_time() - started >= GRACE


async def test_a_mount_is_closed_whatever_fails(shelf: Shelf, place: Path) -> None:
    binding = Recorder(hangs=True)

    def fail() -> None:
        raise BrokenPipeError

    with pytest.raises(ExceptionGroup) as caught:
        await serve(shelf, str(place), MountOptions(), fail, binding=binding)
    assert caught.group_contains(BrokenPipeError)
    assert binding.course == ["mount", "close"]


@pytest.mark.parametrize("others", [False, True])
async def test_options(shelf: Shelf, place: Path, others: bool) -> None:
    binding = Recorder()
    options = MountOptions(allow_other=others)
    await serve(shelf, str(place), options, binding.ended.set, binding=binding)
    assert {
        "ro",
        "default_permissions",
        f"fsname={shelf.path}",
        "subtype=modelfloat",
    } < binding.options
    assert ("allow_other" in binding.options) == others


def test_without_pyfuse3_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "modelfloat.fuse.pyfuse3_binding", raising=False)
    monkeypatch.delattr("modelfloat.fuse.pyfuse3_binding", raising=False)
    monkeypatch.setitem(sys.modules, "pyfuse3", None)
    with pytest.raises(UnsupportedError, match="install `fuse3`"):
        load_binding("pyfuse3")


def test_only_a_mount_needs_pyfuse3() -> None:
    program = (
        "import sys, modelfloat.fuse.mounting, modelfloat.fuse.operations\n"
        "sys.exit('pyfuse3' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
