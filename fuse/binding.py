"""What a binding to the kernel offers. There is one file a binding; `bindings` knows them.

What a binding answers with is `Operations`, which knows none: it takes inodes, names and handles,
and its failures are OSErrors.
"""

from typing import Protocol

from .operations import Operations


class Session(Protocol):
    """One mount that exists in the kernel."""

    @property
    def note(self) -> str:
        """What the log should tell of it once it answers; "" for nothing."""
        ...

    async def run(self) -> None:
        """Answer requests until the mount is gone or `stop` was called."""
        ...

    def stop(self) -> None:
        """Let `run` return as soon as the requests under way are answered."""
        ...

    def close(self) -> None:
        """Unmount, if that is still to be done, and let go. Nothing may be awaited in between."""
        ...


class Binding(Protocol):
    """A way to talk to the kernel."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def mount(self, operations: Operations, path: str, options: frozenset[str]) -> Session:
        """Mount on the folder `path` with options as of mount(8).

        UnsupportedError when the machine does not let us.
        """
        ...
