"""What the backend of IPFS nodes makes of garbage collections, lost blocks and other answers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelfloat.backends.base import Backend
from modelfloat.backends.ipfs.backend import LEFTOVER_AGE
from modelfloat.backends.ipfs.dagpb import encode_node, file_node
from modelfloat.backends.ipfs.uploads import Upload, parse_upload
from modelfloat.backends.keys import MARKER_KEY, check_key
from modelfloat.backends.registry import open_backend
from modelfloat.cid import Cid, cid_of, parse_cid
from modelfloat.errors import (
    BackendError,
    CorruptAnswerError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    UnavailableError,
    UsageError,
)
from modelfloat.tests.servers.kubo import Kubo, serve_kubo
from modelfloat.tests.support.meddler import answer, meddling
from modelfloat.tests.support.sources import noise

KEY = check_key("packs/ab/abcd/0-4-2")
SITE = check_key("sites/0123")
VALUE = noise(3, (3 << 20) + 12_345)
PAGE = b"<!DOCTYPE html><html><body>This page does not exist</body></html>"


@pytest.fixture
async def kubo(tmp_path: Path) -> AsyncIterator[Kubo]:
    async with serve_kubo(tmp_path) as kubo:
        yield kubo


@pytest.fixture
async def backend(kubo: Kubo) -> AsyncIterator[Backend]:
    backend = open_backend("d0", f"{kubo.url}/shelf", create=True)
    yield backend
    await backend.aclose()


def named(kubo: Kubo, path: str) -> Cid:
    found = kubo.node.find(path)
    assert isinstance(found, Cid)
    return found


async def test_a_value_is_blocks_that_are_pinned_and_named(kubo: Kubo, backend: Backend) -> None:
    await backend.put(KEY, [VALUE])
    root = named(kubo, f"/shelf/{KEY}")
    assert kubo.node.pins == {str(root)}
    blocks = {str(cid_of(VALUE[at : at + (1 << 20)])) for at in range(0, len(VALUE), 1 << 20)}
    assert {str(cid) for cid in kubo.node.reached(root)} == blocks | {str(root)}
    assert kubo.node.find("/shelf/tmp") == {}
    kubo.node.collect()
    assert await backend.get(KEY) == VALUE


async def test_what_is_deleted_is_collected(kubo: Kubo, backend: Backend) -> None:
    await backend.put(KEY, [VALUE])
    await backend.delete(KEY)
    assert kubo.node.pins == set()
    kubo.node.collect()
    assert kubo.node.size() < 1000


async def test_what_is_replaced_is_collected(kubo: Kubo, backend: Backend) -> None:
    await backend.put(KEY, [VALUE])
    await backend.put(KEY, [b"short"])
    assert kubo.node.pins == {str(named(kubo, f"/shelf/{KEY}"))}
    kubo.node.collect()
    assert kubo.node.size() < 1000
    assert await backend.get(KEY) == b"short"


async def test_two_keys_of_one_value_do_not_share_a_pin(kubo: Kubo, backend: Backend) -> None:
    other = check_key("packs/ab/abcd/1-4-2")
    for key in (KEY, other):
        await backend.put(key, [VALUE])
    await backend.delete(KEY)
    assert kubo.node.pins == {str(named(kubo, f"/shelf/{other}"))}
    kubo.node.collect()
    assert await backend.get(other) == VALUE


async def test_ranges_cost_only_their_blocks(kubo: Kubo, backend: Backend) -> None:
    await backend.put(KEY, [VALUE])
    kubo.asked.clear()
    at = (1 << 20) + 5
    for begin, size in ((at, 100), (at + 100, 1000), (at, 1 << 20)):
        assert await backend.get(KEY, begin, size) == VALUE[begin : begin + size]
    assert kubo.asked == ["block/get"] * 2  # the second block once, though it was asked for thrice


async def test_a_collection_between_blocks_and_pin_is_made_up_for(
    kubo: Kubo, backend: Backend
) -> None:
    kubo.faults.collect = 2
    await backend.put(KEY, [VALUE])
    assert kubo.faults.collect == 0
    assert kubo.node.pins == {str(named(kubo, f"/shelf/{KEY}"))}
    assert await backend.get(KEY) == VALUE


async def test_a_collection_before_the_first_name_is_made_up_for(
    kubo: Kubo, backend: Backend
) -> None:
    kubo.faults.fail("files/cp", "cp: cannot get node from path /ipfs/x: could not find x")
    await backend.put(KEY, [VALUE])
    assert await backend.get(KEY) == VALUE


async def test_a_lost_block_is_damage_and_not_zeros(kubo: Kubo, backend: Backend) -> None:
    await backend.put(KEY, [VALUE])
    kubo.node.drop(str(cid_of(VALUE[1 << 20 : 2 << 20])))
    with pytest.raises(CorruptAnswerError, match="the node has lost its block bafkr4i"):
        await backend.get(KEY)
    assert await backend.get(KEY, 0, 1 << 20) == VALUE[: 1 << 20]


async def test_a_lost_root_is_damage(kubo: Kubo, tmp_path: Path) -> None:
    writer = open_backend("d0", f"{kubo.url}/shelf", create=True)
    await writer.put(KEY, [VALUE])
    kubo.node.drop(str(named(kubo, f"/shelf/{KEY}")))
    reader = open_backend("d0", f"{kubo.url}/shelf")
    with pytest.raises(BackendError) as caught:
        await reader.get(KEY)
    assert not isinstance(caught.value, KeyNotFoundError)
    await writer.aclose()
    await reader.aclose()


async def test_a_flipped_bit_is_damage(kubo: Kubo, backend: Backend) -> None:
    await backend.put(KEY, [VALUE])
    kubo.faults.flipped.add(str(cid_of(VALUE[: 1 << 20])))
    for call in (lambda: backend.get(KEY), lambda: backend.get(KEY, 7, 9)):
        with pytest.raises(CorruptAnswerError, match="comes as other bytes than it names"):
            await call()


async def test_a_file_that_others_put_there_is_none_of_ours(kubo: Kubo, backend: Backend) -> None:
    await backend.put(MARKER_KEY, [b"{}"])
    raw = kubo.node.put(b"some bytes", 0x55, 0x1E)
    kubo.node.make("/shelf/packs/ab/abcd", parents=True)
    kubo.node.name(raw, f"/shelf/{KEY}")
    with pytest.raises(CorruptAnswerError, match="is no root of it"):
        await backend.get(KEY, 0, 1)


async def test_another_name_for_a_block_is_noticed(kubo: Kubo, backend: Backend) -> None:
    kubo.faults.renames = True
    with pytest.raises(UnavailableError, match=r"was given another name, as no IPFS node does"):
        await backend.put(KEY, [VALUE])
    kubo.faults.renames = False
    with pytest.raises(KeyNotFoundError):
        await backend.head(KEY)


async def test_a_full_node(kubo: Kubo, backend: Backend) -> None:
    kubo.faults.full = True
    with pytest.raises(QuotaError, match=r"the node has no room for it \(write .* no space left"):
        await backend.put(KEY, [VALUE])


async def test_a_node_that_does_not_do_it(kubo: Kubo, backend: Backend) -> None:
    kubo.faults.fail("files/mkdir", "permission denied", times=2)
    with pytest.raises(DeniedError, match=r"the node refuses files/mkdir \(permission denied\)"):
        await backend.put(KEY, [VALUE])


async def test_what_could_not_be_pinned_leaves_nothing(kubo: Kubo, backend: Backend) -> None:
    kubo.faults.fail("pin/add", "pin: database is closed")
    with pytest.raises(UnavailableError, match=r"answers pin/add with status 500 \(pin: database"):
        await backend.put(KEY, [VALUE])
    assert kubo.node.find("/shelf/tmp") == {}
    assert kubo.node.pins == set()
    with pytest.raises(KeyNotFoundError):
        await backend.head(KEY)


async def test_an_answer_that_was_lost_does_not_lose_the_value(
    kubo: Kubo, backend: Backend
) -> None:
    """The name was given, and nobody heard of it."""
    await backend.put(check_key("packs/x"), [b"x"])
    kubo.faults.fail("pin/add", status=0)
    await backend.put(KEY, [VALUE])  # a pin can be asked for again
    kubo.faults.fail("files/cp", status=0)
    with pytest.raises(UnavailableError):
        await backend.put(SITE, [b"one"])
    await backend.put(SITE, [b"two"])
    assert await backend.get(SITE) == b"two"


async def test_what_a_crash_left_is_removed(kubo: Kubo) -> None:
    first = open_backend("d0", f"{kubo.url}/shelf", create=True)
    await first.put(KEY, [VALUE])
    left = _left(kubo, Upload("packs/cd/ef/0-1-0", 0, replaces=False, random="ab"), b"left")
    done = _left(
        kubo, Upload(KEY, 0, replaces=False, random="cd"), root=named(kubo, f"/shelf/{KEY}")
    )
    second = open_backend("d0", f"{kubo.url}/shelf")
    await second.put(check_key("packs/cd/ef/1-1-0"), [b"y"])
    assert kubo.node.find("/shelf/tmp") == {}
    assert str(left) not in kubo.node.pins
    assert str(done) in kubo.node.pins
    await first.aclose()
    await second.aclose()


async def test_what_is_under_way_is_left_alone(kubo: Kubo) -> None:
    backend = open_backend("d0", f"{kubo.url}/shelf", create=True)
    await backend.put(MARKER_KEY, [b"{}"])
    _left(kubo, Upload(KEY, 4_000_000_000, replaces=False, random="ab"), b"under way")
    other = open_backend("d0", f"{kubo.url}/shelf")
    await other.put(check_key("packs/x"), [b"y"])
    folder = kubo.node.find("/shelf/tmp")
    assert isinstance(folder, dict)
    assert len(folder) == 1
    await backend.aclose()
    await other.aclose()


async def test_a_crash_while_a_value_is_replaced_loses_none(kubo: Kubo) -> None:
    """The old name was taken away, the new one not yet given."""
    writer = open_backend("d0", f"{kubo.url}/shelf", create=True)
    await writer.put(MARKER_KEY, [b"{}"])
    await writer.put(SITE, [b"old"])
    kubo.node.remove(f"/shelf/{SITE}")
    _left(kubo, Upload(SITE, 5, replaces=True, random="ab"), b"older")
    _left(kubo, Upload(SITE, 6, replaces=True, random="aa"), b"new")
    reader = open_backend("d0", f"{kubo.url}/shelf")
    assert await reader.get(SITE) == b"new"
    assert [each.key async for each in reader.list("sites/")] == [SITE]
    kubo.ahead = LEFTOVER_AGE * 2
    await reader.put(check_key("packs/x"), [b"y"])  # which sweeps
    assert kubo.node.find("/shelf/tmp") == {}
    assert await reader.get(SITE) == b"new"
    await reader.delete(SITE)
    with pytest.raises(KeyNotFoundError):
        await reader.get(SITE)
    await writer.aclose()
    await reader.aclose()


def _left(kubo: Kubo, upload: Upload, data: bytes = b"", root: Cid | None = None) -> Cid:
    """What a put had done when it ended."""
    if root is None:
        root = kubo.node.put(encode_node(file_node([], 1, data)), 0x70, 0x1E)
    kubo.node.pin(root)
    kubo.node.name(root, f"/shelf/tmp/{upload}")
    return root


def test_names_of_uploads_come_back() -> None:
    upload = Upload("packs/ab/a-b_c.d/0-4-2", 1_790_000_000, replaces=True, random="ab12")
    assert parse_upload(str(upload)) == upload
    for text in ("", "x", "a~b~c~d", "a~0~r", "A~00~r~x", "tmp~00~r~x"):
        assert parse_upload(text) is None


async def test_ages_are_told_by_the_nodes_clock(kubo: Kubo, backend: Backend) -> None:
    kubo.ahead = -5_000_000
    await backend.put(KEY, [b"x"])
    assert await backend.age(KEY) < 100
    other = open_backend("d0", f"{kubo.url}/shelf")
    kubo.ahead += 1000
    assert 990 < await other.age(KEY) < 1100
    await other.aclose()


async def test_only_create_makes_the_folder(kubo: Kubo) -> None:
    backend = open_backend("d0", f"{kubo.url}/other")
    for call in (lambda: backend.put(KEY, [b"x"]), lambda: backend.head(KEY)):
        with pytest.raises(UnavailableError, match=r"folder /other of the node on .* is not there"):
            await call()
    await backend.aclose()


async def test_a_node_that_was_set_up_anew_is_not_an_empty_one(
    kubo: Kubo, backend: Backend
) -> None:
    await backend.put(MARKER_KEY, [b"{}"])
    assert await backend.get(MARKER_KEY) == b"{}"
    kubo.node.names = {"shelf": {}}
    with pytest.raises(UnavailableError, match="is not the one it was"):
        await backend.head(KEY)


async def test_usage_goes_up_to_the_owners_limit(kubo: Kubo, backend: Backend) -> None:
    await backend.put(KEY, [VALUE])
    kubo.node.storage_max = 10 << 20
    usage = await backend.usage()
    assert usage.total == 10 << 20
    assert usage.free == (10 << 20) - kubo.node.size()
    kubo.node.storage_max = (1 << 53) - 1
    assert (await backend.usage()).free is None


async def test_a_token_is_sent_to_the_node(kubo: Kubo, monkeypatch: pytest.MonkeyPatch) -> None:
    kubo.token = "a-secret-token"
    refused = open_backend("d0", f"{kubo.url}/shelf", create=True)
    with pytest.raises(DeniedError, match=r"refuses us \(status 403\); set MODELFLOAT_IPFS_TOKEN"):
        await refused.put(KEY, [b"x"])
    monkeypatch.setenv("MODELFLOAT_D0_TOKEN", "a-secret-token")
    known = open_backend("d0", f"{kubo.url}/shelf", create=True)
    await known.put(KEY, [b"x"])
    assert "secret" not in repr(known.properties)
    await refused.aclose()
    await known.aclose()


def test_a_token_that_no_header_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFLOAT_IPFS_TOKEN", "two words")
    with pytest.raises(DeniedError, match="characters that no key has") as caught:
        open_backend("d0", "ipfs://host/shelf")
    assert "two words" not in str(caught.value)


async def test_a_user_and_password_are_sent_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFLOAT_D0_USER", "me")
    monkeypatch.setenv("MODELFLOAT_D0_PASSWORD", "pass")
    async with meddling() as meddler:
        meddler.before = lambda _: answer("401 Unauthorized")
        backend = open_backend("d0", f"ipfs://{meddler.host}/shelf")
        with pytest.raises(DeniedError, match="the node refuses us"):
            await backend.head(KEY)
        assert {each.headers["authorization"] for each in meddler.requests} == {
            "Basic bWU6cGFzcw=="
        }
        await backend.aclose()


@pytest.mark.parametrize("command", ["files/cp", "files/mkdir", "files/rm"])
async def test_a_page_in_place_of_silence_is_no_yes(
    kubo: Kubo, backend: Backend, command: str
) -> None:
    """A portal that begins to answer in the middle of a put, or of a delete."""
    await backend.put(SITE, [b"one"])
    kubo.faults.portal.add(command)
    call = backend.delete(SITE) if command == "files/rm" else backend.put(KEY, [VALUE])
    with pytest.raises(UnavailableError):
        await call
    kubo.faults.portal.clear()
    assert await backend.get(SITE) == b"one"
    await backend.put(KEY, [VALUE])
    assert await backend.get(KEY) == VALUE


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Internal", "302 Found"])
async def test_what_another_answers_is_no_answer(status: str) -> None:
    async with meddling() as meddler:
        meddler.before = lambda _: answer(status, PAGE, content_type="text/html")
        backend = open_backend("d0", f"ipfs://{meddler.host}/shelf", create=True)

        async def listing() -> None:
            async for _ in backend.list():
                pass

        for call in (
            lambda: backend.put(KEY, [b"x"]),
            lambda: backend.get(KEY),
            lambda: backend.head(KEY),
            lambda: backend.delete(KEY),
            lambda: backend.usage(),
            listing,
        ):
            with pytest.raises(UnavailableError):
                await call()
        await backend.aclose()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ipfs:///x", "names no node"),
        ("ipfs://host:0/x", "names no node"),
        ("ipfs://host..example/x", "names no node"),
        (f"ipfs://{'a' * 64}.example/x", "names no node"),
        ("ipfs://xn--\x80/x", "names no node"),
        pytest.param(f"ipfs://{'a.' * 40_000}a/x", "names no node", id="long"),
        ("ipfs://host/a/../b", "has a path that no folder has"),
        ("ipfs://host/ipfs/x", "names no folder that can be written"),
        ("ipfs://me:hunter2@host/x", "holds no credentials"),
        ("ipfs://host/x?token=hunter2", "holds no credentials"),
        ("ipfs+gateway://host/x", "names no root"),
        ("ipfs+gateway://host", "names no root"),
    ],
)
def test_urls_that_cannot_be(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        open_backend("d0", url)
    assert "hunter2" not in str(caught.value)


def test_a_url_without_a_folder_has_one_of_its_own(tmp_path: Path) -> None:
    backend = open_backend("d0", "ipfs://[::1]")
    assert backend.properties.domain == "host:::1"
    assert parse_cid(str(cid_of(b""))) == cid_of(b"")
