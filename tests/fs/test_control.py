"""The socket on which a mount tells what it does, and whoever asks: without any mount."""

import contextlib
import json
import logging
import os
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from modelfloat.cas.histogram import Histogram
from modelfloat.cas.read.counters import ReadCounts
from modelfloat.cas.read.figures import BackendReads, ReadFigures
from modelfloat.errors import FormatError, ModelFloatError
from modelfloat.fuse import control
from modelfloat.fuse.control import answer_all, listening, mount_states
from modelfloat.fuse.mountstate import (
    MountState,
    OpenFileState,
    ReadError,
    decode_state,
    encode_state,
)
from modelfloat.fuse.readstate import ReadState

READS = ReadState(
    ReadFigures(
        ReadCounts(requests=5, served=1 << 50, ahead_wasted=3),
        Histogram([(3, 4), (77, 1)], 12, 9),
        32,
        1 << 40,
        (
            BackendReads("d0", "slow", 1 << 33, 1, 2, 9.5, Histogram([(9, 4)], 5, 4)),
            BackendReads("d1", "down", errors=7, why="gone", since=2.5),
        ),
    ),
    2,
    1 << 33,
)
STATE = MountState(
    os.getpid(),
    "1.2",
    "/mnt/mod\udcffels",
    17,
    (OpenFileState("ab" * 32, "acme/llama/v", (3, 4)),),
    (ReadError(18, "acme/llama/w", 0, "chunk is gone"),),
    index_replaced=True,
    device="0:47",
    binding="kernel",
    reads=READS,
    metrics="http://127.0.0.1:9100/metrics",
    note="it reads by itself",
    hidden=True,
)


@contextlib.asynccontextmanager
async def told(store: Path, state: Callable[[], MountState] = lambda: STATE) -> AsyncIterator[None]:
    """A daemon that answers."""
    with listening(str(store)) as server:
        assert server is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_all, server, state)
            yield
            nursery.cancel_scope.cancel()


async def ask(store: Path) -> list[MountState]:
    return await trio.to_thread.run_sync(mount_states, str(store))


def sockets(store: Path) -> list[str]:
    return sorted(os.listdir(store / "run"))


async def test_a_mount_tells_all_of_itself(tmp_path: Path) -> None:
    assert await ask(tmp_path) == []
    async with told(tmp_path):
        assert await ask(tmp_path) == [STATE]
        assert await ask(tmp_path) == [STATE]
        folder = tmp_path / "run"
        (name,) = sockets(tmp_path)
        assert name == f"mount-{os.getpid()}.sock"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert sockets(tmp_path) == []
    assert await ask(tmp_path) == []


async def test_a_path_longer_than_an_address(tmp_path: Path) -> None:
    store = tmp_path / ("long" * 40) / ("longer" * 40)
    store.mkdir(parents=True)
    async with told(store):
        assert await ask(store) == [STATE]


async def test_a_second_mount_of_one_number_takes_another_name(tmp_path: Path) -> None:
    async with told(tmp_path), told(tmp_path):
        assert sockets(tmp_path) == [f"mount-{os.getpid()}{tail}.sock" for tail in ("-1", "")]
        assert await ask(tmp_path) == [STATE, STATE]


def dead_socket(store: Path, pid: int) -> None:
    (store / "run").mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(store / "run"):
        server.bind(f"mount-{pid}.sock")


async def test_sockets_of_dead_daemons_are_removed(tmp_path: Path) -> None:
    dead_socket(tmp_path, 98)
    dead_socket(tmp_path, os.getpid())
    async with told(tmp_path):
        assert sockets(tmp_path) == [f"mount-{os.getpid()}.sock"]
        dead_socket(tmp_path, 99)
        assert await ask(tmp_path) == [STATE]
        assert sockets(tmp_path) == [f"mount-{os.getpid()}.sock"]


async def test_sockets_of_the_dead_are_forgotten_and_the_living_stay(tmp_path: Path) -> None:
    control.forget_dead(str(tmp_path))
    async with told(tmp_path):
        (alive,) = sockets(tmp_path)
        dead_socket(tmp_path, 1)
        control.forget_dead(str(tmp_path))
        assert sockets(tmp_path) == [alive]


async def test_what_is_no_socket_of_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mount-x.sock").touch()
    (tmp_path / "run" / "other").touch()
    assert await ask(tmp_path) == []
    assert sockets(tmp_path) == ["mount-x.sock", "other"]


