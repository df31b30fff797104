"""The one way in which refs move: compared with what the caller saw, in one journal record.

Whoever adds, tags, branches, undoes, restores, removes or pulls hands in what it saw of each ref
and what it should be. Nothing moves unless all of them are as they were seen: then all do, at once.

A ref with several heads, as updates leave it that met where nothing decides between them, gets one:
one head is what it should be, or is superseded by it, and the others are taken away.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import trio

from ...errors import ExistsError, ModelFloatError, RefMovedError, one_failure
from ...ids import ObjectId
from ..access import Access
from ..formats.journal import NO_ID, RefChanged, RefKind
from ..journal.journal import Journal
from ..lease.sessions import Session
from ..objects import Objects
from ..refnames import RefHead, RepoName, check_ref_name
from ..refs import Refs

SHOWN: Final = 12
"""Digits of a commit that people are shown."""


@dataclass(frozen=True, slots=True)
class RefMove:
    """What one ref should be: `new`, or with None not there. `seen` are all heads that the caller
    found, none where there was no such ref. With `reached` some ref of the repository must reach
    `new` still: then nobody may have deleted anything of it. With `again` a head that is there
    already is recorded once more, which signs it. `parents` are those of `new` where the index may
    not have its commit yet."""

    repo: RepoName
    kind: RefKind
    ref: str
    seen: tuple[RefHead, ...]
    new: ObjectId | None
    reached: bool = False
    again: bool = False
    parents: tuple[ObjectId, ...] | None = None


Moves = Callable[[], Awaitable[Sequence[RefMove]]]
"""Makes what is to move when its turn has come, over what the refs are then: they stay so until it
has moved, so nobody does that work in vain, or loses a race again and again."""


async def move_ref(
    access: Access,
    journal: Journal,
    moves: Sequence[RefMove] | Moves,
    session: Session | None = None,
) -> list[RefChanged]:
    """Move refs, all of them or none; the changes that were recorded.

    RefMovedError, which names the commit that won, where one is not as it was seen; ExistsError
    where a new one would hide what its name means, or is a tag that is there. CondemnedError where
    other sites condemned what `session` relies on.
    """
    objects = Objects(access.index)
    refs = Refs(access.index, objects)
    with one_failure():
        async with access.refs(journal, session) as fence:
            now = await moves() if callable(moves) else moves
            changes = await trio.to_thread.run_sync(_changes, access, refs, objects, now)
            if changes:
                fence()
                await journal.append(changes)
    return changes


def _changes(
    access: Access, refs: Refs, objects: Objects, moves: Sequence[RefMove]
) -> list[RefChanged]:
    for move in moves:
        _require_seen(refs, objects, move)
    for move in moves:
        if move.new is not None and not move.seen:
            check_ref_name(move.ref, move.kind.name.lower())
            refs.check_new(move.repo, move.kind, move.ref)
        if move.new is not None and move.reached and not refs.reaches(move.repo, move.new):
            raise RefMovedError(
                f"no ref of {move.repo} reaches {move.new.hex()[:SHOWN]} any more: nothing was "
                "changed; run the command again"
            )
    now, latest = time.time_ns(), refs.last_change_ns()
    if not all(_keeps(objects, move) for move in moves):
        now = max(now, latest + 1)
    anew = (_signed_anew(access, move) for move in moves)
    return [access.signed(change, latest) for move in anew for change in _changes_of(move, now)]


def _signed_anew(access: Access, move: RefMove) -> RefMove:
    """Of several heads the one that is left is dated after all, where somebody may look at that."""
    anew = move.again or (access.signing is not None and len(move.seen) > 1)
    return replace(move, again=anew)


def _require_seen(refs: Refs, objects: Objects, move: RefMove) -> None:
    heads = refs.heads_of(move.repo, move.kind, move.ref)
    if {head.change for head in heads} == {head.change for head in move.seen}:
        return
    if heads and not move.seen and move.kind is RefKind.TAG:
        raise ExistsError(f"{move.repo} has a tag {move.ref} already; choose another name")
    if not heads:
        raise RefMovedError(
            f"{move.repo}@{move.ref} was removed meanwhile: nothing was changed; run the command "
            "again"
        )
    winner = max(heads, key=lambda head: head.time_ns)
    commit, author = winner.commit.hex()[:SHOWN], _author(objects, winner.commit)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(winner.time_ns // 1_000_000_000))
    raise RefMovedError(
        f"{move.repo}@{move.ref} moved meanwhile to {commit} by {author} at {when} UTC: nothing "
        "was changed; run the command again"
    )


def _author(objects: Objects, commit: ObjectId) -> str:
    try:
        return objects.commit(commit).author or "(no author)"
    except ModelFloatError:
        return "(unknown)"


def _keeps(objects: Objects, move: RefMove) -> bool:
    """Whether a ref that is there goes on from what it reached, as far as the parents tell.

    What is left behind is kept for a grace period from the change's time on. That is after every
    change that is known: a clock that was set back would take the period away, and hide which
    change was the last one.
    """
    if move.new is None or not move.seen:
        return False
    parents = move.parents
    try:
        reached = {move.new, *(objects.commit(move.new).parents if parents is None else parents)}
    except ModelFloatError:
        return False
    return all(head.commit in reached for head in move.seen)


def _changes_of(move: RefMove, time_ns: int) -> list[RefChanged]:
    """What makes the ref's heads one, or none."""
    if not move.seen:
        return [_change(move, None, move.new, time_ns)] if move.new is not None else []
    if move.new is None:
        return [_change(move, head, None, time_ns) for head in move.seen]
    kept = next((h for h in move.seen if h.commit == move.new), None)
    if kept is None or move.again:
        first, *others = sorted(move.seen, key=lambda head: head is not kept)
        return [
            _change(move, first, move.new, time_ns),
            *(_change(move, head, None, time_ns) for head in others),
        ]
    return [_change(move, head, None, time_ns) for head in move.seen if head is not kept]


def _change(move: RefMove, head: RefHead | None, new: ObjectId | None, time_ns: int) -> RefChanged:
    return RefChanged(
        move.kind,
        move.repo.vendor,
        move.repo.name,
        move.ref,
        NO_ID if head is None else head.change,
        ObjectId(NO_ID) if head is None else head.commit,
        ObjectId(NO_ID) if new is None else new,
        time_ns,
    )
