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

import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import trio
import trio.from_thread

from . import exchanging
from .backends.registry import is_local_path
from .cas.add.report import AddPlan, AddReport
from .cas.add.request import AddRequest
from .cas.addressed import look_up, shown_head
from .cas.codecs.effort import Effort
from .cas.diff.comparison import Difference
from .cas.diff.diff import compare
from .cas.edit.edits import EditReport
from .cas.edit.renaming import RenameReport
from .cas.encryption import secrets
from .cas.encryption.secretfiles import read_key_file
from .cas.formats.journal import RefChanged
from .cas.gc.collected import GRACE, GcReport, RemoveReport
from .cas.get.getting import get
from .cas.get.report import GetReport
from .cas.history.commits import Told, told
from .cas.history.showing import ShownCommit, ShownEntry, changes_of, shown_at
from .cas.history.treechanges import Changed
from .cas.history.vouching import RefState, sign_refs, states
from .cas.journal.stamp import REFRESH
from .cas.read.filereader import FileReader
from .cas.read.regions import StoredTensor
from .cas.refnames import Address, RepoName, parse_address
from .cas.signing.keyfiles import public_key, read_signing_key
from .cas.signing.signer import GetSigner
from .cas.sites.forgetting import Forgotten
from .cas.sites.listing import SiteList
from .cas.store import Store as Engine
from .cas.storestats import StoreStats
from .cas.transfer.report import TransferReport, TransferRequest
from .cas.verify.checkorder import VerifyRequest
from .cas.verify.report import VerifyReport
from .erasure.scheme import Scheme
from .errors import UsageError, first_failure, one_failure
from .finding import Place, find_store
from .fuse.inuse import find_in_use
from .fuse.owndevices import mounted_devices
from .joining import JoinReport, join_store
from .opening import open_store
from .otherstore import Other
from .storedfile import File
from .trusting import distrust_key, trust_key, trusted_keys

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a listing: a repository, a file, a directory or a link. `size` is bytes."""

    name: str
    type: str
    size: int
    mtime_ns: int


class Store:
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
        self._path = os.fspath(path)
        self._wait = wait
        self._refresh = refresh
        self._secret = _secret_from(passphrase, key_file)
        self._signing = None if sign_key is None else _signing_by(os.fspath(sign_key))
        self._signed = require_signature
        self._ready = threading.Event()
        self._engine: Engine | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop: trio.Event | None = None
        self._failure: BaseException | None = None
        self._pid = os.getpid()
        self._calls = threading.Condition()
        self._running = 0
        self._thread = threading.Thread(target=self._run, name="modelfloat", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise first_failure(self._failure) or self._failure

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        async with open_store(
            self._path,
            wait=self._wait,
            secret=self._secret,
            signing=self._signing,
            require_signature=self._signed,
            refresh=self._refresh,
        ) as engine:
            self._engine = engine
            self._token = trio.lowlevel.current_trio_token()
            self._stop = trio.Event()
            self._ready.set()
            await self._stop.wait()

    def _call(self, job: Callable[[Engine], Awaitable[_T]]) -> _T:
        engine, token = self._enter()

        async def run() -> _T:
            with one_failure():
                return await job(engine)

        try:
            return trio.from_thread.run(run, trio_token=token)
        except trio.RunFinishedError:
            raise UsageError(f"the store {self._path} is closed") from self._failure
        finally:
            with self._calls:
                self._running -= 1
                self._calls.notify_all()

    def _enter(self) -> tuple[Engine, trio.lowlevel.TrioToken]:
        """Count a call that begins; UsageError where none may begin any more."""
        if os.getpid() != self._pid:
            raise UsageError(
                f"the store {self._path} was opened before this process was forked; open it again"
            )
        with self._calls:
            if self._engine is None or self._token is None:
                raise UsageError(f"the store {self._path} is closed")
            self._running += 1
            return self._engine, self._token

    def close(self) -> None:
        """Wait for calls under way, then let go of index and backends; again does nothing.

        In a forked child it does nothing either: the thread that it would wait for is not there.
        """
        if os.getpid() != self._pid:
            return
        with self._calls:
            if self._engine is None or self._token is None or self._stop is None:
                return
            self._engine = None
            self._calls.wait_for(lambda: not self._running)
        with contextlib.suppress(trio.RunFinishedError):
            trio.from_thread.run_sync(self._stop.set, trio_token=self._token)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

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
            return await trio.to_thread.run_sync(_list, engine, address)

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

    def diff(self, old: str, new: str) -> Difference:
        """What makes `new` different from `old`, both `vendor/name[@REV][/path]`: files, tensors.

        Close what it returns, or use it in a `with` statement; one thread at a time.
        """
        addresses = parse_address(old), parse_address(new)
        return self._call(lambda engine: compare(engine, *addresses))

    def show(self, address: str) -> ShownCommit | ShownEntry:
        """The commit that `vendor/name[@REV]` means; with a path what lies there in it."""
        where = parse_address(address)

        async def look(engine: Engine) -> ShownCommit | ShownEntry:
            return await trio.to_thread.run_sync(shown_at, engine.objects, engine.refs, where)

        return self._call(look)

    def changes(self, address: str) -> list[Changed]:
        """The files and links that the commit `vendor/name[@REV]` changed, against its first
        parent; nothing is read from backends."""
        where = _without_path(address, "changes")

        def tell(engine: Engine) -> list[Changed]:
            commit = engine.objects.commit(engine.refs.resolve(where.repo, where.rev))
            return list(changes_of(engine.objects, commit))

        return self._call(lambda engine: trio.to_thread.run_sync(tell, engine))

    def log(self, address: str, *, every: bool = False) -> list[Told]:
        """The commits of `vendor/name[@REV]`, newest first, each with what it changed; of all
        branches and tags with `every`."""
        where = _without_path(address, "log")

        def tell(engine: Engine) -> list[Told]:
            heads = engine.refs.heads(where.repo) if every else ()
            starts = [head.commit for head in heads] or engine.refs.starts(where.repo, where.rev)
            return list(told(engine.objects, starts))

        return self._call(lambda engine: trio.to_thread.run_sync(tell, engine))

    def reflog(self, address: str) -> list[RefChanged]:
        """How the refs of `vendor/name[@BRANCH]` moved, the latest change first."""
        where = _without_path(address, "reflog")

        def tell(engine: Engine) -> list[RefChanged]:
            return list(engine.refs.changes(where.repo, where.rev))

        return self._call(lambda engine: trio.to_thread.run_sync(tell, engine))

    def tag(self, repository: str, tag: str, rev: str | None = None) -> list[RefChanged]:
        """Make a tag of REV, or of the branch main; what changed. ExistsError where it is there."""
        repo = _repository_alone(repository, "tag")
        return self._call(lambda engine: engine.tag(repo, tag, rev))

    def branch(
        self, repository: str, branch: str, rev: str | None = None, *, force: bool = False
    ) -> list[RefChanged]:
        """Make a branch at REV, or move one on; what changed.

        With `force` also where it has commits that REV has not, which is a ConflictError else.
        """
        repo = _repository_alone(repository, "branch")
        return self._call(lambda engine: engine.branch(repo, branch, rev, force=force))

    def undo(self, address: str) -> list[RefChanged]:
        """Undo the last change of `vendor/name`, or of one branch or tag of it; what changed."""
        where = _without_path(address, "undo")
        return self._call(lambda engine: engine.undo(where.repo, where.rev))

    def rm(
        self, address: str, *, grace: float = GRACE, author: str = "", message: str = ""
    ) -> RemoveReport:
        """Remove `vendor/name[@branch|@tag]`, or by a commit what a branch has at a path.

        `frees` of what it returns is bytes, for a later gc; `grace` is how many seconds that gc
        will keep it. What went from a branch stays in its history. NotFoundError if there is none.
        """
        where = parse_address(address)
        return self._call(
            lambda engine: engine.remove(where, grace=grace, author=author, message=message)
        )

    def mv(
        self, source: str, target: str, *, author: str = "", message: str = ""
    ) -> EditReport | RenameReport:
        """Move a file or a folder within its branch, by a commit; or, without paths, rename a
        repository, a branch or a tag. ExistsError where something has that name."""
        places = parse_address(source), parse_address(target)
        return self._call(lambda engine: engine.move(*places, author=author, message=message))

    def restore(
        self, address: str, branch: str | None = None, *, author: str = "", message: str = ""
    ) -> EditReport:
        """Make what `vendor/name@rev[/path]` names, on `branch`, as it is there, by a commit.

        `branch` None is the one that REV counts back from (`dev~2`), else `main`.
        """
        where = parse_address(address)
        return self._call(
            lambda engine: engine.restore(where, branch, author=author, message=message)
        )

    def sign(self, name: str | None = None) -> list[RefChanged]:
        """Sign the branches and tags of `vendor/name[@REF]` as they are now, all of the store with
        None, but for those that `sign_key` has signed; what was signed."""
        where = None if name is None else parse_address(name)
        return self._call(lambda engine: sign_refs(engine.access, where))

    def signatures(self, name: str | None = None) -> list[RefState]:
        """Who signed the branches and tags of `vendor/name[@REF]`, all of the store with None, and
        what keeps each from being shown where signatures are required."""
        where = None if name is None else parse_address(name)

        async def look(engine: Engine) -> list[RefState]:
            keys = await trusted_keys(self._path)
            return await trio.to_thread.run_sync(states, engine.index, engine.path, keys, where)

        return self._call(look)

    def trust(self, key: str, name: str = "") -> None:
        """Trust what a key signs, given by its 64 digits; `name` is for people."""
        public = public_key(key)
        if public is None:
            raise UsageError(f"{key} is no public key: that is 64 hexadecimal digits")
        found = public
        self._call(lambda _: trust_key(self._path, found, name, wait=self._wait))

    def distrust(self, key: str) -> None:
        """Trust a key no more, given by its digits or its name."""
        self._call(lambda _: distrust_key(self._path, key, wait=self._wait))

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
    ) -> TransferReport:
        """Fetch `vendor/name[@branch|@tag]` from another store's folder, or from a directory that
        `push` has made; what was fetched. Otherwise as `push`."""
        other = Other(
            os.path.abspath(where),
            os.path.abspath(self._path),
            _secret_from(passphrase, key_file),
            dry_run=dry_run,
            wait=self._wait,
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


def _without_path(text: str, what: str) -> Address:
    """`vendor/name[@REV]`; UsageError with a path, which would be passed over."""
    where = parse_address(text)
    if where.path:
        raise UsageError(f"{text}: {what} takes VENDOR/NAME[@REV] without a path")
    return where


def _repository_alone(text: str, what: str) -> RepoName:
    """`vendor/name`; UsageError with more than that, which would be passed over."""
    where = parse_address(text)
    if where.path or where.rev is not None:
        raise UsageError(f"{text}: {what} takes VENDOR/NAME and nothing behind it")
    return where.repo


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


def _list(engine: Engine, text: str) -> list[Listed]:
    if not text:
        return [_repository(engine, repo) for repo in map(str, engine.refs.repositories())]
    found = look_up(engine.objects, engine.refs, parse_address(text))
    if found.entry is not None and found.directory is None:
        entries = [found.entry]
    else:
        entries = list(engine.objects.directory(found.directory or found.root).entries())
    return [Listed(os.fsdecode(e.name), e.type.name.lower(), e.size, e.mtime_ns) for e in entries]


def _repository(engine: Engine, name: str) -> Listed:
    repo = parse_address(name).repo
    heads = engine.refs.heads(repo)
    tree = engine.objects.directory(engine.objects.commit(shown_head(heads).commit).tree)
    updated = max(head.time_ns for head in heads)
    return Listed(name, "repository", sum(e.size for e in tree.entries()), updated)