def test_a_daemon_that_hangs_hangs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.2)
    with listening(str(tmp_path)):  # and nobody answers
        (state,) = mount_states(str(tmp_path))
    assert (state.pid, state.problem) == (os.getpid(), "it does not answer")
    assert state.open == ()


def test_a_daemon_whose_queue_is_full_hangs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.2)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        (tmp_path / "run").mkdir()
        stack.enter_context(contextlib.chdir(tmp_path / "run"))
        server.bind("mount-7.sock")
        server.listen(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(1000):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect("mount-7.sock")
        (state,) = mount_states(str(tmp_path))
    assert (state.pid, state.problem) == (7, "it does not answer")


def test_a_daemon_that_ends_while_it_is_asked(tmp_path: Path) -> None:
    with listening(str(tmp_path)) as server:
        assert server is not None
        folder = os.open(tmp_path / "run", os.O_RDONLY)
        connection = control._connect(folder, f"mount-{os.getpid()}.sock")
        server.close()
    os.close(folder)
    with connection:
        assert control._hear(7, connection, time.monotonic() + 60) is None


async def test_who_asks_and_does_not_listen_ends_nothing(tmp_path: Path) -> None:
    long = MountState(7, "", "/" + "x" * 10_000_000, 0)
    async with told(tmp_path, lambda: long):
        folder = os.open(tmp_path / "run", os.O_RDONLY)
        for _ in range(3):
            control._connect(folder, f"mount-{os.getpid()}.sock").close()
        os.close(folder)
        assert await ask(tmp_path) == [long]


def test_a_store_that_cannot_be_written_is_mounted_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, _mode: int) -> None:
        raise OSError(30, "Read-only file system", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with caplog.at_level(logging.WARNING), listening(str(tmp_path)) as server:
        assert server is None
    (record,) = caplog.records
    assert "gc will refuse while this is mounted" in record.getMessage()
    assert str(tmp_path / "run") in record.getMessage()


@pytest.mark.parametrize("broken", ["a file", "a link", "no sockets"])
def test_a_store_that_others_can_write_is_not_mounted_unseen(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broken == "a file":
        (tmp_path / "run").touch()
    elif broken == "a link":
        (tmp_path / "else").mkdir()
        (tmp_path / "run").symlink_to(tmp_path / "else")
    else:

        def refuse(_server: socket.socket, _address: str) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(socket.socket, "bind", refuse)
    with (
        pytest.raises(ModelFloatError, match="run takes no socket"),
        listening(str(tmp_path)),
    ):
        pass


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(ModelFloatError, match="ask as the user who mounts"):
        mount_states(str(tmp_path))


def test_what_a_newer_daemon_adds_is_ignored_and_what_an_older_lacks_is_empty() -> None:
    document = json.loads(encode_state(STATE))
    document["new"] = {"x": 1}
    document["open"][0]["offset"] = 5
    document["reads"]["backends"][0]["new"] = document["reads"]["counts"]["new"] = 1
    document["errors"][0]["chunk"] = "12ab"
    assert decode_state(json.dumps(document).encode()) == STATE
    assert decode_state(b'{"format": 1, "pid": 7}') == MountState(7, "", "", 0)
    assert decode_state(b'{"format": 1, "pid": 7, "open": [{"manifest": "ab"}]}').open == (
        OpenFileState("ab", "", ()),
    )
    assert decode_state(b'{"format": 1, "pid": 7, "reads": {}}').reads == ReadState()


@pytest.mark.parametrize(
    "answer",
    [
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"format": 1}',
        b'{"format": 1, "pid": 7, "open": 3}',
        b'{"format": 1, "pid": 7, "device": "x:y"}',
        b'{"format": 1, "pid": 7, "reads": 3}',
        b'{"format": 1, "pid": 7, "reads": {"waiting": 1e999}}',
        b'{"format": 1, "pid": 7, "reads": {"backends": [{}]}}',
        b'{"format": 1, "pid": 7, "reads": {"latency": {"buckets": [[-1, 2]]}}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_an_answer_that_makes_no_sense_is_told(answer: bytes) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        decode_state(answer)


def test_a_newer_format_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        control, "_receive", lambda *_: b'{"format": 2, "version": "9.1", "pids": {}}'
    )
    with listening(str(tmp_path)):
        (state,) = mount_states(str(tmp_path))
    assert state.pid == os.getpid()
    assert state.problem == "it runs release 9.1, newer than this one; upgrade this one"
