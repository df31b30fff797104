"""All keys of a store follow from its master key, each its own, and none is ever shown."""

import pytest

from modelfloat.cas.encryption.keys import KEY_SIZE, StoreKeys, derive, random_master

MASTER = bytes(range(KEY_SIZE))


def test_they_follow_from_the_master() -> None:
    keys = StoreKeys.from_master(MASTER)
    assert keys == StoreKeys.from_master(MASTER)
    assert keys != StoreKeys.from_master(MASTER[::-1])
    assert len({keys.chunk_ids, keys.packs, keys.records, MASTER}) == 4
    assert {len(keys.chunk_ids), len(keys.packs), len(keys.records)} == {KEY_SIZE}


def test_they_are_what_the_format_says() -> None:
    # BLAKE3 in its mode of derivation, as format.md says: for ever, or old stores are unreadable.
    keys = StoreKeys.from_master(MASTER)
    assert [k.hex()[:16] for k in (keys.chunk_ids, keys.packs, keys.records)] == EXPECTED


EXPECTED = ["27ad17948457def4", "72f35fc52f56a0b9", "10af1d0c07eb317a"]


def test_a_key_of_a_thing_is_its_own() -> None:
    assert derive(MASTER, "a", b"x") != derive(MASTER, "a", b"y")
    assert derive(MASTER, "a", b"x") != derive(MASTER, "b", b"x")


def test_no_key_is_shown() -> None:
    keys = StoreKeys.from_master(MASTER)
    shown = f"{keys!r} {keys}"
    assert keys.chunk_ids.hex() not in shown
    assert repr(keys.packs) not in shown
    assert "records" not in shown


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_master_of_another_size_is_none(size: int) -> None:
    with pytest.raises(ValueError, match=f"master key of {size} bytes"):
        StoreKeys.from_master(bytes(size))


def test_masters_are_random() -> None:
    assert random_master() != random_master()
    assert len(random_master()) == KEY_SIZE
