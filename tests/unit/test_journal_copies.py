"""Copies of a journal record, and of a session: on different domains while domains last."""

import pytest

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.journal.copies import store_record
from modelfloat.cas.lease.sessions import Session
from modelfloat.cas.packs.health import Event
from modelfloat.cas.packs.members import Member, Members
from modelfloat.errors import DeniedError, UnavailableError
from modelfloat.ids import BackendId, SiteId, WriterId
from modelfloat.tests.support.samples import STORE, id_of

WRITERS = [WriterId(id_of(f"writer {number}")[:16]) for number in range(40)]


def spread(*domains: str) -> tuple[Members, list[FaultyBackend]]:
    """Members in these domains, one a backend; and what they write to."""
    backends = [FaultyBackend(MemoryBackend(f"b{i}")) for i in range(len(domains))]
    members = [
        Member(BackendId(bytes([i]) * 16), f"b{i}", backend, domain, 1.0)
        for i, (backend, domain) in enumerate(zip(backends, domains, strict=True))
    ]
    return Members(STORE, members), backends


async def domains_with(members: Members, prefix: str) -> list[str]:
    """The domain of each key that begins so, sorted."""
    found = []
    for member in members:
        found += [member.domain async for _ in member.backend.list(prefix)]
    return sorted(found)


@pytest.mark.parametrize("what", ["journal", "sessions"])
@pytest.mark.parametrize(
    ("layout", "lost", "expected"),
    [
        ("aaabbc", None, "abc"),
        ("aabb", None, "aab|abb"),
        ("abcd", 3, "abc"),
        ("aabbccd", 0, "abc|abd|acd|bcd"),
        ("aab", 2, "aa"),
    ],
)
async def test_copies_go_to_different_domains_while_they_last(
    layout: str, lost: int | None, expected: str, what: str
) -> None:
    for writer in WRITERS:
        members, backends = spread(*layout)
        if lost is not None:
            backends[lost].inject("denied", on=["put"])
        if what == "journal":
            await store_record(members, writer, 1, b"a record", 3)
        else:
            await Session(members, SiteId(bytes(16)), 3).cover(writer, 0)
        assert "".join(await domains_with(members, f"{what}/")) in expected.split("|")


async def test_a_record_is_refused_where_it_might_not_be_found() -> None:
    """A collection elsewhere goes on with one of six backends down, and so must find each record
    on the others."""
    for writer in WRITERS[:8]:
        members, backends = spread(*"abcdef")
        for member in list(members)[1:]:
            member.down = "away"
        with pytest.raises(UnavailableError, match="with b1, b2, b3, b4, b5 down or read-only"):
            await store_record(members, writer, 1, b"a record", 3)
        second = list(members)[1]
        second.down = ""
        backends[1].inject("denied", on=["put"])
        with pytest.raises(DeniedError):
            await store_record(members, writer, 1, b"a record", 3)
        assert await domains_with(members, "journal/") == []
        backends[1].clear()
        members.hear(second, Event.ROOM)
        await store_record(members, writer, 1, b"a record", 3)
        assert set(await domains_with(members, "journal/")) == {"a", "b"}
