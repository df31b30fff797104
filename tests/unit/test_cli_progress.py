"""Progress on a pipe: one plain line every 30 seconds of work."""

import io
import sys

import pytest

from modelfloat.cas.progress import Progress
from modelfloat.cli.progress import Lines, describe, progress_of
from modelfloat.cli.settings import Settings


def test_a_line_every_30_seconds() -> None:
    now, lines = 100.0, list[str]()
    notify = Lines("add", clock=lambda: now, write=lines.append)
    progress = Progress(total=400_000_000, notify=notify)
    for second in range(100):
        now = 100.0 + second
        progress.advance(1_000_000)
    assert len(lines) == 3
    assert lines[0] == "add: 31.0 MB of 400 MB, 1.03 MB/s, 5 min 57 s left\n"


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [
        (0, 0, "get: 0 B, 0 B/s"),
        (5_000_000, 0, "get: 5.00 MB, 1.00 MB/s"),
        (0, 10_000_000, "get: 0 B of 10.0 MB, 0 B/s"),
        (5_000_000, 10_000_000, "get: 5.00 MB of 10.0 MB, 1.00 MB/s, 5.0 s left"),
        (10_000_000, 10_000_000, "get: 10.0 MB of 10.0 MB, 2.00 MB/s, 0.00 s left"),
        (11_000_000, 10_000_000, "get: 11.0 MB of 10.0 MB, 2.20 MB/s"),
    ],
)
def test_describe(done: int, total: int, text: str) -> None:
    assert describe("get", Progress(done=done, total=total), 5.0) == text


def test_quiet_is_silent() -> None:
    with progress_of(Settings("/s", quiet=True), "add") as progress:
        assert progress.notify is None


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress_of(Settings("/s"), "verify") as progress:
        progress.total = 10_000_000
        progress.advance(5_000_000)
    assert "verify" in terminal.getvalue()
    assert "5.0/10.0 MB" in terminal.getvalue()
