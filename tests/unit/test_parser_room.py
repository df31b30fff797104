"""What a parser keeps of a file is bounded all together, whatever limit each part of it has."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from modelfloat.cas.chunking import onnxdata, picklestack, room, torchtensors
from modelfloat.cas.chunking.room import TENSOR_SIZE, Room
from modelfloat.tests.support import addmemory, parserbombs
from modelfloat.tests.support.bounds import peak
from modelfloat.tests.support.parserbombs import BOMBS

SHARE = 32
MEMORY = 200_000_000


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_files_stay_within_the_bound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 32nd of the limits, and files to fit. Those of full size are in the slow matrix."""
    for module in (room, picklestack, onnxdata):
        monkeypatch.setattr(module, "ROOM", module.ROOM // SHARE)
    monkeypatch.setattr(room, "LEAST", room.LEAST // SHARE)
    monkeypatch.setattr(torchtensors, "TENSOR_LIMIT", torchtensors.TENSOR_LIMIT // SHARE)
    parser, source = BOMBS[name](SHARE)
    _, memory = peak(lambda: parser.parse(source))
    assert memory < MEMORY // SHARE


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_hostile_files_of_full_size_take_less_than_200_mb(name: str) -> None:
    """In a process of its own."""
    command = [sys.executable, "-m", parserbombs.__name__, name]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(result.stdout) < MEMORY


@pytest.mark.slow
def test_a_whole_add_of_hostile_files_takes_less_than_400_mb(tmp_path: Path) -> None:
    """Each bomb of full size, and of a size that just fits; five folders of models that tell of
    files beside them."""
    source = tmp_path / "source"
    source.mkdir()
    for name, share in itertools.product(sorted(BOMBS.keys() - {"places_elsewhere"}), (1, 16)):
        (source / f"{name}.{share}").write_bytes(BOMBS[name](share)[1].data)
    for folder in (source / f"{number}" for number in range(5)):
        folder.mkdir()
        for share in (1, 20):
            (folder / f"{share}.onnx").write_bytes(parserbombs.model_of(share))
        (folder / "w.bin").write_bytes(bytes(100))
    command = [sys.executable, "-m", addmemory.__name__, source, tmp_path / "store"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 2 * MEMORY


def test_names_and_shapes_count_as_what_they_take() -> None:
    budget = Room(1 << 20)
    budget.keep("a" * 1000)
    narrow = (1 << 20) - budget.left
    assert narrow > TENSOR_SIZE + 1000
    budget.keep("a" * 999 + "\U0001f600")
    wide = (1 << 20) - budget.left - narrow
    assert wide > narrow + 2900
    budget.keep("", (1 << 60,) * 64)
    assert (1 << 20) - budget.left - narrow - wide > TENSOR_SIZE + 64 * 40


def test_what_is_given_back_can_be_taken_again() -> None:
    budget = Room(100)
    budget.take(100)
    with pytest.raises(ValueError, match="more tensors"):
        budget.take(1)
    budget.give(40)
    budget.take(40)
    assert budget.left == 0


def test_a_small_file_has_less_room() -> None:
    assert Room.of(0).left == room.LEAST < Room.of(1 << 20).left < Room.of(1 << 40).left
    assert Room.of(1 << 40).left == room.ROOM
