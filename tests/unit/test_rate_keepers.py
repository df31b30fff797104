"""What processes of a store know together of a provider: a file, and what it survives."""

import fcntl
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from trio.testing import MockClock

from modelfloat.backends.rates.day import Day
from modelfloat.backends.rates.keeper import Now, OwnKeeper, SharedKeeper
from modelfloat.backends.rates.record import SIZE, Known, decode, encode
from modelfloat.backends.rates.turns import SECOND, Turns, take
from modelfloat.rate import Rate

HOUR = 3600 * SECOND
SLOW = Rate(1 / 3600, 5)
BOOT = bytes(range(16))
KNOWN = Known(Turns(5, 6, 8), Day(490_000, tuple(range(24))))
GOLDEN = (
    "4d46525401000000000102030405060708090a0b0c0d0e0f0500000000000000060000000000000000000000000000"
    "000800000000000000107a070000000000"
)
"""How the record of KNOWN begins."""


def nothing(_: int) -> None:
    """The file is whose it is."""


def look(known: Known, _: Now) -> tuple[Known, Known]:
    return known, known


def a_turn(known: Known, now: Now) -> tuple[Known, int]:
    turn = take(known.turns, SLOW, now.clock)
    return replace(known, turns=turn.after), turn.at - now.clock


def test_a_record_is_read_as_it_was_written() -> None:
    data = encode(KNOWN, BOOT)
    assert len(data) == SIZE == 260
    assert data.hex().startswith(GOLDEN)
    assert decode(data, BOOT) == KNOWN


def test_another_boot_has_another_clock_and_the_same_day() -> None:
    assert decode(encode(KNOWN, BOOT), bytes(16)) == Known(Turns(), KNOWN.day)


def test_a_damaged_record_is_begun_anew() -> None:
    data = encode(KNOWN, BOOT)
    assert decode(b"", BOOT) == decode(data[:-1], BOOT) == decode(data + b"x", BOOT) == Known()
    for bit in range(8 * SIZE):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(flipped), BOOT) == Known()


async def test_two_keepers_of_one_file_share_what_is_known(tmp_path: Path) -> None:
    path = str(tmp_path / "rate")
    first, second = SharedKeeper(path, nothing), SharedKeeper(path, nothing)
    waits = [await keeper.change(a_turn) for keeper in (first, second) * 3]
    assert waits[:5] == [0] * 5
    assert 0 < waits[5] <= HOUR
    assert os.stat(path).st_mode & 0o777 == 0o600
    await first.aclose()
    assert (await first.change(look)).turns == (await second.change(look)).turns
    await first.aclose()
    await second.aclose()
    await second.aclose()


async def test_a_file_that_is_too_long_is_one_again(tmp_path: Path) -> None:
    path = tmp_path / "rate"
    path.write_bytes(encode(KNOWN, BOOT) + b"of a later version")
    keeper = SharedKeeper(str(path), nothing)
    waits = [await keeper.change(a_turn) for _ in range(6)]
    assert waits[5] > 0
    assert path.stat().st_size == SIZE
    await keeper.aclose()


async def test_the_file_is_given_to_its_owner(tmp_path: Path) -> None:
    given: list[int] = []
    keeper = SharedKeeper(str(tmp_path / "rate"), given.append)
    await keeper.change(look)
    await keeper.change(look)
    assert len(given) == 1
    await keeper.aclose()


@pytest.mark.parametrize("fault", ["no folder", "a link", "a folder"])
async def test_without_a_file_a_process_counts_for_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    path = tmp_path / "rate"
    match fault:
        case "no folder":
            path = tmp_path / "missing" / "rate"
        case "a link":
            path.symlink_to(tmp_path / "elsewhere")
        case "a folder":
            path.mkdir()
    keeper = SharedKeeper(str(path), nothing)
    with caplog.at_level(logging.WARNING):
        waits = [await keeper.change(a_turn) for _ in range(6)]
    assert waits[:5] == [0] * 5
    assert waits[5] > 0
    assert len(caplog.messages) == 1
    assert "cannot be shared with other processes" in caplog.text
    await keeper.aclose()


async def test_who_holds_the_lock_and_sleeps_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    path = tmp_path / "rate"
    keeper = SharedKeeper(str(path), nothing)
    held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert await keeper.change(a_turn) == 0
    os.close(held)
    assert "somebody holds its lock" in caplog.text
    assert [await keeper.change(a_turn) for _ in range(4)] == [0] * 4
    await keeper.aclose()


async def test_a_process_alone_keeps_what_is_known(autojump_clock: MockClock) -> None:
    keeper = OwnKeeper()
    assert [await keeper.change(a_turn) for _ in range(6)] == [0] * 5 + [HOUR]
    await keeper.aclose()


CHILD = """
import sys, trio
from modelfloat.tests.unit.test_rate_keepers import SharedKeeper, a_turn, nothing
async def main():
    keeper = SharedKeeper(sys.argv[1], nothing)
    print(sum([await keeper.change(a_turn) == 0 for _ in range(20)]))
trio.run(main)
"""


def test_several_processes_have_one_allowance(tmp_path: Path) -> None:
    """Three at once take twenty turns each, of which five come at once and one each hour."""
    command = [sys.executable, "-c", CHILD, str(tmp_path / "rate")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    at_once = [int(child.communicate()[0]) for child in children]
    assert sum(at_once) == 5
    with open(tmp_path / "rate", "rb") as file:
        turns = decode(file.read(), _booted()).turns
    assert turns.full > 50 * HOUR


def _booted() -> bytes:
    text = Path("/proc/sys/kernel/random/boot_id").read_text()
    return bytes.fromhex(text.strip().replace("-", ""))
