"""The reserve: real blocks, given up when a disk is full, made again when there is room."""

import errno
import os
from pathlib import Path

import lmdb
import pytest

from modelfloat.cas.reserve import SHARE, Reserve, is_full
from modelfloat.errors import IndexDamagedError, ModelFloatError, QuotaError


def length(folder: Path) -> int | None:
    try:
        return (folder / "reserve").stat().st_size
    except FileNotFoundError:
        return None


def test_it_takes_real_blocks(tmp_path: Path) -> None:
    Reserve(str(tmp_path)).make(1 << 20)
    found = (tmp_path / "reserve").stat()
    assert found.st_size == 1 << 20
    assert found.st_blocks * 512 >= 1 << 20
    assert found.st_mode & 0o077 == 0


def test_none_is_wanted(tmp_path: Path) -> None:
    reserve = Reserve(str(tmp_path))
    reserve.make(0)
    assert length(tmp_path) == 0
    reserve.make()
    assert length(tmp_path) == 0
    assert not reserve.give_up()


def test_it_takes_a_small_share_of_a_small_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)
    few = list(real)
    few[0] = few[1] = 4096
    few[4] = 1000
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(few))
    Reserve(str(tmp_path)).make()
    assert length(tmp_path) == 4096 * 1000 // SHARE


def test_without_room_it_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    reserve = Reserve(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        reserve.make(1000)
        assert length(tmp_path) is None
    reserve.make(1000)
    monkeypatch.setattr(os, "posix_fallocate", full)
    reserve.make(5000)
    assert length(tmp_path) == 1000


FULL = [
    QuotaError("backend d0 is full"),
    OSError(errno.ENOSPC, "No space left on device"),
    ExceptionGroup("two", [ValueError("x"), QuotaError("full")]),
]


@pytest.mark.parametrize("failure", FULL)
async def test_it_is_given_up_once_and_made_again(tmp_path: Path, failure: Exception) -> None:
    reserve = Reserve(str(tmp_path))
    reserve.make(100_000)
    there: list[int | None] = []

    async def job() -> str:
        there.append(length(tmp_path))
        if len(there) == 1:
            raise failure
        return "done"

    assert await reserve.retrying(job) == "done"
    assert there == [100_000, None]
    assert length(tmp_path) or os.statvfs(tmp_path).f_bavail == 0


async def test_what_fails_again_is_told(tmp_path: Path) -> None:
    reserve = Reserve(str(tmp_path))
    reserve.make(100_000)
    tries = 0

    async def job() -> None:
        nonlocal tries
        tries += 1
        raise QuotaError("backend d0 is full")

    with pytest.raises(QuotaError):
        await reserve.retrying(job)
    assert tries == 2
    with pytest.raises(QuotaError):
        await reserve.retrying(job)
    assert tries == 3


async def test_other_failures_leave_it_alone(tmp_path: Path) -> None:
    reserve = Reserve(str(tmp_path))
    reserve.make(100_000)

    async def job() -> None:
        raise ModelFloatError("no")

    with pytest.raises(ModelFloatError):
        await reserve.retrying(job)
    assert length(tmp_path) == 100_000


def test_a_full_index_is_recognised() -> None:
    error = IndexDamagedError("the index cannot be written")
    assert not is_full(error)
    error.__cause__ = lmdb.DiskError("No space left on device")
    assert is_full(error)
