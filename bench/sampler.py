"""How much anonymous memory a running process holds at most."""

import threading
from typing import Final

INTERVAL: Final = 0.02
"""Seconds between two looks; one look costs some 30 µs."""


class AnonSampler:
    """Watches RssAnon of one process from a thread until `stop`.

    RssAnon rather than peak RSS: file pages that a command maps or reads are the kernel's to drop,
    and would make the reader of a large file look hungry.
    """

    def __init__(self, pid: int) -> None:
        self.peak: int | None = None
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; `peak` (bytes, None if the process was never seen) is final."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while (anon := self._look()) is not None:
            self.peak = max(self.peak or 0, anon)
            if self._done.wait(INTERVAL):
                return

    def _look(self) -> int | None:
        try:
            return anon_of(self._pid)
        except (FileNotFoundError, ProcessLookupError):
            return None


def anon_of(pid: int) -> int:
    """RssAnon of a process, bytes; ProcessLookupError where it has no memory any more."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)  # a zombie has no memory left to report
