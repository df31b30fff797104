"""A directory that is carried about: the only backend of a store of its own (`docs/format.md`).

It has nothing besides: no index, no configuration. These lie in the folder of the store that it is
used from, `exchange/<store id>`; they may be deleted at any time and are made anew from the
directory.
"""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

import trio

from .backends.keys import MARKER_KEY, parse_journal_key
from .backends.local import LocalBackend
from .backends.marker import ENCRYPTED, Marker, read_marker
from .cas.encryption.secrets import Secret
from .cas.index.index import Index
from .cas.locks import locked
from .config import read_config, write_config
from .creating import BackendSpec, create_store
from .erasure.scheme import Scheme
from .errors import BackendError, IndexDamagedError, ModelFloatError, UsageError, one_failure
from .ids import WriterId
from .opening import open_store, rebuild_store
from .storeconfig import BackendConfig, StoreConfig

FOLDER: Final = "exchange"
NAME: Final = "directory"
"""What its backend is called."""
_NEW: Final = "new-"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Carried:
    """The directory at `where`, used from the store in the folder `own`.

    `secret` opens it if it is encrypted; one that is made is of the scheme `erasure`. Without
    `wait` what meets a lock of another process is LockedError.
    """

    where: str
    own: str
    secret: Secret | None
    erasure: Scheme | None
    wait: bool

    async def marker(self) -> Marker | None:
        """Its marker; None where there is none, as in a directory that is to become one."""
        if not await trio.Path(self.where, MARKER_KEY).exists():
            return None
        backend = LocalBackend(NAME, self.where)
        try:
            return await read_marker(backend)
        finally:
            await backend.aclose()

    async def ready(self) -> str:
        """The folder with its index and configuration, as the directory is now."""
        exchange = os.path.join(self.own, FOLDER)
        await trio.Path(self.own, "locks").mkdir(exist_ok=True)
        lock = os.path.join(self.own, "locks", FOLDER)
        async with locked(lock, wait=self.wait, what=f"gets {self.where} ready"):
            await trio.to_thread.run_sync(_sweep, exchange)
            marker = await self.marker()
            if marker is None:
                return await self._made(exchange)
            self._refuse_foreign(marker)
            folder = os.path.join(exchange, marker.store.hex())
            await trio.to_thread.run_sync(self._configure, folder, marker)
            if not await self._take_over(folder):
                await self._anew(folder, marker)
            return folder

    async def _made(self, exchange: str) -> str:
        folder = await trio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix=_NEW, dir=exchange))
        made = await create_store(folder, self.erasure, [BackendSpec(NAME, self.where)], reserve=0)
        target = os.path.join(exchange, made.id.hex())
        await trio.Path(folder).rename(target)
        return target

    def _refuse_foreign(self, marker: Marker) -> None:
        if marker.store == read_config(self.own).id:
            raise UsageError(f"{self.where} is a backend of this very store; name another folder")
        if len(marker.backends) != 1:
            raise UsageError(
                f"{self.where} is one of {len(marker.backends)} backends of a store: name that "
                "store's folder"
            )

    def _configure(self, folder: str, marker: Marker, state: str | None = None) -> None:
        """Say where the directory lies now: it may have come by another way."""
        backend = BackendConfig(marker.name, self.where, marker.backend, state=state)
        encrypted = bool(marker.incompat & ENCRYPTED)
        config = StoreConfig(marker.store, marker.erasure, (backend,), encrypted=encrypted)
        with contextlib.suppress(ModelFloatError):
            known = read_config(folder)
            if known.backends == config.backends:
                return
            config = replace(known, backends=(backend,))
        os.makedirs(os.path.join(folder, "locks"), mode=0o700, exist_ok=True)
        write_config(folder, config)

    async def _take_over(self, folder: str) -> bool:
        """Bring the index up to date with what others have written to the directory; False where it
        has to be made anew: there is none, or the directory has gone back to what it was before."""
        if not await trio.Path(folder, "index", "data.mdb").exists():
            return False
        try:
            listed = await self._listed()
            index = os.path.join(folder, "index")
            known, lacking = await trio.to_thread.run_sync(_compare, index, listed)
            if not known:
                # What is gone may be in a segment that others have made of it since.
                await self._apply(folder)
                known, lacking = await trio.to_thread.run_sync(_compare, index, listed)
            if lacking:
                log.info("%s is of an earlier state than when it was last used", self.where)
            return known and not lacking
        except (BackendError, IndexDamagedError) as error:
            log.info("the index of %s is made anew: %s", self.where, error)
            return False

    async def _apply(self, folder: str) -> None:
        with one_failure():
            async with open_store(folder, wait=self.wait, secret=self.secret) as store:
                store.members.cipher.require()
                async with store.access.writing("modelfloat pull", told=False) as journal:
                    await journal.take_over()

    async def _listed(self) -> dict[WriterId, int]:
        """The last number of each writer that has a record in the directory."""
        found: dict[WriterId, int] = {}
        backend = LocalBackend(NAME, self.where)
        async with aclosing(backend.list("journal/")) as listing:
            async for each in listing:
                if (parsed := parse_journal_key(each.key)) is not None:
                    writer, seq, _ = parsed
                    found[writer] = max(seq, found.get(writer, 0))
        await backend.aclose()
        return found

    async def _anew(self, folder: str, marker: Marker) -> None:
        await trio.to_thread.run_sync(_put_away, folder)
        # Who only reads it leaves it as it is: it may be a medium that cannot be written.
        await trio.to_thread.run_sync(self._configure, folder, marker, "read-only")
        await rebuild_store(folder, wait=self.wait, secret=self.secret)
        await trio.to_thread.run_sync(self._configure, folder, marker)


def _sweep(exchange: str) -> None:
    """Remove what an interrupted push has left of a directory that was being made."""
    os.makedirs(exchange, mode=0o700, exist_ok=True)
    for name in os.listdir(exchange):
        if name.startswith(_NEW):
            shutil.rmtree(os.path.join(exchange, name), ignore_errors=True)


def _compare(path: str, listed: Mapping[WriterId, int]) -> tuple[bool, bool]:
    """Whether an index knows all records that the directory has, and whether that lacks one which
    the index knows and no segment stands for."""
    with contextlib.closing(Index.open(path)) as index:
        last = {writer: index.writer(writer)[0] for writer in index.writers()}
        behind = [writer for writer, seq in last.items() if listed.get(writer, 0) < seq]
        lacking = not all(index.is_made_good(writer, last[writer]) for writer in behind)
    return all(last.get(writer, 0) >= seq for writer, seq in listed.items()), lacking


def _put_away(folder: str) -> None:
    """Take the folder's name from it: who has it open goes on with it, as another site."""
    away = tempfile.mkdtemp(prefix=_NEW, dir=os.path.dirname(folder))
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder, os.path.join(away, "was"))
    shutil.rmtree(away, ignore_errors=True)
