"""News: what a site has recorded last, where others look for it without listing any journal.

A hint and no more: who must know every record, because it is going to write or to delete, lists the
journals all the same. So news may be late, or lost; what they tell is looked for, not believed.
"""

import logging
from collections.abc import Sequence
from typing import Final

import trio

from ...backends.keys import news_key
from ...backends.retry import RetryBackend
from ...errors import BackendError, FormatError, KeyNotFoundError
from ...ids import SiteId, WriterId
from ..formats.news import LONGEST, MOST_WRITERS, News, decode_news, encode_news
from ..index.index import Index
from ..packs.members import Member, Members
from ..packs.placement import Candidate, place
from .slots import all_writers

DEADLINE: Final = 10.0
"""Seconds that telling may take: a command does not wait longer for what others see a bit later."""

log = logging.getLogger(__name__)


async def tell_news(members: Members, index: Index, folder: str, site: SiteId, copies: int) -> None:
    """Tell others of the last records of this site's writers, whose slots lie in `folder`.

    `copies` is m+1. What a backend says that cannot take it is logged.
    """
    with trio.move_on_after(DEADLINE):
        told: dict[WriterId, int] | None = None
        while told != (now := await trio.to_thread.run_sync(_last_records, index, folder)):
            # Another process may have told more meanwhile, and been overwritten with less.
            await _put(members, site, News(members.store, site, now), copies)
            told = now


def _last_records(index: Index, folder: str) -> dict[WriterId, int]:
    """The last known records of the writers that were taken last."""
    known = {writer: index.writer(writer)[0] for writer in all_writers(folder)[:MOST_WRITERS]}
    return {writer: last for writer, last in known.items() if last}


async def _put(members: Members, site: SiteId, news: News, copies: int) -> None:
    data = encode_news(news)

    async def put(member: Member) -> None:
        try:
            await RetryBackend(member.backend).put(news_key(site), [data])
        except BackendError as error:
            members.note_failure(member, error, writing=True)
            log.info("%s: others see what was done here somewhat later", error)

    async with trio.open_nursery() as nursery:
        for member in _ranked(members.writable(), site)[:copies]:
            nursery.start_soon(put, member)


async def read_news(members: Members, site: SiteId, copies: int, turn: int) -> News | None:
    """What a site has told, as far as a backend has it; None where none has anything sound.

    Its copies are asked one after the other, beginning with another one at each `turn`: one may be
    of a time before its backend was away. BackendError where none can be asked.
    """
    problem: BackendError | None = None
    ranked = _ranked(members.up(), site)
    turned = turn % copies
    likely, others = ranked[:copies], ranked[copies:]
    for member in [*likely[turned:], *likely[:turned], *others]:
        try:
            if (news := await _load(members, member, site)) is not None:
                return news
        except KeyNotFoundError:
            continue
        except BackendError as error:
            members.note_failure(member, error)
            problem = error
    if problem is not None:
        raise problem
    return None


def _ranked(members: Sequence[Member], site: SiteId) -> list[Member]:
    """Members in the order in which a site's news lie on them: the same at every site, whatever
    weights and domains each has noted."""
    by_id = {member.id: member for member in members}
    equals = [Candidate(id_, id_.hex(), 1.0) for id_ in by_id]
    return [by_id[id_] for id_ in place(site, equals, len(equals))]


async def _load(members: Members, member: Member, site: SiteId) -> News | None:
    """What one copy says; None of one that is damaged or another's."""
    key = news_key(site)
    data = await member.backend.get(key, most=LONGEST)
    try:
        news = decode_news(data, f"{key} on {member.name}")
    except FormatError as error:
        log.info("%s", error)
        return None
    return news if (news.store, news.site) == (members.store, site) else None
