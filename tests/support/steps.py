"""Every step that changes something, numbered, in one process; and something done at one of them.

A step is: a put begun, its bytes durable but not yet published, a put done; a delete begun or done;
a write transaction of the index begun or committed; a slot of a writer cut short or written; a
source unlinked by `add --move`.
`install` puts itself round whatever this process opens from then on, through any backend and index.

Concurrency: steps are reached in the event loop and in worker threads; a lock counts them.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import lmdb

from modelfloat import configured
from modelfloat.backends import retry, upload
from modelfloat.backends.base import Backend, Buffer
from modelfloat.cas.add import moving
from modelfloat.cas.journal import slots
from modelfloat.errors import BackendError, DeniedError, QuotaError, UnavailableError
from modelfloat.ids import Key

RAISES: dict[str, type[BackendError]] = {
    "unavailable": UnavailableError,
    "full": QuotaError,
    "denied": DeniedError,
}


class Steps:
    """Counts steps and strikes at number `at`; None strikes never.

    `fault` is "kill", or one of RAISES: that step fails, and with `lasting` all later ones of its
    kind (puts, deletes, index) too. `log` is a descriptor that gets a line for each step.
    """

    def __init__(self, at: int | None, fault: str, *, lasting: bool, log: int) -> None:
        self._at = at
        self._fault = fault
        self._lasting = lasting
        self._log = log
        self._count = 0
        self._struck = ""
        self._lock = threading.Lock()

    def reach(self, what: str, where: str = "", key: str = "") -> None:
        """Step `what` ("put begin", "index commit"), on backend `where`: live on, die or fail."""
        with self._lock:
            number, self._count = self._count, self._count + 1
            kind = what.split()[0]
            strikes = number == self._at or (self._lasting and kind == self._struck)
            os.write(self._log, f"{'!' if strikes else ' '} {what} {where} {key}\n".encode())
            if not strikes:
                return
            if self._fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            self._struck = kind
        self._fail(what, where, key)

    def _fail(self, what: str, where: str, key: str) -> None:
        if what.startswith("index"):
            raise lmdb.DiskError(f"injected: {self._fault}")
        if what.startswith(("slot", "unlink")):
            raise OSError(28, "No space left on device (injected)")
        message = f"backend {where}: {what} {key}: injected: {self._fault}"
        raise RAISES[self._fault](message, backend=where, key=key)


class StepBackend:
    """`inner`, whose puts and deletes are steps."""

    def __init__(self, inner: Backend, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`."""
        self._steps.reach("put begin", self._inner.name, key)
        await self._inner.put(key, parts, if_absent=if_absent)
        self._steps.reach("put end", self._inner.name, key)

    @property
    def bulk(self) -> None:
        """Each key goes by itself, so a crash may come between any two of them."""

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        self._steps.reach("delete begin", self._inner.name, key)
        await self._inner.delete(key)
        self._steps.reach("delete end", self._inner.name, key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _StepEnvironment:
    """An LMDB environment whose write transactions are steps."""

    def __init__(self, inner: Any, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def begin(self, *arguments: Any, **options: Any) -> Any:
        transaction = self._inner.begin(*arguments, **options)
        return _StepTransaction(transaction, self._steps) if options.get("write") else transaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _StepTransaction:
    def __init__(self, inner: Any, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def __enter__(self) -> Any:
        return self._inner.__enter__()

    def __exit__(self, *failure: object) -> Any:
        if failure[0] is None:
            try:
                self._steps.reach("index begin")
            except BaseException:
                self._inner.__exit__(*sys.exc_info())
                raise
        found = self._inner.__exit__(*failure)
        if failure[0] is None:
            self._steps.reach("index end")
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def install(steps: Steps) -> None:
    """Count every step of this process from now on. There is no way back: use a child process."""
    _wrap_backends(steps)
    _wrap_index(steps)
    _wrap_slots(steps)
    _wrap_unlink(steps)
    # Waits between tries would be most of a test's time.
    retry.RetryBackend.__init__.__defaults__ = (retry.RetryPolicy(tries=3, first=0.001),)


def _wrap_backends(steps: Steps) -> None:
    real_open, real_publish = configured.open_backend, upload.Uploader._publish

    def open_backend(*arguments: Any, **options: Any) -> Any:
        return StepBackend(real_open(*arguments, **options), steps)

    def publish(self: upload.Uploader, temporary: str, path: str, if_absent: bool) -> None:
        if steps._fault == "kill":
            steps.reach("publish", path)
        real_publish(self, temporary, path, if_absent)

    configured.open_backend = open_backend
    upload.Uploader._publish = publish  # type: ignore[method-assign]


def _wrap_index(steps: Steps) -> None:
    real_open = lmdb.open

    def open_(*arguments: Any, **options: Any) -> Any:
        return _StepEnvironment(real_open(*arguments, **options), steps)

    lmdb.open = open_


def _wrap_slots(steps: Steps) -> None:
    real = slots._replace

    def replace(path: str, data: bytes) -> None:
        steps.reach("slot begin", path)
        if steps._fault == "kill":
            os.truncate(path, 0)
            steps.reach("slot cut", path)
        real(path, data)
        steps.reach("slot end", path)

    slots._replace = replace


def _wrap_unlink(steps: Steps) -> None:
    real = moving.unlink

    def unlink(source: bytes) -> None:
        steps.reach("unlink begin", os.fsdecode(source))
        real(source)
        steps.reach("unlink end", os.fsdecode(source))

    moving.unlink = unlink
