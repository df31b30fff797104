"""Locks: shared and alone, holders by name, nobody starved, nothing stale after a kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from modelfloat.cas.locks import locked
from modelfloat.errors import LockedError

HOLD = """
import sys, trio
from modelfloat.cas.locks import locked

async def hold(path, shared, what):
    async with locked(path, shared=shared == "shared", what=what):
        print("held", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)

trio.run(hold, *sys.argv[1:])
"""


@contextmanager
def holder(path: Path, how: str, what: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock until the block ends, or until it is killed."""
    command = [sys.executable, "-c", HOLD, str(path), how, what]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.stdin.close()


async def try_now(path: Path, *, shared: bool) -> None:
    async with locked(str(path), shared=shared, wait=False):
        pass


async def test_those_who_share_are_named(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with holder(path, "shared", "modelfloat add") as one, holder(path, "shared", "x") as two:
        await try_now(path, shared=True)
        with pytest.raises(LockedError) as caught:
            await try_now(path, shared=False)
        text = str(caught.value)
        assert f"pid {one.pid} on {os.uname().nodename} (modelfloat add), since 20" in text
        assert f"pid {two.pid} on " in text
        assert text.count("\n") == 0
    await try_now(path, shared=False)
    assert sorted(os.listdir(tmp_path)) == ["store", "store-gate"]


async def test_who_is_alone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with holder(path, "alone", "modelfloat gc") as one:
        for shared in (True, False):
            with pytest.raises(LockedError, match=rf"pid {one.pid} on .* \(modelfloat gc\), since"):
                await try_now(path, shared=shared)
    await try_now(path, shared=True)


async def test_what_it_is_for_need_not_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    async with locked(str(path), what="gets /mnt/\udcff ready"):
        with pytest.raises(LockedError, match=r"\(gets /mnt/\ufffd ready\), since"):
            await try_now(path, shared=False)


@pytest.mark.parametrize("how", ["shared", "alone"])
async def test_nothing_is_stale_after_a_kill(tmp_path: Path, how: str) -> None:
    path = tmp_path / "store"
    with holder(path, how, "modelfloat add") as one:
        one.send_signal(signal.SIGKILL)
        one.wait()
        await try_now(path, shared=True)
        with holder(path, "shared", "another") as two:
            with pytest.raises(LockedError) as caught:
                await try_now(path, shared=False)
            assert f"pid {two.pid} " in str(caught.value)
            assert f"pid {one.pid} " not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["store", "store-gate"]


async def test_waiting_is_told_once_and_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    path = tmp_path / "store"
    with holder(path, "shared", "modelfloat add") as one:
        async with trio.open_nursery() as nursery:
            done = trio.Event()

            async def wait() -> None:
                async with locked(str(path), what="modelfloat gc"):
                    done.set()

            nursery.start_soon(wait)
            while not caplog.messages:  # noqa: ASYNC110 - the logger has no event
                await trio.sleep(0.01)
            assert not done.is_set()
            one.kill()
            await done.wait()
    (message,) = caplog.messages
    assert message.startswith(f"waiting for {path}: held by pid {one.pid} on ")


async def test_a_stream_of_sharers_does_not_starve_who_waits_alone(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Sharers overlap without a gap; the one who waits comes before those who came later."""
    path = str(tmp_path / "store")
    stopped = False
    taken = 0

    async def share() -> None:
        nonlocal taken
        while not stopped:
            async with locked(path, shared=True):
                taken += 1
                await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(share)
            await trio.sleep(0.007)
        before = taken
        async with locked(path):
            at_once = taken
            await trio.sleep(0.05)
            assert taken == at_once
        stopped = True
    assert before > 0


async def test_names_that_cannot_be_written_keep_nobody_from_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: the lock holds, only its holder has no name."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    path = tmp_path / "store"
    monkeypatch.setattr(os, "pwrite", full)
    async with locked(str(path), shared=True):
        with pytest.raises(LockedError, match="held by another process"):
            await try_now(path, shared=False)
    async with locked(str(path)):
        with pytest.raises(LockedError, match="held by another process"):
            await try_now(path, shared=True)
