"""Which heads may be shown where signatures are required: signed, trusted, not older than seen.

Concurrency: synchronous reads of the index, and of a file that is written when a ref has moved; to
be called in worker threads. Keys may be replaced at any time, from another thread.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from ...errors import SignatureError
from ...ids import PublicKey
from ..formats.journal import NO_ID, RefChanged, RefKind
from ..index.lookups import Lookups
from ..refnames import RefHead, RefKey, RepoName
from .seen import Seen, SeenRefs
from .signer import is_right

_KNOWN: Final = 100_000
"""Changes whose signatures are known to be right, at most; then all are checked anew."""

log = logging.getLogger(__name__)


class Trust:
    """Judges the heads of a store's refs. `keys` are those that are trusted, with their names."""

    def __init__(self, index: Lookups, seen: SeenRefs, keys: Mapping[PublicKey, str]) -> None:
        self._index = index
        self._seen = seen
        self._store = index.store
        self.keys = keys
        self._right: dict[bytes, PublicKey] = {}
        self._told: set[bytes] = set()

    def require(self, heads: Sequence[RefHead]) -> None:
        """SignatureError unless all heads of one ref may be shown; what is, is noted as seen."""
        refusal = self.judge(heads)
        if refusal is not None:
            raise refusal
        self._note([heads])

    def sifted(self, heads: Sequence[RefHead], *, some: bool = False) -> list[RefHead]:
        """Those of the heads of several refs that may be shown; the log tells of others, once.

        With `some` SignatureError where there are heads and none may: it tells of the first.
        """
        kept, refused = self._judged(heads)
        alone = refused.pop(0)[1] if some and refused and not kept else None
        for head, refusal in refused:
            self._tell(head, refusal)
        if alone is not None:
            raise alone
        self._note(kept)
        return [head for each in kept for head in each]

    def refusals(self, heads: Sequence[RefHead]) -> list[SignatureError]:
        """What keeps heads of several refs from being shown; for who tells it in the log's place,
        which is silent about them from now on."""
        _, refused = self._judged(heads)
        self._told.update(head.change for head, _ in refused)
        return [refusal for _, refusal in refused]

    def _judged(
        self, heads: Sequence[RefHead]
    ) -> tuple[list[list[RefHead]], list[tuple[RefHead, SignatureError]]]:
        """The heads of refs that may be shown; of the others the first head, and what keeps them
        from it."""
        by_ref = [list(each) for _, each in groupby(heads, key=_ref)]
        judged = [(each, self.judge(each)) for each in by_ref]
        kept = [each for each, refusal in judged if refusal is None]
        return kept, [(each[0], refusal) for each, refusal in judged if refusal is not None]

    def judge(self, heads: Sequence[RefHead]) -> SignatureError | None:
        """What keeps the heads of one ref from being shown, None where nothing does."""
        found = (self._unsigned(head) for head in heads)
        return next((each for each in found if each is not None), None) or self._rolled_back(heads)

    def require_removed(self, repo: RepoName, kind: RefKind, ref: str) -> None:
        """Nothing for a ref without a head that never had one here, or that a trusted key removed;
        else SignatureError."""
        seen = self._seen.get((repo, kind, ref))
        if seen is None or seen.gone:
            return
        removal = self._removal(seen, (repo, kind, ref))
        if removal is None:
            raise SignatureError(
                f"{repo}@{ref} is gone, and no key that is trusted signed its removal: somebody "
                "removed it who may not, or hides what there is; have it signed, or remove it again"
            )
        self._seen.note({(repo, kind, ref): Seen(removal.time_ns, removal.id, gone=True)})

    def seen(self) -> list[RefKey]:
        """The refs that were there when they were seen last."""
        return [ref for ref, seen in self._seen.all().items() if not seen.gone]

    def lost(self, ref: RefKey) -> SignatureError | None:
        """What is wrong with a ref without a head, None where nothing is: see `require_removed`."""
        try:
            self.require_removed(*ref)
        except SignatureError as error:
            return error
        return None

    def tell_lost(self, refs: Iterable[RefKey]) -> None:
        """Tell the log, once, of those of these refs without a head that nobody may have
        removed."""
        for refusal in self.losses(refs):
            log.warning("%s", refusal)

    def losses(self, refs: Iterable[RefKey]) -> Iterator[SignatureError]:
        """What is wrong with those of these refs without a head that nobody may have removed, and
        that nobody was told of; the log is silent about them from now on."""
        for ref in refs:
            seen = self._seen.get(ref)
            if seen is None or seen.change in self._told:
                continue
            refusal = self.lost(ref)
            if refusal is not None:
                self._told.add(seen.change)
                yield refusal

    def vouches(self, change: RefChanged) -> bool:
        """Whether a trusted key signed a change, which may be long past."""
        return self._refusal(change) is None

    def _removal(self, seen: Seen, ref: RefKey) -> RefChanged | None:
        """The signed change that removed a ref, by way of signed ones from the one that was seen:
        another head of the same ref may have been removed by one as well."""
        later: dict[bytes, list[RefChanged]] = {}
        for change in self._index.reflog(seen.time_ns):
            if _named(change) == ref and self._refusal(change) is None:
                later.setdefault(change.previous, []).append(change)
        reached = [seen.change]
        while reached:
            for change in later.pop(reached.pop(), ()):
                if change.new == NO_ID:
                    return change
                reached.append(change.id)
        return None

    def _tell(self, head: RefHead, refusal: SignatureError) -> None:
        if head.change not in self._told:
            self._told.add(head.change)
            log.warning("%s", refusal)

    def _unsigned(self, head: RefHead) -> SignatureError | None:
        if self._right.get(head.change + head.commit) in self.keys:
            return None
        change = self._index.change(head.time_ns, head.change)
        if change is None or not _is_of(change, head):
            return SignatureError(
                f"{_name(head)} is not in the index as it was signed; run `modelfloat "
                "rebuild-index`"
            )
        refusal = self._refusal(change)
        if refusal is None and change.signature is not None:
            if len(self._right) >= _KNOWN:
                self._right.clear()
            self._right[head.change + head.commit] = change.signature.key
        return refusal

    def _refusal(self, change: RefChanged) -> SignatureError | None:
        """What keeps a change from being believed."""
        what = f"{change.vendor}/{change.name}@{change.ref}, commit {change.new.hex()[:12]},"
        if change.signature is None:
            return SignatureError(
                f"{what} is not signed, so nothing of it is shown; have somebody sign it who is "
                "trusted (`modelfloat key sign refs`), or read it without --require-signature"
            )
        key = change.signature.key.hex()
        if change.signature.key not in self.keys:
            return SignatureError(
                f"{what} is signed by {key}, which is not trusted here; `modelfloat key sign trust "
                "KEY` if it should be"
            )
        if not is_right(self._store, change):
            return SignatureError(
                f"{what} has a signature that is not {self.keys[change.signature.key]}'s: somebody "
                "forged it; look who can write to the backends"
            )
        return None

    def _rolled_back(self, heads: Sequence[RefHead]) -> SignatureError | None:
        """What says that a later record of the ref was seen than any of its heads is, or another of
        the same time."""
        latest, seen = max(heads, key=lambda head: head.time_ns), self._seen.get(_ref(heads[0]))
        if seen is None or seen.time_ns < latest.time_ns:
            return None
        if any(seen.change == head.change for head in heads):
            return None
        return SignatureError(
            f"{_name(latest)} is older than what was seen here before: a backend hides what came "
            "later, or the index is an old one; run `modelfloat rebuild-index` when all backends "
            "are back"
        )

    def _note(self, refs: Sequence[Sequence[RefHead]]) -> None:
        """Of a ref with several heads nothing is noted: it names nothing until it has one."""
        news = {
            _ref(head): Seen(head.time_ns, head.change, gone=False)
            for head in (heads[0] for heads in refs if len(heads) == 1)
            if (seen := self._seen.get(_ref(head))) is None or seen.time_ns < head.time_ns
        }
        if news:
            self._seen.note(news)


def _is_of(change: RefChanged, head: RefHead) -> bool:
    same = (change.id, change.new) == (head.change, head.commit)
    return same and _named(change) == _ref(head)


def _named(change: RefChanged) -> RefKey:
    return RepoName(change.vendor, change.name), change.kind, change.ref


def _ref(head: RefHead) -> RefKey:
    return head.repo, head.kind, head.ref


def _name(head: RefHead) -> str:
    return f"{head.repo}@{head.ref}, commit {head.commit.hex()[:12]},"
