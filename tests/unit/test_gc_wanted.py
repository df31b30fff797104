"""Chunk ids that wait to be marked come back once each, whatever they are."""

import struct
from itertools import chain

import pytest

from modelfloat.cas.gc import wanted as module
from modelfloat.cas.gc.wanted import Wanted


def entries(ids: list[bytes]) -> bytes:
    return b"".join(struct.pack("<32sI", id_, 7) for id_ in ids)


def alike(count: int) -> list[bytes]:
    """Ids of which many begin with the same eight bytes, and all end with zeros."""
    return [bytes([i % 5]).ljust(16, b"\xfe") + i.to_bytes(4) + bytes(12) for i in range(count)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 100)
    monkeypatch.setattr(module, "TOGETHER", 16)


def test_what_was_taken_comes_back_by_its_first_bytes() -> None:
    wanted, ids = Wanted(), alike(60)
    assert wanted.take(entries(ids)) == 60 * 36
    parts = list(wanted.drain())
    assert [len(part) for part in parts] == [16, 16, 16, 12]
    found = list(chain(*parts))
    assert sorted(found) == sorted(ids)
    assert [id_[:8] for id_ in found] == sorted(id_[:8] for id_ in ids)
    assert list(wanted.drain()) == []


def test_no_list_names_a_chunk_twice() -> None:
    wanted, ids = Wanted(), alike(12)
    for _ in range(8):
        wanted.take(entries(ids))
    parts = list(wanted.drain())
    assert set(chain(*parts)) == set(ids)
    assert all(len(part) == len(set(part)) for part in parts)


def test_what_there_is_no_room_for_is_not_taken() -> None:
    wanted, ids = Wanted(), alike(130)
    assert wanted.take(entries(ids)) == 100 * 36
    assert wanted.take(entries(ids[100:])) == 0
    assert sorted(chain(*wanted.drain())) == sorted(ids[:100])
    assert wanted.take(entries(ids[100:])) == 30 * 36
    wanted.clear()
    assert list(wanted.drain()) == []
