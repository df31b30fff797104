"""How far a long command is: a bar on a terminal, a plain line every 30 seconds elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from .output import human_rate, human_seconds, human_size
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.progress import Progress

LINE_EVERY: Final = 30.0
"""Seconds between two lines on a pipe."""
DRAW_EVERY: Final = 0.1
"""Seconds between two updates of a bar; chunks finish far more often."""


@contextlib.contextmanager
def progress_of(settings: Settings, verb: str) -> Iterator["Progress"]:
    """A Progress whose changes are shown on stderr as the output is: terminal, pipe or quiet."""
    from ..cas.progress import Progress

    if settings.quiet:
        yield Progress()
    elif sys.stderr.isatty():
        with _bar(verb) as notify:
            yield Progress(notify=notify)
    else:
        yield Progress(notify=Lines(verb))


class Lines:
    """Prints a line every 30 seconds of work; `clock` gives seconds, `write` takes a line."""

    def __init__(
        self,
        verb: str,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], object] | None = None,
    ) -> None:
        self._verb = verb
        self._clock = clock
        self._write = write if write is not None else sys.stderr.write
        self._began = self._last = clock()

    def __call__(self, progress: "Progress") -> None:
        now = self._clock()
        if now - self._last >= LINE_EVERY:
            self._last = now
            self._write(describe(self._verb, progress, now - self._began) + "\n")


def describe(verb: str, progress: "Progress", seconds: float) -> str:
    """`add: 1.20 GB of 4.00 GB, 300 MB/s, 9.3 s left`, after so many seconds of work."""
    rate = human_rate(progress.done, seconds)
    if not progress.total:
        return f"{verb}: {human_size(progress.done)}, {rate}"
    line = f"{verb}: {human_size(progress.done)} of {human_size(progress.total)}, {rate}"
    if not 0 < progress.done <= progress.total:
        return line
    left = seconds * (progress.total - progress.done) / progress.done
    return f"{line}, {human_seconds(left)} left"


@contextlib.contextmanager
def _bar(verb: str) -> Iterator[Callable[["Progress"], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.progress import TransferSpeedColumn as Speed

    shown = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Speed())
    with Bar(*shown, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=None)
        last = 0.0

        def notify(progress: "Progress") -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= DRAW_EVERY:
                last = now
                bar.update(task, completed=progress.done, total=progress.total or None)

        yield notify
