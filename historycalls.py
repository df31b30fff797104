"""The half of the Python API that is about commits, branches and tags, and who signed them."""

import trio

from .cas.diff.comparison import Difference
from .cas.diff.diff import compare
from .cas.edit.edits import EditReport
from .cas.edit.renaming import RenameReport
from .cas.formats.journal import RefChanged
from .cas.gc.collected import GRACE, RemoveReport
from .cas.history.commits import Told, told
from .cas.history.showing import ShownCommit, ShownEntry, changes_of, shown_at
from .cas.history.treechanges import Changed
from .cas.history.vouching import RefState, sign_refs, states
from .cas.refnames import parse_address, parse_ref, parse_repository
from .cas.signing.keyfiles import public_key
from .cas.store import Store as Engine
from .enginethread import EngineThread
from .errors import UsageError
from .trusting import distrust_key, trust_key, trusted_keys


class HistoryCalls(EngineThread):
    """What a store has had, by commit; `api.Store` has the rest."""

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
        where = parse_ref(address, "changes")

        def tell(engine: Engine) -> list[Changed]:
            commit = engine.objects.commit(engine.refs.resolve(where.repo, where.rev))
            return list(changes_of(engine.objects, commit))

        return self._call(lambda engine: trio.to_thread.run_sync(tell, engine))

    def log(self, address: str, *, every: bool = False) -> list[Told]:
        """The commits of `vendor/name[@REV]`, newest first, each with what it changed; with `every`
        of all branches and tags as well."""
        where = parse_ref(address, "log")

        def tell(engine: Engine) -> list[Told]:
            heads = engine.refs.heads(where.repo) if every else ()
            starts = [head.commit for head in heads]
            if where.rev or not starts:
                starts += engine.refs.starts(where.repo, where.rev)
            return list(told(engine.objects, starts))

        return self._call(lambda engine: trio.to_thread.run_sync(tell, engine))

    def reflog(self, address: str) -> list[RefChanged]:
        """How the refs of `vendor/name[@BRANCH]` moved, the latest change first."""
        where = parse_ref(address, "reflog")

        def tell(engine: Engine) -> list[RefChanged]:
            return list(engine.refs.changes(where.repo, where.rev))

        return self._call(lambda engine: trio.to_thread.run_sync(tell, engine))

    def tag(self, repository: str, tag: str, rev: str | None = None) -> list[RefChanged]:
        """Make a tag of REV, or of the branch main; what changed. ExistsError where it is there."""
        repo = parse_repository(repository, "tag")
        return self._call(lambda engine: engine.tag(repo, tag, rev))

    def branch(
        self, repository: str, branch: str, rev: str | None = None, *, force: bool = False
    ) -> list[RefChanged]:
        """Make a branch at REV, or move one on; what changed.

        With `force` also where it has commits that REV has not, which is a ConflictError else.
        """
        repo = parse_repository(repository, "branch")
        return self._call(lambda engine: engine.branch(repo, branch, rev, force=force))

    def undo(self, address: str) -> list[RefChanged]:
        """Undo the last change of `vendor/name`, or of one branch or tag of it; what changed."""
        where = parse_ref(address, "undo")
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
