"""Whether the index knows every journal record that can be found: gc deletes nothing before that.

An index that was put back from an older copy, or that lies on another machine, lacks refs; what
only those reach would look dead. So every record on the backends that are up is either applied, or
gc ends there.
"""

from contextlib import aclosing

from ...backends.keys import parse_journal_key
from ...errors import BackendError, IndexDamagedError, UnavailableError
from ...ids import WriterId
from ..packs.members import Members
from .catchup import CatchUp
from .copies import record_name


async def require_complete(catch_up: CatchUp) -> None:
    """Apply the records that the index lacks; IndexDamagedError where one cannot be applied.

    UnavailableError where so many backends are down that all copies of a record may be on them.
    """
    members = catch_up.members
    down = members.down()
    if len(down) >= catch_up.copies:
        names = ", ".join(sorted(member.name for member in down))
        raise UnavailableError(
            f"with {names} down nothing is deleted: the journal may say there that it is needed"
        )
    for writer, last in (await _last_records(members)).items():
        known, _ = catch_up.index.writer(writer)
        if last > known:
            await catch_up.apply_missed(writer)
            known, _ = catch_up.index.writer(writer)
        if last > known:
            raise IndexDamagedError(
                f"{record_name(writer, known + 1)} cannot be applied to the index: nothing is "
                "deleted; run `modelfloat rebuild-index`"
            )


async def _last_records(members: Members) -> dict[WriterId, int]:
    """The highest number of a record, by writer."""
    last: dict[WriterId, int] = {}
    for member in members.up():
        try:
            async with aclosing(member.backend.list("journal/")) as listing:
                async for listed in listing:
                    parsed = parse_journal_key(listed.key)
                    if parsed is not None:
                        writer, seq, _ = parsed
                        last[writer] = max(seq, last.get(writer, 0))
        except BackendError as error:
            members.note_failure(member, error)
            raise UnavailableError(f"the journal cannot be listed: {error}") from error
    return last
