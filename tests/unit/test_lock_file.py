"""LMDB's lock file has its blocks before it is mapped."""

import errno
import os
from pathlib import Path

import lmdb
import pytest

from modelfloat.cas.index.environment import MAX_READERS, make_environment
from modelfloat.cas.index.lockfile import NAME, READERS, allocate_lock
from modelfloat.cas.rebuild.scratch import Scratch
from modelfloat.cas.reserve import is_full
from modelfloat.errors import ModelFloatError


@pytest.mark.parametrize("readers", [READERS, MAX_READERS])
def test_it_is_as_lmdb_makes_it(tmp_path: Path, readers: int) -> None:
    lmdb.open(str(tmp_path / "theirs"), map_size=1 << 20, max_readers=readers).close()
    os.mkdir(tmp_path / "ours")
    allocate_lock(str(tmp_path / "ours"), readers)
    sizes = [(tmp_path / folder / NAME).stat().st_size for folder in ("theirs", "ours")]
    assert sizes[0] == sizes[1]
    with lmdb.open(str(tmp_path / "ours"), map_size=1 << 20, max_readers=readers) as env:
        assert env.max_readers() == readers
    assert (tmp_path / "ours" / NAME).stat().st_size == sizes[0]


def test_environments_have_all_of_its_blocks(tmp_path: Path) -> None:
    for name, private in (("index", False), ("draft", True)):
        os.mkdir(tmp_path / name)
        make_environment(str(tmp_path / name), private=private).env.close()
    Scratch(str(tmp_path / "scratch")).close()
    for found in tmp_path.glob(f"*/{NAME}"):
        assert found.stat().st_blocks * 512 >= found.stat().st_size


def test_one_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"theirs")
    allocate_lock(str(tmp_path))
    assert (tmp_path / NAME).read_bytes() == b"theirs"


def test_without_room_nothing_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ModelFloatError, match=r"lock\.mdb cannot be written: No space") as found:
        Scratch(str(tmp_path / "scratch"))
    assert is_full(found.value)
    assert not (tmp_path / "scratch" / NAME).exists()
