"""The Python API: a store from ordinary synchronous code.

    import modelfloat

    with modelfloat.open("/srv/models") as store:
        store.add("llama/model.safetensors", "acme/llama")
        for entry in store.ls("acme/llama"):
            print(entry.name, entry.size)
        with store.open("acme/llama/model.safetensors") as file:
            header = file.read(8)

A `Store` runs the engine in a thread of its own and may be used from any thread.
"""

import functools
import os
from collections.abc import Mapping, Sequence

import trio

from . import exchanging
from .backends.registry import is_local_path
from .cas.add.report import AddPlan, AddReport
from .cas.add.request import AddRequest
from .cas.codecs.effort import Effort
from .cas.encryption import secrets
from .cas.encryption.secretfiles import read_key_file
from .cas.gc.collected import GRACE, GcReport
from .cas.get.getting import get
from .cas.get.report import GetReport
from .cas.journal.stamp import REFRESH
from .cas.read.filereader import FileReader
from .cas.read.regions import StoredTensor
from .cas.refnames import parse_address
from .cas.signing.keyfiles import read_signing_key
from .cas.signing.signer import GetSigner
from .cas.sites.forgetting import Forgotten
from .cas.sites.listing import SiteList
from .cas.store import Store as Engine
from .cas.storestats import StoreStats
from .cas.transfer.report import TransferReport, TransferRequest
from .cas.verify.checkorder import VerifyRequest
from .cas.verify.report import VerifyReport
from .contents import Listed, contents_of
from .erasure.scheme import Scheme
from .errors import UsageError
from .finding import Place, find_store
from .fuse.inuse import find_in_use
from .fuse.owndevices import mounted_devices
from .historycalls import HistoryCalls
from .joining import JoinReport, join_store
from .opening import open_store
from .otherstore import Other
from .storedfile import File


