"""The key grammar, and the keys of shards and journal records both ways."""

import pytest

from modelfloat.backends.keys import (
    MARKER_KEY,
    check_key,
    check_prefix,
    is_key,
    is_replaced,
    journal_key,
    lease_key,
    parse_journal_key,
    parse_lease_key,
    parse_session_key,
    parse_shard_key,
    parse_site_key,
    session_key,
    shard_key,
    site_key,
)
from modelfloat.ids import PackId, SiteId, WriterId

PACK = PackId(bytes(range(0xA0, 0xB0)))
WRITER = WriterId(bytes(range(16)))
HEX = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"


def test_keys_of_the_engine_are_keys() -> None:
    for key in (MARKER_KEY, shard_key(PACK, 47, 32, 16), journal_key(WRITER, 2**64 - 1, 16)):
        assert check_key(key) == key


def test_shard_keys_both_ways() -> None:
    key = shard_key(PACK, 5, 4, 2)
    assert key == f"packs/a0/{HEX}/5-4-2"
    assert parse_shard_key(key) == (PACK, 5, 4, 2)
    assert parse_shard_key(shard_key(PACK, 0, 1, 0)) == (PACK, 0, 1, 0)


@pytest.mark.parametrize(
    "key",
    [
        MARKER_KEY,
        f"packs/a1/{HEX}/5-4-2",
        f"packs/a0/{HEX}/6-4-2",
        f"packs/a0/{HEX}/0-0-2",
        f"packs/a0/{HEX}/05-4-2",
        f"packs/a0/{HEX}/5-4",
        f"packs/a0/{HEX}/5-4-2/x",
        f"packs/a0/{HEX[:-1]}/5-4-2",
        f"packs/A0/{HEX.upper()}/5-4-2",
        f"packs/a0/{HEX}/5-4-2\n",
        f"x/packs/a0/{HEX}/5-4-2",
    ],
)
def test_what_is_no_shard_key(key: str) -> None:
    assert parse_shard_key(key) is None


def test_journal_keys_both_ways() -> None:
    key = journal_key(WRITER, 0x1F, 2)
    assert key == "journal/000102030405060708090a0b0c0d0e0f/000000000000001f-2"
    assert parse_journal_key(key) == (WRITER, 0x1F, 2)


@pytest.mark.parametrize(
    "key",
    [
        MARKER_KEY,
        f"journal/{HEX}/1f-2",
        f"journal/{HEX}/000000000000001f",
        f"journal/{HEX}/000000000000001F-2",
        f"journal/{HEX}/000000000000001f-02",
        f"journal/{HEX}/000000000000001f-2\n",
    ],
)
def test_what_is_no_journal_key(key: str) -> None:
    assert parse_journal_key(key) is None


def test_keys_of_who_is_at_work_both_ways() -> None:
    assert lease_key("store", 31) == "lease/store/000000000000001f"
    assert parse_lease_key(lease_key("store", 2**64 - 1)) == ("store", 2**64 - 1)
    assert parse_session_key(session_key(WRITER)) == WRITER
    assert parse_site_key(site_key(SiteId(bytes(WRITER)))) == WRITER
    for key in ("lease/store/1f", "lease/000000000000001f", f"sessions/{HEX}0", f"sites/{HEX[1:]}"):
        assert is_key(key)
        assert (parse_lease_key(key), parse_session_key(key), parse_site_key(key)) == (None,) * 3


@pytest.mark.parametrize("key", ["a", "a/b", "...", "a/..b", "tmpa", "a/tmp/b", "0-_.", "a" * 200])
def test_good_keys(key: str) -> None:
    assert is_key(key)
    assert check_key(key) == key


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/.", "a/b/", "t", "."])
def test_good_prefixes(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


def test_the_longest_text_is_refused_quickly() -> None:
    """The grammar must not backtrack: a listing may bring any name."""
    assert not is_key("a/" * 5_000_000)
    assert not is_key("." * 199 + "/")


def test_what_is_written_once_is_not_replaced() -> None:
    assert is_replaced(MARKER_KEY)
    assert is_replaced(session_key(WRITER))
    assert is_replaced("sessions/")
    assert not is_replaced(shard_key(PACK, 0, 4, 2))
    assert not is_replaced(journal_key(WRITER, 1, 0))
    assert not is_replaced("")
