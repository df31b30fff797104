"""Refs of a store whose reader requires signatures: what is not vouched for is not listed, and an
error where it is asked for by its name."""

from collections.abc import Callable

from ..errors import SignatureError
from ..ids import ObjectId
from .formats.journal import RefKind
from .index.index import Index
from .objects import Objects
from .refnames import RefHead, RefKey, RepoName
from .refs import Refs
from .signing.trust import Trust


class TrustedRefs(Refs):
    """Refs whose heads `trust` has judged. What is refused is SignatureError.

    Commits are found by what such heads reach, or were at, so all that a REV can mean is vouched
    for. Vendors are all there, those too whose refs somebody took away who may not, so that what is
    refused below them is told from what never was.
    """

    def __init__(self, index: Index, objects: Objects, trust: Trust) -> None:
        super().__init__(index, objects)
        self.trust = trust

    def vendors(self) -> list[str]:
        """All vendors, sorted."""
        there = set(super().vendors())
        gone = (ref for ref in self.trust.seen() if ref[0].vendor not in there)
        return sorted(there | {ref[0].vendor for ref in gone if self.trust.lost(ref)})

    def repositories(self, vendor: str | None = None) -> list[RepoName]:
        """All repositories of which something may be shown, or those of one vendor, sorted."""
        heads = [h for h in self._index.refs() if vendor in (None, h.repo.vendor)]
        there = {(head.repo, head.kind, head.ref) for head in heads}
        asked = (ref for ref in self.trust.seen() if vendor in (None, ref[0].vendor))
        self.trust.tell_lost(ref for ref in asked if ref not in there)
        return sorted({head.repo for head in self.trust.sifted(heads)})

    def heads(self, repo: RepoName) -> list[RefHead]:
        """All heads of a repository's branches and tags that may be shown; SignatureError where
        there are some, and none may."""
        heads = super().heads(repo)
        if not heads:
            self.trust.tell_lost(ref for ref in self.trust.seen() if ref[0] == repo)
        return self.trust.sifted(heads, some=True)

    def refusals(self, asked: Callable[[RefKey], bool] = lambda _: True) -> list[SignatureError]:
        """What keeps refs of the store that are asked for from being shown, those that are gone
        too."""
        heads = [h for h in self._index.refs() if asked((h.repo, h.kind, h.ref))]
        there = {(head.repo, head.kind, head.ref) for head in heads}
        gone = (ref for ref in self.trust.seen() if ref not in there and asked(ref))
        return [*self.trust.refusals(heads), *self.trust.losses(gone)]

    def heads_of(self, repo: RepoName, kind: RefKind, ref: str) -> tuple[RefHead, ...]:
        """All heads of one ref: none, one, or several after updates that met."""
        heads = super().heads_of(repo, kind, ref)
        if heads:
            self.trust.require(heads)
        else:
            self.trust.require_removed(repo, kind, ref)
        return heads

    def require_shown(self, repo: RepoName, commit: ObjectId) -> None:
        """SignatureError where no ref that may be shown reaches the commit, and none was at it by
        a signed change."""
        if self.reaches(repo, commit) or commit in self._left_behind(repo, commit.hex()):
            return
        raise SignatureError(
            f"{repo}@{commit.hex()[:12]} was signed by nobody who is trusted, so no ref is made to "
            "point there; look at it first, without --require-signature"
        )

    def _left_behind(self, repo: RepoName, prefix: str) -> set[ObjectId]:
        """Commits of that prefix which signed changes made refs of the repository point at once."""
        return {
            change.new
            for change in self.changes(repo)
            if change.new.hex().startswith(prefix)
            and self.trust.vouches(change)
            and self._index.object(change.new) is not None
        }
