"""The operations of a mount with their calls counted, told on a signal."""

import json
import signal
from collections import Counter
from typing import Any

import trio

from modelfloat.fuse.binding import Binding, Session
from modelfloat.fuse.inodes import Inodes
from modelfloat.fuse.operations import Operations


class Counting:
    """Operations that count the requests which come through."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._operations, name)

    @property
    def inodes(self) -> Inodes:
        """The table of what the kernel knows."""
        return self._operations._requests.inodes


class CountingBinding:
    """A binding whose mount prints its counts when SIGUSR1 comes, and counts anew."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self.name = binding.name

    def mount(self, operations: Operations, path: str, options: frozenset[str]) -> Session:
        self.counting = Counting(operations)
        return self._binding.mount(self.counting, path, options)  # type: ignore[arg-type]

    async def tell(self) -> None:
        """Print one line for each signal, for as long as the mount lives."""
        with trio.open_signal_receiver(signal.SIGUSR1) as signals:
            async for _ in signals:
                calls = dict(self.counting.calls)
                self.counting.calls.clear()
                print(json.dumps({"inodes": len(self.counting.inodes), **calls}), flush=True)
