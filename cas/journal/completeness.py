"""Whether the index knows every journal record that there is: gc deletes nothing before that.

An index that was put back from an older copy, or that lies on another machine, lacks refs; what
only those reach would look dead. So every record on the backends that are up, and every one that
slots and given-up ids tell of, is either applied, or known to be lost and accepted, or gc ends
there.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing

import trio

from ...errors import BackendError, IndexDamagedError, UnavailableError
from ...ids import WriterId
from ..index.index import Index
from ..packs.members import Member, Members
from .catchup import CatchUp
from .copies import (
    believable,
    listed_records,
    record_name,
    sound_copies,
    surely_held,
    vouched_for,
)
from .ordering import InOrder
from .slots import given_up, last_numbers


async def require_complete(catch_up: CatchUp, *, accept_losses: bool = False) -> None:
    """Apply the records that the index lacks; IndexDamagedError where one cannot be applied, or
    was lost and may have made refs.

    UnavailableError where so many backends are down that all copies of a record may be on them,
    unless the caller accepts the loss of what only they may have; and where records come on and on.
    """
    members = catch_up.members
    if not accept_losses:
        refuse_down(members, catch_up.copies)
    for writer, behind in (await _apply_all(catch_up)).items():
        missing = [seq for seq in behind if not await _tells_nothing(catch_up, writer, seq)]
        if missing and writer in catch_up.pace.ended:
            raise catch_up.pace.too_many()
        if missing:
            raise IndexDamagedError(
                f"{record_name(writer, min(missing))} cannot be applied to the index: nothing is "
                "deleted; run `modelfloat verify --repair`, and if that does not help `modelfloat "
                "rebuild-index`"
            )
    refuse_gaps(catch_up.index)


async def _tells_nothing(catch_up: CatchUp, writer: WriterId, seq: int) -> bool:
    """Whether all that is found of a record, which nobody here knows to have been written, is what
    has no need of the store's key, or was made without: nothing that gc looks at."""
    told = (given_up(catch_up.folder), last_numbers(catch_up.folder))
    if any(numbers.get(writer, 0) >= seq for numbers in told):
        return False
    members = catch_up.members
    found = await sound_copies(members, catch_up.store, writer, seq, catch_up.copies)
    genuine = believable(found, members.cipher)
    return bool(found) and not any(vouched_for(data, members.cipher) for data in genuine)


def refuse_down(members: Members, copies: int) -> None:
    """UnavailableError where all copies of a journal record may be on backends that are down."""
    down = members.down()
    if len(down) >= surely_held(len(members), copies):
        names = ", ".join(sorted(member.name for member in down))
        raise UnavailableError(
            f"with {names} down nothing is deleted: the journal may say there that it is needed; "
            "bring back what is gone for now, or run `modelfloat gc --accept-losses`"
        )


def refuse_gaps(index: Index) -> None:
    """IndexDamagedError while lost records may have made refs that the index lacks."""
    for gap in index.gaps():
        if gap.open:
            raise IndexDamagedError(
                f"{record_name(gap.writer, gap.first)} is lost: refs that it made may be missing, "
                "and what only they reach would go; add again what is missing, then run "
                "`modelfloat gc --accept-losses`"
            )


async def take_over(catch_up: CatchUp) -> None:
    """Apply the records that the index lacks and that can be had."""
    await _apply_all(catch_up)


async def _apply_all(catch_up: CatchUp) -> dict[WriterId, list[int]]:
    """Apply what can be had; the numbers of what cannot, by writer.

    What is listed and gone when it is asked for was compacted meanwhile, and a writer's next record
    may be in a segment that comes later: so it is listed again for as long as that tells more.
    """
    index, before = catch_up.index, None
    behind: dict[WriterId, set[int]] = {}

    async def load_next(writer: WriterId) -> bytes | None:
        # What no listing shows is not asked for: of each writer that would take a question more.
        is_last = index.writer(writer)[0] >= max(behind[writer])
        return None if is_last else await catch_up.next_missed(writer)

    ordered = InOrder(index, catch_up.members.cipher, load_next, catch_up.mend_and_apply)
    while True:
        behind = await _behind(catch_up.folder, index, catch_up.members)
        try:
            left = await ordered.run(behind)
            if left and _unapplied(index, behind) == before:
                await ordered.run_all(left)
                before = None
                continue
        finally:
            await catch_up.place_late()
        missing = _unapplied(index, behind)
        if not missing or missing == before:
            return missing
        before = missing


def _unapplied(index: Index, behind: Mapping[WriterId, Iterable[int]]) -> dict[WriterId, list[int]]:
    """Those of the numbers that are neither applied nor known to be lost, sorted."""
    missing = {
        writer: sorted(seq for seq in numbers if _is_missing(index, writer, seq))
        for writer, numbers in behind.items()
    }
    return {writer: numbers for writer, numbers in missing.items() if numbers}


async def missed(folder: str, index: Index, members: Members) -> list[str]:
    """Names of the first record of each writer that an index of an earlier state lacks.

    A writer at work is one record ahead of the index for a moment, one that crashed until somebody
    writes: that alone is passed over, unless a slot or a given-up id says that the index knew it.
    """
    known_once = given_up(folder)
    for writer, last in last_numbers(folder).items():
        known_once[writer] = max(last, known_once.get(writer, 0))
    found = []
    for writer, behind in (await _behind(folder, index, members)).items():
        last = index.writer(writer)[0]
        missing = [seq for seq in behind if _is_missing(index, writer, seq)]
        if missing and max(max(missing), known_once.get(writer, 0) + 1) > last + 1:
            found.append(record_name(writer, min(missing)))
    return sorted(found)


async def _behind(folder: str, index: Index, members: Members) -> dict[WriterId, set[int]]:
    """Numbers of records behind the last one that the index knows, by writer.

    The index is asked last: what is written meanwhile is not behind it.
    """
    found: dict[WriterId, set[int]] = {}
    for told in (given_up(folder), last_numbers(folder)):
        for writer, last in told.items():
            found.setdefault(writer, set()).add(last)
    await _list(members, lambda writer, seq: found.setdefault(writer, set()).add(seq))
    behind = {
        writer: {seq for seq in numbers if seq > index.writer(writer)[0]}
        for writer, numbers in found.items()
    }
    return {writer: numbers for writer, numbers in behind.items() if numbers}


async def _list(members: Members, note: Callable[[WriterId, int], None]) -> None:
    """Tell `note` of every record that a backend lists; all are asked at once."""
    failures: list[BackendError] = []

    async def ask(member: Member) -> None:
        try:
            async with aclosing(listed_records(member)) as listing:
                async for writer, seq, _, _ in listing:
                    note(writer, seq)
        except BackendError as error:
            members.note_failure(member, error)
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for member in members.up():
            nursery.start_soon(ask, member)
    for error in failures:
        raise UnavailableError(f"the journal cannot be listed: {error}") from error


def _is_missing(index: Index, writer: WriterId, seq: int) -> bool:
    """Whether a record is neither applied nor known to be lost."""
    if seq <= index.writer(writer)[0] or index.is_made_good(writer, seq):
        return False
    return not any(gap.writer == writer and gap.first <= seq <= gap.last for gap in index.gaps())
