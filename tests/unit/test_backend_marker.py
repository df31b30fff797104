"""The marker's rules: whose a backend is, and when it counts as down."""

import json
from dataclasses import replace
from typing import Any

import pytest

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.keys import MARKER_KEY
from modelfloat.backends.marker import (
    LARGEST,
    Marker,
    MarkerBackend,
    check_marker,
    decode,
    encode,
    read_marker,
    write_marker,
)
from modelfloat.backends.memory import MemoryBackend
from modelfloat.errors import FormatError, MarkerError, UnavailableError, UsageError
from modelfloat.ids import random_backend_id, random_store_id

STORE, OTHER_STORE = random_store_id(), random_store_id()
D0, D1 = random_backend_id(), random_backend_id()
MARKER = Marker(
    STORE,
    D0,
    "d0",
    "4+2",
    (
        MarkerBackend(D0, "d0", "/mnt/ä", "disk:1"),
        MarkerBackend(D1, "d1", "sftp://host/path", "host", 0.5),
    ),
)


def _with(**fields: Any) -> bytes:
    document = json.loads(encode(MARKER)) | fields
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


def _with_backend(**fields: Any) -> bytes:
    backends = json.loads(encode(MARKER))["backends"]
    entry = {k: v for k, v in (backends[0] | fields).items() if v is not ...}
    return _with(backends=[entry, backends[1]])


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend("d0")


def test_round_trip() -> None:
    data = encode(MARKER)
    assert decode(data, "d0") == MARKER
    assert data.endswith(b"}\n")
    assert list(json.loads(data)) == sorted(json.loads(data))


def test_user_information_is_not_written() -> None:
    entry = MarkerBackend(D0, "d0", "sftp://me:sec/ret@secret@host/path", "host")
    data = encode(replace(MARKER, backends=(entry,)))
    assert b"secret" not in data
    assert b"me" not in data.replace(b'"name"', b"")
    assert decode(data, "d0").backends[0].url == "sftp://host/path"


def test_fields_of_later_releases_are_ignored() -> None:
    assert decode(_with(later=[1]), "d0") == MARKER
    assert decode(_with_backend(later=[1]), "d0") == MARKER
    assert decode(_with(compat=5), "d0") == replace(MARKER, compat=5)
    assert decode(_with(ro_compat=5), "d0") == replace(MARKER, ro_compat=5)


@pytest.mark.parametrize("fields", [{"format": 2}, {"format": 99, "store": 1}, {"incompat": 1}])
def test_newer_formats_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(FormatError, match="backend d7: a newer release"):
        decode(_with(**fields), "d7")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{",
        b"[" * 100_000,
        b'{"format": NaN}',
        b'{"format": ' + b"9" * 10_000 + b"}",
        b" " * (LARGEST + 1),
        _with(format=0),
        _with(format=True),
        _with(format="1"),
        _with(incompat=-1),
        _with(incompat=1 << 32),
        _with(compat=...),
        _with(ro_compat=None),
        _with(store="00"),
        _with(store=STORE.hex().upper() + "G"),
        _with(store=...),
        _with(backend=5),
        _with(name=""),
        _with(erasure="4"),
        _with(erasure="0+2"),
        _with(erasure="4+2\n"),
        _with(backends={}),
        _with(backends=[1]),
        _with(backends=...),
        _with_backend(backend="x"),
        _with_backend(name=...),
        _with_backend(url=1),
        _with_backend(domain=""),
        _with_backend(weight=0),
        _with_backend(weight=-1.0),
        _with_backend(weight="1"),
        _with_backend(weight=True),
        _with_backend(weight=float("inf")),
        _with_backend(weight=float("nan")),
        _with_backend(weight=10**400),
        _with_backend(weight=...),
        _with_backend(capacity=0),
        _with_backend(capacity=1.5),
        _with_backend(capacity=True),
        _with_backend(capacity=1 << 63),
    ],
)
def test_malformed_markers_are_refused(data: bytes) -> None:
    with pytest.raises(MarkerError, match=r"backend d7: its modelfloat\.json") as caught:
        decode(data, "d7")
    assert "\n" not in str(caught.value)


def test_what_cannot_be_written() -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        encode(replace(MARKER, backends=(MarkerBackend(D0, "d0", "/\udcff", "x"),)))
    with pytest.raises(UsageError, match="too many"):
        encode(replace(MARKER, backends=MARKER.backends * 5000))


async def test_write_read_check(backend: MemoryBackend) -> None:
    await write_marker(backend, MARKER, new=True)
    assert await read_marker(backend) == MARKER
    assert await check_marker(backend, STORE, D0) == MARKER
    longer = replace(MARKER, erasure="6+2")
    await write_marker(backend, longer, new=False)
    assert await read_marker(backend) == longer


async def test_a_missing_marker_is_down_not_empty(backend: MemoryBackend) -> None:
    with pytest.raises(MarkerError, match=r"d0: no modelfloat\.json at its root; is the disk mou"):
        await check_marker(backend, STORE, D0)
    with pytest.raises(MarkerError, match="no modelfloat"):
        await write_marker(backend, MARKER, new=False)
    assert [each async for each in backend.list()] == []


async def test_foreign_markers_are_down(backend: MemoryBackend) -> None:
    await write_marker(backend, MARKER, new=True)
    with pytest.raises(MarkerError, match=f"d0: it belongs to store {STORE.hex()}, not to"):
        await check_marker(backend, OTHER_STORE, D0)
    with pytest.raises(MarkerError, match=f"is backend d0 .*not {D1.hex()}"):
        await check_marker(backend, STORE, D1)


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("change", [{"store": OTHER_STORE}, {"backend": D1}])
async def test_a_foreign_marker_is_never_overwritten(
    backend: MemoryBackend, new: bool, change: dict[str, Any]
) -> None:
    await write_marker(backend, MARKER, new=True)
    with pytest.raises(MarkerError):
        await write_marker(backend, replace(MARKER, **change), new=new)
    assert await read_marker(backend) == MARKER


async def test_a_malformed_marker_is_never_overwritten(backend: MemoryBackend) -> None:
    await backend.put(MARKER_KEY, [b"notes of my own"])
    with pytest.raises(MarkerError):
        await write_marker(backend, MARKER, new=True)
    assert await backend.get(MARKER_KEY) == b"notes of my own"


async def test_an_interrupted_init_can_be_run_again(backend: MemoryBackend) -> None:
    await write_marker(backend, MARKER, new=True)
    later = replace(MARKER, erasure="1+1")
    await write_marker(backend, later, new=True)
    assert await read_marker(backend) == later


async def test_a_newer_release_may_forbid_writing(backend: MemoryBackend) -> None:
    await write_marker(backend, replace(MARKER, ro_compat=2), new=True)
    assert (await check_marker(backend, STORE, D0)).ro_compat == 2
    with pytest.raises(FormatError, match="keeps this one from writing"):
        await write_marker(backend, MARKER, new=False)


async def test_a_huge_marker_is_not_read_whole(backend: MemoryBackend) -> None:
    await backend.put(MARKER_KEY, [b" " * (LARGEST * 3)])
    with pytest.raises(MarkerError, match="too large"):
        await read_marker(backend)


async def test_an_unavailable_backend_stays_unavailable(backend: MemoryBackend) -> None:
    faulty = FaultyBackend(backend)
    faulty.inject("unavailable")
    with pytest.raises(UnavailableError):
        await check_marker(faulty, STORE, D0)
