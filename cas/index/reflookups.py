"""What the index answers about refs, and how they moved."""

from collections.abc import Iterator
from itertools import islice

from ...ids import ObjectId
from ..formats.journal import NO_ID, RefChanged, RefKind, decode_ref
from ..refnames import RefHead, RepoName, ref_key, ref_of_key, repo_prefix
from .environment import guarded
from .reading import Reading
from .records import HEAD, REFLOG


class RefLookups(Reading):
    """Refs, their log, and what of it was superseded."""

    def refs(self, repo: RepoName | None = None) -> list[RefHead]:
        """All heads, or those of one repository, sorted by vendor, name, kind and ref."""
        prefix = b"" if repo is None else repo_prefix(repo)
        heads = []
        with self._reading("refs") as txn, txn.cursor() as cursor:
            if not cursor.set_range(prefix) if prefix else not cursor.first():
                return []
            for key, value in cursor:
                if not key.startswith(prefix):
                    break
                name, kind, ref = ref_of_key(key)
                change, commit, time_ns = HEAD.unpack(value)
                heads.append(RefHead(name, kind, ref, ObjectId(commit), change, time_ns))
        return heads

    def ref(self, repo: RepoName, kind: RefKind, ref: str) -> list[RefHead]:
        """The heads of one ref: none, one, or several after concurrent updates."""
        with self._reading("refs") as txn, txn.cursor() as cursor:
            if not cursor.set_key(ref_key(repo, kind, ref)):
                return []
            found = [HEAD.unpack(value) for value in cursor.iternext_dup()]
        return [RefHead(repo, kind, ref, ObjectId(c), change, t) for change, c, t in found]

    def reflog(self, since_ns: int = 0, batch: int = 1000) -> Iterator[RefChanged]:
        """Every ref change from a time on (ns since the epoch), by time; read in batches.

        In an index that was made by a release without a reflog, changes since it was brought up to
        date only; `rebuild-index` finds the others.
        """
        after = REFLOG.pack(max(0, since_ns), NO_ID)
        while rows := self._changes_after(after, batch):
            after = rows[-1][0] + b"\0"
            with guarded(self.path, "reflog"):
                changes = [decode_ref(value) for _, value in rows]
            yield from changes

    def _changes_after(self, key: bytes, count: int) -> list[tuple[bytes, bytes]]:
        if self._dbs.reflog is None:
            return []
        with self._reading("reflog") as txn, txn.cursor() as cursor:
            return list(islice(cursor.iternext(), count)) if cursor.set_range(key) else []

    def change(self, time_ns: int, id_: bytes) -> RefChanged | None:
        """The ref change of that time and id; None in an index that does not know it any more."""
        if self._dbs.reflog is None:
            return None
        with self._reading("reflog") as txn:
            data = txn.get(REFLOG.pack(max(0, time_ns), id_))
            return None if data is None else decode_ref(data)

    def reflog_back(self, batch: int = 1000) -> Iterator[RefChanged]:
        """Every ref change that is known, the latest first; read in batches."""
        before: bytes | None = None
        while rows := self._changes_before(before, batch):
            before = rows[-1][0]
            with guarded(self.path, "reflog"):
                changes = [decode_ref(value) for _, value in rows]
            yield from changes

    def _changes_before(self, key: bytes | None, count: int) -> list[tuple[bytes, bytes]]:
        if self._dbs.reflog is None:
            return []
        with self._reading("reflog") as txn, txn.cursor() as cursor:
            behind = key is not None and cursor.set_range(key)
            found = cursor.prev() if behind else cursor.last()
            return list(islice(cursor.iterprev(), count)) if found else []

    def is_superseded(self, change: bytes) -> bool:
        """Whether a change of that id is named by another as its previous one."""
        with self._reading("superseded") as txn:
            return txn.get(change) is not None

    def last_change_ns(self) -> int:
        """The latest time of any ref change, ns since the epoch; 0 where none is known."""
        if self._dbs.reflog is None:
            return 0
        with self._reading("reflog") as txn, txn.cursor() as cursor:
            return int(REFLOG.unpack(cursor.key())[0]) if cursor.last() else 0
