"""What a backend is: a place that stores bytes by key, and nothing more.

The contract, checked for every backend and wrapper by `tests/contract`:

* `put` is atomic and durable: afterwards a reader sees all of the bytes, even across a power cut;
  before, none of them. After a failure or a cancellation it sees all or none.
* A ranged `get` returns exactly the bytes asked for; a short answer is `CorruptAnswerError`.
* `delete` of a key that is not there succeeds: deletes are repeated after crashes.
* `list` yields keys with sizes in no particular order; it is never called in a read path.
* A key that breaks the grammar is refused with ValueError before anything happens.
* Every other failure is one of the classes below `BackendError`.
* A call that is cancelled returns at once, even if the storage hangs. What it had begun may go on
  for a while and holds views of the caller's buffers: a `put` so given up still stores all or
  nothing, maybe only after a later call for its key, and a `get_into` may still write. So a buffer
  whose `get_into` was cancelled, or raised UnavailableError, is not filled from elsewhere and not
  used again while such a view is left.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..ids import Key
from ..rate import Rate

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Properties:
    """What differs between backends, as data.

    Sizes are bytes, latency is seconds. `domain` labels what fails together with this backend.
    `conditional_put` says that `put(if_absent=True)` is decided by the backend itself, atomically
    among all its writers. `largest_object` is None where there is no limit worth knowing.
    Without `atomic_replace` a value that is replaced may be gone, or not be read, for a moment.
    `rate` is how much may be asked of it, None where nobody counts; the registry sees to it.
    What is `read_only` can never be written to, whoever asks.
    """

    url: str
    domain: str
    conditional_put: bool
    concurrency: int
    latency: float
    largest_object: int | None = None
    atomic_replace: bool = True
    rate: Rate | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Space of a backend in bytes; None where it cannot tell.

    Backends with the same `space`, if it is not empty, share what is free.
    """

    free: int | None
    total: int | None
    space: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """One key that a listing found, and its size in bytes."""

    key: Key
    size: int


@runtime_checkable
class Backend(Protocol):
    """A place that stores shards by key. See this module's docstring for the contract."""

    @property
    def name(self) -> str:
        """The name the user gave it; every message and log line uses it."""
        ...

    @property
    def properties(self) -> Properties:
        """What it can do and what it costs."""
        ...

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """Store the concatenation of `parts` under `key`, atomically and durably.

        Replaces what was there, unless `if_absent`: then an existing key is `KeyExistsError` and
        stays as it was. `parts` must not change until this returns.
        """
        ...

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes of `key` from `offset` on (both in bytes)."""
        ...

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """Return `size` bytes of `key` from `offset` on; all that follow when size is None.

        With `most`, of what is longer only so many and one more: that it is longer shows, and
        takes no memory, whatever whoever has the backend lays there.
        """
        ...

    async def head(self, key: Key) -> int:
        """The size of `key` in bytes."""
        ...

    async def age(self, key: Key) -> float:
        """Seconds since `key` was last written, by the backend's own clock; never less than 0."""
        ...

    async def delete(self, key: Key) -> None:
        """Remove `key`, durably; no error when it is not there."""
        ...

    def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """Every key that begins with `prefix`, with its size.

        Close it (`contextlib.aclosing`) where it may not be read to its end.
        """
        ...

    async def usage(self) -> Usage:
        """Free and total space."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and descriptors; the backend is not used afterwards."""
        ...
