"""Which refs a transfer is about, and what becomes of each there.

A branch moves forward only: to a commit that has the one it is at in its history. A tag does not
move. Synchronous reads of both mirrors: for worker threads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...errors import (
    ConflictError,
    ExistsError,
    ModelFloatError,
    NotFoundError,
    SignatureError,
    UsageError,
)
from ...ids import ObjectId
from ..ancestry import descends
from ..formats.journal import RefKind
from ..missing import known
from ..objects import Objects
from ..refnames import Address, RefHead, RefKey, RepoName
from ..refs import Refs
from .counterparts import Counterparts
from .report import Fate, TransferRequest


@dataclass(frozen=True, slots=True)
class Wanted:
    """A ref that is to be carried, and the commit that it is at."""

    repo: RepoName
    kind: RefKind
    ref: str
    commit: ObjectId

    def __str__(self) -> str:
        return f"{self.repo}@{self.ref}"


def wanted_refs(
    refs: Refs, request: TransferRequest
) -> tuple[dict[RepoName, list[Wanted]], list[str]]:
    """The refs that a request means, by repository; and where signatures are required, what keeps
    others from being carried.

    NotFoundError, UsageError or ConflictError where it means nothing, or not one commit;
    SignatureError where nothing of it, or not what it names, may be carried.
    """
    refused = {each.repo: _refusals(refs, request, each.repo) for each in request.addresses}
    try:
        found = _found(refs, request, refused)
    except SignatureError as refusal:
        raise SignatureError(f"{request.names[0]}: {refusal}") from refusal
    told = [f"{request.names[0]}: {refusal}" for some in refused.values() for refusal in some]
    if told and not any(found.values()):
        raise SignatureError(told[0])
    return found, told


def _refusals(refs: Refs, request: TransferRequest, repo: RepoName) -> list[SignatureError]:
    """What keeps refs of a repository from being carried, of those that are asked for."""
    revs = {each.rev for each in request.addresses if each.repo == repo}

    def asks_for(ref: RefKey) -> bool:
        where, kind, name = ref
        every = request.tags if kind is RefKind.TAG else None in revs
        return where == repo and (every or name in revs)

    return refs.refusals(asks_for)


def _found(
    refs: Refs, request: TransferRequest, refused: Mapping[RepoName, Sequence[SignatureError]]
) -> dict[RepoName, list[Wanted]]:
    found: dict[RepoName, dict[tuple[RefKind, str], Wanted]] = {}
    for address in request.addresses:
        mine = found.setdefault(address.repo, {})
        try:
            heads = list(_meant(refs, address, request))
        except NotFoundError:
            for refusal in refused[address.repo]:
                raise refusal from None
            raise
        for head in heads:
            # Of several heads none is the one.
            one = refs.head(head.repo, head.kind, head.ref)
            if one is not None:
                mine[head.kind, head.ref] = Wanted(head.repo, head.kind, head.ref, one.commit)
    return {repo: list(each.values()) for repo, each in found.items()}


def _meant(refs: Refs, address: Address, request: TransferRequest) -> Iterator[RefHead]:
    repo, rev, (source, _) = address.repo, address.rev, request.names
    if address.path:
        raise UsageError(f"{address} is a path: whole repositories, branches and tags are carried")
    heads = refs.heads(repo)
    if not heads:
        there = ", ".join(map(str, refs.repositories()[:8])) or "none"
        raise NotFoundError(f"{source} has no repository {repo}; it has {there}")
    named = [head for head in heads if head.ref == rev]
    if rev is not None and not named:
        raise NotFoundError(
            f"{repo} of {source} has no branch or tag {rev!r}; it has {known(heads)}"
        )
    yield from named
    for head in heads:
        branch = head.kind is RefKind.BRANCH
        if (branch and rev is None) or (not branch and request.tags):
            yield head


class Judge:
    """Says what becomes of refs in the store that is sent to."""

    def __init__(
        self,
        objects: Objects,
        their_objects: Objects,
        theirs: Refs,
        counterparts: Counterparts,
        request: TransferRequest,
    ) -> None:
        self._objects = objects
        self._their_objects = their_objects
        self._theirs = theirs
        self._counterparts = counterparts
        self._request = request

    def before(self, wanted: Sequence[Wanted]) -> list[tuple[Wanted, Fate, RefHead | None]]:
        """What is going to become of refs, by what is known now; ConflictError or ExistsError where
        one may not move."""
        return [(each, *self._before(each)) for each in wanted]

    def _before(self, wanted: Wanted) -> tuple[Fate, RefHead | None]:
        head = self._head(wanted)
        if head is None:
            return Fate.NEW, None
        (their,) = self._counterparts.find([wanted.commit])
        if their is not None and _has(self._their_objects, their):
            return self.after(wanted, ObjectId(their))
        here = self._counterparts.origin(head.commit)
        if here is None and not self._counterparts.same and wanted.kind is RefKind.BRANCH:
            # Its commits may be ours: that shows when ours have their ids there.
            return Fate.FORWARD, head
        mine = here is not None and wanted.kind is RefKind.BRANCH and _has(self._objects, here)
        if mine and descends(self._objects, wanted.commit, ObjectId(here or b"")):
            return Fate.FORWARD, head
        return self._otherwise(wanted, head), head

    def after(self, wanted: Wanted, their: ObjectId) -> tuple[Fate, RefHead | None]:
        """What becomes of a ref whose commit is there, as `their`; errors as of `before`."""
        head = self._head(wanted)
        if head is None:
            return Fate.NEW, None
        if head.commit == their:
            return Fate.SAME, head
        if wanted.kind is RefKind.BRANCH:
            if descends(self._their_objects, their, head.commit):
                return Fate.FORWARD, head
            if not self._request.force and descends(self._their_objects, head.commit, their):
                return Fate.AHEAD, head
        return self._otherwise(wanted, head), head

    def _head(self, wanted: Wanted) -> RefHead | None:
        head = self._theirs.head(wanted.repo, wanted.kind, wanted.ref)
        if head is None:
            self._theirs.check_new(wanted.repo, wanted.kind, wanted.ref)
        return head

    def _otherwise(self, wanted: Wanted, head: RefHead) -> Fate:
        if self._request.force:
            return Fate.FORCED
        source, dest = self._request.names
        if wanted.kind is RefKind.TAG:
            raise ExistsError(
                f"the tag {wanted} of {dest} is another commit ({_commit(head)}): nothing was "
                "moved; say --force to move it"
            )
        commit = self._their_objects.commit(head.commit)
        raise ConflictError(
            f"{wanted} of {dest} has gone another way: {_commit(head)} by {commit.author or '?'} "
            f"is not in the history of {source}; nothing was moved; rename one of the two with "
            "`modelfloat mv` to have both in one store, or say --force to leave it behind"
        )


def _commit(head: RefHead) -> str:
    return f"commit {head.commit.hex()[:12]}"


def _has(objects: Objects, id_: bytes) -> bool:
    try:
        objects.commit(ObjectId(id_))
    except ModelFloatError:
        return False
    return True
