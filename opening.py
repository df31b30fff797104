"""Opening stores: the configured backends go to the engine, and are followed as they change."""

import contextlib
import functools
import logging
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import trio

from .cas.encryption.keys import StoreKeys
from .cas.encryption.secrets import Secret
from .cas.encryption.storecipher import cipher_of
from .cas.engine import open_engine
from .cas.index.lmdbfile import file_of
from .cas.lease.others import knows_others
from .cas.locks import locked
from .cas.openoptions import OpenOptions, Trusting
from .cas.packs.members import Members
from .cas.progress import Progress
from .cas.read.options import ReadOptions
from .cas.read.refetch import FetchRange
from .cas.sharing import undisturbed
from .cas.signing.signer import GetSigner, require_library
from .cas.store import Store
from .config import read_config, write_config
from .configured import members_of
from .erasure.scheme import Scheme
from .errors import ModelFloatError, UsageError, one_failure
from .ids import PublicKey
from .marking import recreate, remark
from .sharedlist import SharedList
from .storeconfig import Scalar, StoreConfig
from .unlocking import unlock_keys

if TYPE_CHECKING:
    from .cas.rebuild.report import RebuildReport

FOLLOW: Final = 5.0
"""Seconds between two looks at the configuration while a store is open."""
MARKERS: Final = 60.0
"""Seconds between two looks at a marker, which tells of backends that others added or removed."""

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def open_store(
    path: str,
    *,
    wait: bool = True,
    reading: ReadOptions | None = None,
    fetch: FetchRange | None = None,
    keys: StoreKeys | None = None,
    secret: Secret | None = None,
    signing: GetSigner | None = None,
    require_signature: bool = False,
    trusting: Trusting | None = None,
    refresh: float = 0.0,
) -> AsyncIterator[Store]:
    """Open the store in the folder `path`. Backends that are down are no error here.

    Without `wait`, work that meets a lock of another process is LockedError. `reading` says how
    files are read; `fetch` gets bytes from where files came from, for what is lost. Without `keys`,
    and without a `secret` that they are got by, an encrypted store's shards can be checked and
    moved; what needs more is KeyNeededError. WrongKeyError where `secret` does not open it.
    `signing` gets what changes of refs are signed by. With `require_signature` only refs are shown
    that a key signed which the configuration trusts, and none that is older than what was shown
    before; others are SignatureError. With `trusting` the same by the keys of somebody else, who
    keeps what was seen as well.

    What other sites record is followed every `refresh` seconds, and at once where nobody did so as
    lately; with 0 it is not, so only who writes takes it over.
    """
    path = str(await trio.Path(path).resolve())
    config = await trio.to_thread.run_sync(read_config, path)
    keys = keys or await unlock_keys(path, config, secret)
    cipher = cipher_of(keys, encrypted=config.encrypted)
    if require_signature:
        trusting = Trusting(require_trusted(path, config), path)
    members = await trio.to_thread.run_sync(members_of, path, config)

    options = OpenOptions(
        wait=wait,
        reading=reading or ReadOptions(),
        fetch=fetch,
        cipher=cipher,
        signing=signing,
        trusting=trusting,
        recreate=functools.partial(recreate, path),
        remark=functools.partial(remark, path),
    )
    scheme = Scheme.parse(config.scheme)
    async with (
        open_engine(path, scheme, members, config.id, options) as store,
        trio.open_nursery() as nursery,
    ):
        shared = SharedList(path, config, store.members, store.holds)
        follower = _Follower(path, store, shared, trusts=require_signature)
        await follower.look()
        store.members.refresh = follower.look
        nursery.start_soon(follower.run)
        if refresh:
            sites = store.access.follower
            await sites.catch_once(refresh)
            nursery.start_soon(sites.run, refresh)
        yield store
        nursery.cancel_scope.cancel()


def require_trusted(path: str, config: StoreConfig) -> Mapping[PublicKey, str]:
    """The keys that the store in the folder `path` trusts; UsageError where these are none."""
    require_library()
    if not config.trusted:
        raise UsageError(
            f"signatures are required, and {path}/config.toml trusts no key; `modelfloat key sign "
            "trust KEY` makes it trust one"
        )
    return config.trusted


