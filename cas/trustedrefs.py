"""Refs of a store whose reader requires signatures: what is not vouched for is not listed, and an
error where it is asked for by its name."""

from ..ids import ObjectId
from .formats.journal import RefKind
from .index.index import Index
from .objects import Objects
from .refnames import RefHead, RepoName
from .refs import Refs
from .signing.trust import Trust


class TrustedRefs(Refs):
    """Refs whose heads `trust` has judged. What is refused is SignatureError.

    Commits are found by what such heads reach, so all that a REV can mean is vouched for. Vendors
    are all there, so that what is refused below them is told from what never was.
    """

    def __init__(self, index: Index, objects: Objects, trust: Trust) -> None:
        super().__init__(index, objects)
        self.trust = trust

    def repositories(self, vendor: str | None = None) -> list[RepoName]:
        """All repositories of which something may be shown, or those of one vendor, sorted."""
        heads = [h for h in self._index.refs() if vendor in (None, h.repo.vendor)]
        return sorted({head.repo for head in self.trust.sifted(heads)})

    def heads(self, repo: RepoName) -> list[RefHead]:
        """All heads of a repository's branches and tags that may be shown; SignatureError where
        there are some, and none may."""
        heads = super().heads(repo)
        kept = self.trust.sifted(heads)
        if heads and not kept:
            self.trust.require(list(self._index.ref(repo, heads[0].kind, heads[0].ref)))
        return kept

    def heads_of(self, repo: RepoName, kind: RefKind, ref: str) -> tuple[RefHead, ...]:
        """All heads of one ref: none, one, or several after updates that met."""
        heads = super().heads_of(repo, kind, ref)
        if heads:
            self.trust.require(heads)
        else:
            self.trust.require_removed(repo, kind, ref)
        return heads

    def _left_behind(self, repo: RepoName, prefix: str) -> set[ObjectId]:
        """Commits of that prefix which signed changes made refs of the repository point at once."""
        return {
            change.new
            for change in self.changes(repo)
            if change.new.hex().startswith(prefix)
            and self.trust.vouches(change)
            and self._index.object(change.new) is not None
        }
