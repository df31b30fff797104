"""What is passed through: how the files of one inode are opened together, and let go."""

import errno
import logging
import os
from collections.abc import Callable

import pytest

from modelfloat.fuse import devfuse, passthrough
from modelfloat.fuse.handles import Handle
from modelfloat.fuse.passthrough import Passthrough
from modelfloat.fuse.protocol import Feature
from modelfloat.ids import Inode

FILE, OTHER = Inode(10), Inode(11)


class Kernel:
    """The two calls of the kernel. `refuses` is what the first one fails with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.refuses = 0

    def open_backing(self, _device: int, file: int) -> int:
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        self.calls.append(("open", file))
        return file + 100

    def close_backing(self, _device: int, backing: int) -> None:
        self.calls.append(("close", backing))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(devfuse, "open_backing", kernel.open_backing)
    monkeypatch.setattr(devfuse, "close_backing", kernel.close_backing)
    monkeypatch.setattr(passthrough.os, "geteuid", lambda: 0)
    return kernel


@pytest.fixture
def able(kernel: Kernel) -> Passthrough:
    found = Passthrough(3)
    assert found.wanted(int(Feature.PASSTHROUGH)) == Feature.PASSTHROUGH | Feature.INIT_EXT
    return found


def lies_in(descriptor: int | None) -> Callable[[Handle], int | None]:
    """What a file is to be read from."""
    return lambda _: descriptor


def opened(able: Passthrough, inode: Inode, handle: int, descriptor: int | None) -> int | None:
    return able.opened(inode, Handle(handle), os.O_RDONLY, lies_in(descriptor))


def test_one_backing_file_for_all_that_is_open(able: Passthrough, kernel: Kernel) -> None:
    assert opened(able, FILE, 1, 5) == 105
    assert opened(able, FILE, 2, 6) == 105
    able.released(Handle(1))
    assert opened(able, FILE, 3, None) == 105
    assert opened(able, OTHER, 4, 7) == 107
    able.released(Handle(2))
    assert kernel.calls == [("open", 5), ("open", 7)]
    able.released(Handle(3))
    assert kernel.calls[2:] == [("close", 105)]
    able.released(Handle(4))
    assert opened(able, FILE, 5, 8) == 108


def test_what_is_open_cached_stays_so(able: Passthrough, kernel: Kernel) -> None:
    assert opened(able, FILE, 1, None) is None
    assert opened(able, FILE, 2, 5) is None
    able.released(Handle(1))
    assert opened(able, FILE, 3, 5) is None
    able.released(Handle(2))
    able.released(Handle(3))
    assert kernel.calls == []
    assert opened(able, FILE, 4, 5) == 105


def test_what_is_not_known_is_released_without_a_word(able: Passthrough, kernel: Kernel) -> None:
    able.released(Handle(1))
    assert opened(able, FILE, 2, 5) == 105
    able.released(Handle(2))
    able.released(Handle(2))
    assert kernel.calls == [("open", 5), ("close", 105)]


def test_direct_reads_are_ours(able: Passthrough) -> None:
    assert able.opened(FILE, Handle(1), os.O_DIRECT, lies_in(5)) is None


def test_nobody_else_than_root(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passthrough.os, "geteuid", lambda: 1000)
    found = Passthrough(3)
    assert found.wanted(int(Feature.PASSTHROUGH)) == 0
    assert "needs root" in found.note
    assert opened(found, FILE, 1, 5) is None


def test_older_kernels(kernel: Kernel) -> None:
    found = Passthrough(3)
    assert found.wanted(int(Feature.ASYNC_READ)) == 0
    assert "needs Linux 6.9" in found.note
    assert opened(found, FILE, 1, 5) is None


def test_a_file_that_the_kernel_does_not_take(able: Passthrough, kernel: Kernel) -> None:
    """As of an overlay filesystem; another one may lie elsewhere."""
    kernel.refuses = errno.ELOOP
    assert opened(able, FILE, 1, 5) is None
    kernel.refuses = 0
    assert opened(able, OTHER, 2, 6) == 106
    able.released(Handle(1))
    able.released(Handle(2))
    assert kernel.calls == [("open", 6), ("close", 106)]


def test_a_container_that_may_not(
    able: Passthrough, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, and not tried again."""
    kernel.refuses = errno.EPERM
    with caplog.at_level(logging.INFO):
        for handle in (1, 2):
            assert opened(able, Inode(handle + 10), handle, 5) is None
    assert caplog.text.count("nothing is passed through") == 1
    assert able.note == "reads are not passed through to the disk cache: Operation not permitted"


def test_the_numbers_of_the_calls() -> None:
    """As the macros of linux/ioctl.h make them: direction, size, kind, number."""
    write = 1 << 30
    assert write | 16 << 16 | 229 << 8 | 1 == devfuse._BACKING_OPEN
    assert write | 4 << 16 | 229 << 8 | 2 == devfuse._BACKING_CLOSE