class Store(HistoryCalls):
    """An open store. Close it, or use it in a `with` statement.

    Without `wait`, a call that meets a lock of another process raises LockedError. An encrypted
    store is opened by its `passphrase`, or by a `key_file` or a recovery sheet; WrongKeyError where
    that does not. What is added is signed by the key in the file `sign_key`; with
    `require_signature` only what a trusted key signed is there, all else is SignatureError. What
    other machines commit is seen after `refresh` seconds at most, 0: only when something is
    written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        wait: bool = True,
        passphrase: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        sign_key: str | os.PathLike[str] | None = None,
        require_signature: bool = False,
        refresh: float = REFRESH,
    ) -> None:
        signing = None if sign_key is None else _signing_by(os.fspath(sign_key))
        self._signing = signing
        self._require_signature = require_signature
        open_ = functools.partial(
            open_store,
            os.fspath(path),
            wait=wait,
            secret=_secret_from(passphrase, key_file),
            signing=signing,
            require_signature=require_signature,
            refresh=refresh,
        )
        super().__init__(os.fspath(path), open_, wait=wait)

    def add(
        self,
        sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        address: str,
        *,
        message: str = "",
        tag: str | None = None,
        author: str = "",
        exclude: Sequence[str] = (),
        sync: bool = False,
        move: bool = False,
        reread: bool = False,
        preflight: bool = True,
        sha256: bool | None = None,
        effort: str = "balanced",
        erasure: str | None = None,
        min_shards: int | None = None,
    ) -> AddReport:
        """Store files and directories at `vendor/name[@branch][/path]`; what it did.

        `exclude` are globs of names or paths that are left out. With `sync` the branch, or path,
        becomes as the sources are; with `move` each source is unlinked once it was read back and
        compared. `reread` reads files that are as an earlier add has read them. Without
        `preflight` it begins even where it is not going to fit. `sha256` None means where there
        are four cores or more. `effort` is `fast`, `balanced` or `small`; `erasure` is the scheme
        `k+m` of the repository's new packs from now on, `min_shards` how many shards of a pack must
        be durable. Settings of the store (`modelfloat config`) are for commands, not for this
        call. All of it is explained in `modelfloat.cas.add.request.AddRequest`.

        Raises what `modelfloat.errors` describes: SourceChangedError, UsageError, BackendError, …
        What `failed` and `kept` of the report name is no error here.
        """
        request = AddRequest(
            self._paths(sources),
            parse_address(address),
            message,
            tag,
            author,
            exclude,
            sync=sync,
            move=move,
            reread=reread,
            preflight=preflight,
            keep_out=mounted_devices(self._path),
            sha256=sha256,
            effort=Effort.named(effort),
            erasure=None if erasure is None else Scheme.parse(erasure),
            min_shards=min_shards,
        )
        return self._call(lambda engine: engine.carry_out(request))

    def plan(
        self,
        sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        address: str,
        *,
        exclude: Sequence[str] = (),
        sync: bool = False,
        effort: str = "balanced",
    ) -> AddPlan:
        """What `add` of the same would do, and whether it fits; nothing is changed."""
        where = parse_address(address)
        request = AddRequest(
            self._paths(sources),
            where,
            exclude=exclude,
            sync=sync,
            effort=Effort.named(effort),
            keep_out=mounted_devices(self._path),
        )
        return self._call(lambda engine: engine.plan(request))

    @staticmethod
    def _paths(
        sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    ) -> list[str]:
        if isinstance(sources, str | os.PathLike):
            sources = [sources]
        return [os.fspath(source) for source in sources]

    def ls(self, address: str = "") -> list[Listed]:
        """What is in the store, or at `vendor/name[@REV][/path]`; a file lists itself."""

        async def list_(engine: Engine) -> list[Listed]:
            return await trio.to_thread.run_sync(contents_of, engine, address)

        return self._call(list_)

    def open(self, address: str) -> "File":
        """The file at `vendor/name[@REV]/path`, for reading: seekable, binary, unbuffered."""
        where = parse_address(address)

        async def open_(engine: Engine) -> FileReader:
            return engine.open_file(where)

        return File(address, self._call(open_), self.read)

    def tensors(self, address: str) -> list[StoredTensor]:
        """The tensors of the file at `vendor/name[@REV]/path`, in file order; nothing is read.

        Each says where its bytes lie, for `open` and `seek`, and in which chunks. There are none
        where the file's structure is not known, or was not when it was added.
        """
        where = parse_address(address)

        async def tensors(engine: Engine) -> list[StoredTensor]:
            return await trio.to_thread.run_sync(lambda: list(engine.tensors(where)))

        return self._call(tensors)

    def get(
        self,
        address: str | None,
        dest: str | os.PathLike[str],
        *,
        verify: bool = False,
        force: bool = False,
    ) -> GetReport:
        """Write what is at `vendor/name[@REV][/path]` to `dest`; all of the store where it is None.

        See `modelfloat get --help`. What could not be had is in the report's `failures`.
        """
        where = None if address is None else parse_address(address)
        return self._call(
            lambda engine: get(engine, where, os.fspath(dest), verify=verify, force=force)
        )

    def gc(
        self, *, grace: float = GRACE, dry_run: bool = False, accept_losses: bool = False
    ) -> GcReport:
        """Delete what no ref reaches, nor reached in the last `grace` seconds; what that freed.

        With `dry_run` nothing is changed. Files that are open on a mount are kept. Where lost
        journal records may have made refs, nothing is deleted unless `accept_losses`.
        """
        return self._call(
            lambda engine: engine.gc(
                grace=grace,
                dry_run=dry_run,
                accept_losses=accept_losses,
                find_in_use=lambda: find_in_use(engine.path),
            )
        )

    def sites(self) -> SiteList:
        """The folders that share the store's backends, this one first: when each was heard of, who
        is at work there, and what it recorded last."""
        return self._call(lambda engine: engine.sites())

    def forget_site(self, site: str, *, force: bool = False) -> Forgotten:
        """Forget a site that is gone, by the beginning of its id; BusyError where it is at work or
        was heard of within a day, unless `force`. One that comes back is known again."""
        return self._call(lambda engine: engine.forget_site(site, force=force))

    def push(
        self,
        where: str | os.PathLike[str],
        addresses: str | Sequence[str],
        *,
        tags: bool = False,
        force: bool = False,
        dry_run: bool = False,
        preflight: bool = True,
        erasure: str | None = None,
        passphrase: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
    ) -> TransferReport:
        """Send `vendor/name[@branch|@tag]` to another store's folder, or into a directory, which is
        made if it is missing or empty, of the scheme `erasure`; what was sent.

        See `modelfloat push --help`. `passphrase` or `key_file` opens the other store.
        """
        scheme = None if erasure is None else Scheme.parse(erasure)
        other = Other(
            os.path.abspath(where),
            os.path.abspath(self._path),
            _secret_from(passphrase, key_file),
            make=True,
            erasure=scheme,
            dry_run=dry_run,
            wait=self._wait,
            signing=self._signing,
        )
        request = self._transfer(addresses, (self._path, other.where), tags, force, preflight)
        return self._call(lambda engine: exchanging.push(engine, other, request))

    def pull(
        self,
        where: str | os.PathLike[str],
        addresses: str | Sequence[str],
        *,
        tags: bool = False,
        force: bool = False,
        dry_run: bool = False,
        preflight: bool = True,
        passphrase: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        require_signature: bool | None = None,
    ) -> TransferReport:
        """Fetch `vendor/name[@branch|@tag]` from another store's folder, or from a directory that
        `push` has made; what was fetched. Otherwise as `push`.

        With `require_signature`, None being as this store was opened, only what a key signed there
        that this store trusts: `refused` of what it returns tells of other refs, SignatureError
        where there is nothing else.
        """
        other = Other(
            os.path.abspath(where),
            os.path.abspath(self._path),
            _secret_from(passphrase, key_file),
            dry_run=dry_run,
            wait=self._wait,
            require_signature=(
                self._require_signature if require_signature is None else require_signature
            ),
        )
        request = self._transfer(addresses, (other.where, self._path), tags, force, preflight)
        return self._call(lambda engine: exchanging.pull(engine, other, request))

    @staticmethod
    def _transfer(
        addresses: str | Sequence[str],
        names: tuple[str, str],
        tags: bool,
        force: bool,
        preflight: bool,
    ) -> TransferRequest:
        listed = [addresses] if isinstance(addresses, str) else addresses
        return exchanging.request_of(
            listed, tags=tags, force=force, preflight=preflight, names=names
        )

    def verify(
        self,
        address: str = "",
        *,
        repair: bool = False,
        share: float | None = None,
        rate: float | None = None,
    ) -> VerifyReport:
        """Check every shard, or those that `vendor/name[@REV][/path]` needs; with `repair`, make
        again what is missing or damaged.

        `share` (0 to 1) of the bytes: packs whose last check is longest ago. `rate` bounds reading,
        in bytes a second.
        """
        where = parse_address(address) if address else None
        request = VerifyRequest(repair, where, share, rate)
        return self._call(lambda engine: engine.verify(request))

    def stats(self, *, by_repository: bool | None = None) -> StoreStats:
        """Where the bytes are: in all, by element type and codec, and `by_repository`; None means
        where that is counted soon."""
        return self._call(lambda engine: engine.stats(by_repository=by_repository))

    def read(self, reader: FileReader, offset: int, size: int) -> memoryview | bytes:
        """Bytes of an open file; what `File` is made of."""
        return self._call(lambda _: reader.read(offset, size))


def join_store_at(
    path: str | os.PathLike[str],
    backends: Sequence[str | os.PathLike[str]],
    named: Mapping[str, str],
    passphrase: str | None,
    key_file: str | os.PathLike[str] | None,
) -> JoinReport:
    """What `modelfloat.join` does."""
    secret = _secret_from(passphrase, key_file)
    places = [Place(os.path.abspath(b) if is_local_path(str(b)) else str(b)) for b in backends]
    places += [Place(url, name) for name, url in named.items()]

    async def run() -> JoinReport:
        found = await find_store(os.fspath(path), places)
        return await join_store(os.fspath(path), found, secret=secret)

    return trio.run(run)


def _signing_by(path: str) -> GetSigner:
    """The key in a file, read now: whoever opens the store hears at once that it cannot be."""
    signer = read_signing_key(path)
    return lambda: signer


def _secret_from(
    passphrase: str | None, key_file: str | os.PathLike[str] | None
) -> secrets.Secret | None:
    if passphrase is not None and key_file is not None:
        raise UsageError("passphrase and key_file are both given; give one of them")
    if key_file is not None:
        return read_key_file(os.fspath(key_file))
    return None if passphrase is None else secrets.passphrase(passphrase)
