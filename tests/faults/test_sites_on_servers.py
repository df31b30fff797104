"""Sites that share buckets of a real server: one winner of a race, one head of a ref."""

from pathlib import Path

import pytest
import trio

from modelfloat.backendchanges import add_backend
from modelfloat.backends.keys import session_key
from modelfloat.backends.registry import open_backend
from modelfloat.cas.formats.presence import Presence, PresenceRecord, encode_presence
from modelfloat.cas.gc import others
from modelfloat.cas.gc.others import AtWork
from modelfloat.cas.lease import lease
from modelfloat.cas.lease.lease import Lease, Leases
from modelfloat.cas.lease.sessions import TERM, end_session, read_session
from modelfloat.cas.packs.members import Member, Members
from modelfloat.cas.refnames import parse_address
from modelfloat.creating import BackendSpec
from modelfloat.ids import BackendId, SiteId, WriterId
from modelfloat.opening import open_store
from modelfloat.tests.support.samples import STORE
from modelfloat.tests.support.servers import SeaweedFS
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, fresh_store, read, weights


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lease, others):
        monkeypatch.setattr(module, "POLL", 0.05)


async def test_one_of_many_takes_a_lease(seaweedfs: SeaweedFS) -> None:
    url = seaweedfs.s3_url(seaweedfs.new_bucket())
    homes = [open_backend(f"d{i}", url, conditional_put=True) for i in range(4)]
    for number in range(1, 4):
        won: list[Lease] = []

        async def race(site: int, number: int = number, won: list[Lease] = won) -> None:
            taken = Leases(homes[site], STORE, SiteId(bytes([site + 1]) * 16), "store")
            found = await taken._take(number)
            if found is not None:
                won.append(found)

        async with trio.open_nursery() as nursery:
            for site in range(4):
                nursery.start_soon(race, site)
        (winner,) = won
        winner.require()
        await winner.give_back()
    for home in homes:
        await home.aclose()


async def test_two_sites_over_buckets(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    files = {name: weights(tmp_path / name, 300_000, name) for name in "abcd"}
    specs = tuple(
        BackendSpec(f"d{i}", seaweedfs.s3_url(seaweedfs.new_bucket()), f"bucket {i}")
        for i in range(3)
    )
    async with fresh_store(tmp_path / "s", "2+1", specs) as here:
        other = await another_site(tmp_path / "s", tmp_path / "other")
        async with open_store(str(other)) as there:
            async with trio.open_nursery() as nursery:
                for number, name in enumerate(files):
                    store = (here, there)[number % 2]
                    nursery.start_soon(add, store, tmp_path / name, "acme/m")
            await there.remove(parse_address("acme/m"))
            # Else what it removed would be known only after what is dead was looked for.
            async with here.access.writing("a test") as journal:
                await journal.take_over()
            assert (await here.gc(grace=0)).deleted
            await add(there, tmp_path / "a", "acme/again")
            assert await read(there, "acme/again/a") == files["a"]
            assert (await there.verify()).exit_status == 0


async def test_what_another_site_adds_on_the_same_server_is_used(
    seaweedfs: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless its credentials are not to be had here: then it is named, with what to do."""
    data = weights(tmp_path / "a", 300_000, "a")
    specs = tuple(
        BackendSpec(f"d{i}", seaweedfs.s3_url(seaweedfs.new_bucket()), f"bucket {i}")
        for i in range(3)
    )
    async with fresh_store(tmp_path / "s", "2+1", specs):
        pass
    other = str(await another_site(tmp_path / "s", tmp_path / "other"))
    url = seaweedfs.s3_url(seaweedfs.new_bucket())
    await add_backend(str(tmp_path / "s"), "new", url, weight=100)
    async with open_store(str(tmp_path / "s")) as here:
        await add(here, tmp_path / "a", "acme/m")
    for variable in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"MODELFLOAT_NEW_{variable}", "of somebody else")
    async with open_store(other, refresh=1e-3) as there:
        (reason,) = [b.reason for b in await there.backends() if b.state == "down"]
        assert reason.startswith(f"backend new: others of this store use it, at {url}")
        assert await read(there, "acme/m/a") == data
    for variable in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"MODELFLOAT_NEW_{variable}")
    async with open_store(other) as there:
        assert {b.state for b in await there.backends()} == {"up"}
        assert (await there.verify()).exit_status == 0


async def test_what_a_dead_writer_has_sent_last_is_waited_for(seaweedfs: SeaweedFS) -> None:
    """A server may carry it out later: its session is over soon, not at once as in directories."""
    site, writer = SiteId(b"s" * 16), WriterId(b"w" * 16)
    record = PresenceRecord(Presence.SESSION, STORE, site, bytes(writer), 0, TERM)
    backend = open_backend("d0", seaweedfs.s3_url(seaweedfs.new_bucket()))
    await backend.put(session_key(writer), [encode_presence(record)])
    members = Members(STORE, [Member(BackendId(b"d" * 16), "d0", backend, "", 1.0)])
    await end_session(members, SiteId(b"o" * 16), writer)
    assert (await read_session(members.up()[0], STORE, writer)).term == TERM
    await end_session(members, site, writer)
    ended = await read_session(members.up()[0], STORE, writer)
    assert AtWork().note(writer, ended, lease.MARGIN)
    assert not AtWork().note(writer, ended, lease.MARGIN + 1.0)
    await backend.aclose()
