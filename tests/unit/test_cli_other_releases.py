"""Commands and the daemons of other releases: what is asked of them, and what is made of it."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.cli.main import run


@contextlib.contextmanager
def daemon(store: Path, answer: str) -> Iterator[None]:
    """A socket in the store like a mount's, on which everybody hears `answer`."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{store}/run/mount-{os.getpid()}.sock")
        server.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(answer.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path_factory.mktemp("s")  # an address has 108 bytes
    (folder / "file").write_bytes(b"content")
    assert run(["--store", str(folder / "s"), "init"]) == 0
    assert run(["--store", str(folder / "s"), "add", str(folder / "file"), "acme/tiny"]) == 0
    capsys.readouterr()
    return folder / "s"


def said(store: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = run(["--store", str(store), *arguments])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_a_newer_daemon(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it has open is not known: nothing is deleted, everything else goes on."""
    me = os.getpid()
    with daemon(store, '{"format": 2, "version": "9.0", "pid": {}}'):
        status, text = said(store, capsys, "gc", "--grace", "0")
        assert status == 1
        assert f"the mount of pid {me} does not say which files are open on it" in text
        assert "release 9.0" in text
        assert "release 9.0" in said(store, capsys, "doctor")[1]
        status, text = said(store, capsys, "rebuild-index")
        assert status == 0
        assert f"the mount of pid {me} goes on with the old index" in text
        assert said(store, capsys, "add", str(store.parent / "file"), "acme/more")[0] == 0


def test_an_older_daemon(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may not say all that this release would."""
    opened = '{"manifest": "' + "ab" * 32 + '", "name": "acme/tiny/file"}'
    answer = f'{{"format": 1, "version": "0.1", "pid": 7, "mountpoint": "/m", "open": [{opened}]}}'
    with daemon(store, answer):
        assert said(store, capsys, "gc", "--grace", "0")[0] == 0
        assert "it runs release 0.1" in said(store, capsys, "doctor")[1]
        status, text = said(store, capsys, "rebuild-index")
        assert status == 0
        assert "the mount at /m (pid 7) goes on with the old index" in text
        assert said(store, capsys, "add", str(store.parent / "file"), "acme/more")[0] == 0
