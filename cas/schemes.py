"""Which scheme new packs have: a repository's own, and else the store's.

A repository's own scheme stands in its commits: each add takes it over from the one before.
"""

from ..erasure.scheme import Scheme
from .formats.journal import RefKind
from .objects import Objects
from .refnames import DEFAULT_BRANCH, RefHead, RepoName
from .refs import Refs


def own_scheme(refs: Refs, objects: Objects, repo: RepoName, branch: str) -> Scheme | None:
    """The scheme that a repository was given, None where it has none: the store's is meant.

    The branch tells; where there is no such branch, `main`; and else what was changed last.
    """
    heads = refs.heads(repo)
    if not heads:
        return None

    def rank(head: RefHead) -> tuple[int, int]:
        named = (DEFAULT_BRANCH, branch) if head.kind is RefKind.BRANCH else ()
        # The last of equals: a branch called main is itself.
        place = max((i for i, name in enumerate(named) if name == head.ref), default=-1)
        return place, head.time_ns

    return objects.commit(max(heads, key=rank).commit).erasure


def scheme_like(own: Scheme, k: int, m: int) -> Scheme:
    """The scheme for new packs that shall protect as one of `k`+`m` did, in a store of `own`.

    One that was split keeps its scheme. One that was copied (k = 1) is split as the store's are.
    """
    return Scheme(own.k if k == 1 else k, m)
