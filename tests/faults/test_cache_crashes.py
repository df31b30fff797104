"""Processes that fill one file of the disk cache together, and are killed while they do."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelfloat.cas.cache.cachedfile import CachedFile, open_cached
from modelfloat.tests.support.cachedsample import CONTENT, COUNT, HEAD, PIECES, RAW


def fill(folder: Path, seed: int) -> "subprocess.Popen[str]":
    """A process that fills the file."""
    program = "modelfloat.tests.support.cache_child"
    command = [sys.executable, "-m", program, str(folder), str(seed)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def steps(process: "subprocess.Popen[str]", count: int) -> None:
    """Have it do so many; the last one is under way."""
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(count):
        process.stdin.write("on\n")
        process.stdin.flush()
        assert process.stdout.readline()


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def is_sound(file: CachedFile) -> bool:
    """Whether everything that the map tells of is there, and is right."""
    known = [piece for piece in PIECES if file.has(piece.number)]
    buffer = memoryview(bytearray(RAW * len(known)))
    return all(file.read(known, buffer)) and b"".join(
        CONTENT[piece.offset : piece.offset + RAW] for piece in known
    ) == bytes(buffer)


def reopened(folder: Path) -> CachedFile:
    file = open_cached(str(folder), HEAD)
    assert file is not None
    return file


@pytest.mark.parametrize("at", [1, 4, 17, 40])
def test_what_the_map_tells_of_is_there_after_a_kill(tmp_path: Path, at: int) -> None:
    """Two at once, one killed at a step of its own, the other some steps later."""
    first, second = fill(tmp_path, at), fill(tmp_path, at + 100)
    steps(first, at)
    kill(first)
    steps(second, 7)
    kill(second)
    file = reopened(tmp_path)
    assert is_sound(file)
    assert file.backing() is None
    assert (at > 4) <= (file.missing < COUNT)


def test_several_fill_one_file_at_once(tmp_path: Path) -> None:
    processes = [fill(tmp_path, seed) for seed in range(3)]
    ended = [process.communicate()[0].splitlines()[-1] for process in processes]
    assert ended == ["sealed"] * 3
    assert [process.returncode for process in processes] == [0] * 3
    file = reopened(tmp_path)
    assert (file.missing, is_sound(file)) == (0, True)
    assert file.seal(PIECES)
    assert file.backing() is not None
