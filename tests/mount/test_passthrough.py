"""Files that the kernel reads without us, as it does for root from Linux 6.9 on."""

import mmap
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.bindings import KERNEL
from modelfloat.fuse.control import mount_states
from modelfloat.tests.support.mounted import Daemon, mounted, needs_fuse
from modelfloat.tests.support.shelf import CHUNK, PASSED, Shelf
from modelfloat.tests.support.sources import noise
from modelfloat.tests.support.waiting import until

RELEASE = re.match(r"(\d+)\.(\d+)", os.uname().release)
pytestmark = [
    pytest.mark.mount,
    needs_fuse,
    pytest.mark.skipif(
        os.geteuid() != 0 or RELEASE is None or (int(RELEASE[1]), int(RELEASE[2])) < (6, 9),
        reason="the kernel passes nothing through: that takes root, and Linux 6.9",
    ),
]

BIG = noise(8, 3 * CHUNK + 7)
SMALL = b"content"


@pytest.fixture
def daemon(shelf: Shelf, shelf_folder: Path, mountpoint: Path, binding: str) -> Iterator[Daemon]:
    if binding != KERNEL:
        pytest.skip("libfuse, as pyfuse3 has it, passes nothing through")
    shelf.commit("acme/llama", {"big": BIG, "small": SMALL})
    (shelf_folder / PASSED).touch()
    with mounted(shelf_folder, mountpoint) as daemon:
        yield daemon


@pytest.fixture
def big(daemon: Daemon) -> Path:
    return daemon.mountpoint / "acme" / "llama" / "big"


def reads(daemon: Daemon) -> int:
    """Requests to read that reached us since this was asked last."""
    counts = daemon.counts()
    return counts["read"] + counts["read_at_once"]


def until_released(daemon: Daemon, files: int) -> "Counter[str]":
    """Wait until so many open files have ended for us: the kernel tells some time after it. What
    came meanwhile, by kind."""
    seen = Counter[str]()

    def over() -> bool:
        seen.update(daemon.counts())
        return seen["release"] >= files

    until(over)
    return seen


def test_no_read_reaches_us(daemon: Daemon, big: Path) -> None:
    reads(daemon)
    assert big.read_bytes() == BIG
    assert (big.parent / "small").read_bytes() == SMALL
    with big.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    assert view[:] == BIG  # it outlives the file's closing
    fd = os.open(big, os.O_RDONLY)
    assert os.pread(fd, 100, len(BIG) - 7) == BIG[-7:]
    assert os.pread(fd, 100, len(BIG)) == b""
    os.close(fd)
    assert reads(daemon) == 0


def test_all_that_is_open_of_a_file_is_open_alike(
    daemon: Daemon, shelf_folder: Path, big: Path
) -> None:
    (shelf_folder / PASSED).unlink()
    cached = big.open("rb", buffering=0)
    (shelf_folder / PASSED).touch()
    with cached, big.open("rb") as second:
        assert cached.read(10) == BIG[:10]
        assert second.read() == BIG
    seen = until_released(daemon, 2)
    assert seen["read"] + seen["read_at_once"] > 0
    passed = big.open("rb", buffering=0)
    (shelf_folder / PASSED).unlink()
    with passed, big.open("rb") as second:
        assert passed.read(10) == BIG[:10]
        assert second.read() == BIG
    assert reads(daemon) == 0
    assert big.read_bytes() == BIG  # from the pages that the kernel had cached of it, or from us


def test_what_is_evicted_is_read_to_its_end(daemon: Daemon, shelf_folder: Path, big: Path) -> None:
    with big.open("rb", buffering=0) as file:
        assert file.read(10) == BIG[:10]
        for content in (shelf_folder / "content").iterdir():
            if content.stat().st_size == len(BIG):
                content.rename(shelf_folder / "elsewhere")
        (shelf_folder / "elsewhere").unlink()
        assert os.pread(file.fileno(), len(BIG), 0) == BIG
    until_released(daemon, 1)
    with pytest.raises(OSError), big.open("rb") as file:
        file.read()


def test_a_direct_read(daemon: Daemon, big: Path) -> None:
    fd = os.open(big, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, 1 << 20)
    assert os.preadv(fd, [buffer], 0) == 1 << 20
    os.close(fd)
    assert buffer[:] == BIG[: 1 << 20]


def test_opened_and_closed_by_many_while_it_comes_and_goes(
    daemon: Daemon, shelf_folder: Path, big: Path
) -> None:
    """Never do two ways of opening meet in the kernel, which would be an I/O error."""
    failures: list[object] = []

    def use(seed: int) -> None:
        try:
            for i in range(60):
                with big.open("rb", buffering=0) as file:
                    at = (seed * 7919 + i * 104729) % CHUNK
                    if os.pread(file.fileno(), 100, at) != BIG[at : at + 100]:
                        failures.append(at)
        except OSError as error:
            failures.append(error)

    crowd = [threading.Thread(target=use, args=(seed,)) for seed in range(8)]
    for thread in crowd:
        thread.start()
    flag = shelf_folder / PASSED
    while any(thread.is_alive() for thread in crowd):
        flag.unlink(missing_ok=True)
        crowd[0].join(0.005)
        flag.touch()
        crowd[1].join(0.005)
    assert failures == []
    assert "ERROR" not in daemon.log()


def test_it_is_counted(daemon: Daemon, shelf_folder: Path, big: Path) -> None:
    assert len(big.read_bytes()) > 0
    (state,) = mount_states(str(shelf_folder))
    assert state.reads is not None
    counts = state.reads.figures.counts
    assert (counts.opened, counts.passed_through, counts.requests) == (1, 1, 0)


def test_it_is_told(daemon: Daemon) -> None:
    assert "the kernel reads by itself what lies whole in the disk cache" in daemon.log()