@dataclass(slots=True)
class _Follower:
    """Takes over backends that other processes and other folders add or take away, while a store is
    open; with `trusts` keys too that other processes trust, or do not any more."""

    path: str
    store: Store
    shared: SharedList
    trusts: bool
    _turn: int = 0

    async def run(self) -> None:
        """Look again and again."""
        index = os.path.join(self.path, "index")
        opened = await trio.to_thread.run_sync(file_of, index)
        asked = trio.current_time()
        while True:
            await trio.sleep(FOLLOW)
            opened = await trio.to_thread.run_sync(_tell_replaced, self.path, index, opened)
            if trio.current_time() >= asked + MARKERS:
                asked = trio.current_time()
                await self._ask_one()
            await self.look()

    async def _ask_one(self) -> None:
        """Read one marker, of another backend each time; all of them where it tells something new.
        Nobody else changes them where no other site is known."""
        up = self.store.members.up()
        if not up or not await trio.to_thread.run_sync(knows_others, self.store.access.lock("")):
            return
        self._turn += 1
        member = up[self._turn % len(up)]
        before = member.marker
        await self.store.members.look_at(member)
        if member.marker != before:
            await self.store.members.look()

    async def look(self) -> None:
        """Take over what the configuration says now, and what others made of the list."""
        try:
            now = await trio.to_thread.run_sync(read_config, self.path)
            if self.trusts:
                self.store.trust(now.trusted)
            await self.shared.follow(now)
        except (ModelFloatError, OSError) as error:
            # A configuration being edited must not end what is open: it stays as it was.
            log.warning("%s; what is open goes on without the change", error)


def _tell_replaced(path: str, index: str, opened: tuple[int, int] | None) -> tuple[int, int] | None:
    """Warn once where another file took the place of the index; which one is there now."""
    now = file_of(index)
    if now is None or now == opened:
        return opened
    if opened is not None:
        log.warning(
            "the index of %s was replaced, and this process serves from the old one: what is "
            "damaged there stays so, what is added from now on is not seen; unmount, and mount "
            "again",
            path,
        )
    return now


async def rebuild_store(
    path: str,
    *,
    wait: bool = True,
    progress: Progress | None = None,
    keys: StoreKeys | None = None,
    secret: Secret | None = None,
) -> "RebuildReport":
    """Make the index of the store in `path` anew, from what lies on its backends.

    Of an encrypted store only with its `keys`, or a `secret` that opens it, else KeyNeededError.
    The old one may be missing, damaged or of an earlier state. Mounts go on with it until they end.
    UnavailableError where more backends are down than that can be done without.
    """
    path = str(await trio.Path(path).resolve())
    config = await trio.to_thread.run_sync(read_config, path)  # without a store no lock is made
    keys = keys or await unlock_keys(path, config, secret)
    with one_failure():
        async with _alone(path, "modelfloat rebuild-index", wait=wait):
            # A backend may have come or gone while the locks were waited for.
            config = await trio.to_thread.run_sync(read_config, path)
            return await _rebuild(path, config, progress or Progress(), keys, wait=wait)


async def make_index(
    path: str, config: StoreConfig, progress: Progress, keys: StoreKeys | None, *, wait: bool = True
) -> "RebuildReport":
    """The same for a store whose configuration is not written yet, in a folder that is there; from
    the journals alone, which say where shards are, unless records are lost."""
    with one_failure():
        async with _alone(path, "modelfloat init --join", wait=wait):
            return await _rebuild(path, config, progress, keys, wait=wait, shards=False)


@contextlib.asynccontextmanager
async def _alone(path: str, what: str, *, wait: bool) -> AsyncIterator[None]:
    locks = os.path.join(path, "locks")
    await trio.Path(locks).mkdir(exist_ok=True)
    async with (
        locked(os.path.join(locks, "gc"), wait=wait, what=what),
        locked(os.path.join(locks, "store"), wait=wait, what=what),
    ):
        yield


async def _rebuild(
    path: str,
    config: StoreConfig,
    progress: Progress,
    keys: StoreKeys | None,
    *,
    wait: bool,
    shards: bool = True,
) -> "RebuildReport":
    """With the store's locks held."""
    from .cas.rebuild.rebuild import rebuild_index  # here, because hardly a command does this

    cipher = cipher_of(keys, encrypted=config.encrypted)
    cipher.require()
    members = await trio.to_thread.run_sync(members_of, path, config)
    found = Members(config.id, members, cipher)
    try:
        await found.look()
        await SharedList(path, config, found).follow(config)
        copies = Scheme.parse(config.scheme).m + 1
        async with undisturbed(found, os.path.join(path, "locks"), wait=wait):
            return await rebuild_index(path, config.id, found, copies, progress, shards=shards)
    finally:
        with trio.CancelScope(shield=True):
            await found.aclose()


async def change_setting(path: str, key: str, value: Scalar | None, wait: bool = True) -> None:
    """Set `key` in the store's configuration, or with None take it out.

    The caller knows which settings there are. LockedError when another process changes the
    configuration and `wait` is False.
    """
    await trio.to_thread.run_sync(read_config, path)  # where there is no store no lock is made
    async with locked(os.path.join(path, "locks", "config"), wait=wait):
        config = await trio.to_thread.run_sync(read_config, path)
        settings = {k: v for k, v in config.settings.items() if k != key}
        if value is not None:
            settings[key] = value
        changed = replace(config, settings=settings)
        await trio.to_thread.run_sync(write_config, path, changed)
