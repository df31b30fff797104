"""Addresses: `vendor/name[@REV][/path]` taken apart, and what is refused."""

import pytest

from modelfloat.cas.formats.journal import RefKind
from modelfloat.cas.refnames import (
    Address,
    RepoName,
    check_ref_name,
    parse_address,
    ref_key,
    ref_of_key,
)
from modelfloat.errors import UsageError


def test_address_parts() -> None:
    repo = RepoName("acme", "llama")
    assert parse_address("acme/llama") == Address(repo, None, ())
    assert parse_address("acme/llama@v1") == Address(repo, "v1", ())
    assert parse_address("acme/llama@main~2/a/b c/") == Address(
        repo, "main~2", (b"a", b"b c"), folder=True
    )
    assert parse_address("acme/llama@a%2Fb/x").rev == "a/b"
    assert parse_address("größe/模型/\udcff") == Address(
        RepoName("größe", "模型"), None, (b"\xff",)
    )


@pytest.mark.parametrize(
    "text",
    ["", "acme", "/llama", "acme/", "acme/@v1", "acme/llama@", ".acme/llama", "acme/.llama",
     "acme/..", "../llama", "acme/llama/../x", "acme/llama/./x", "ac\nme/llama", "a" * 129 + "/b",
     "ä" * 65 + "/b", "acme/ll\x7fama", "\udcff/b"],
)  # fmt: skip
def test_impossible_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"VENDOR/NAME|in its path"):
        parse_address(text)


def test_str_gives_the_address_back() -> None:
    for text in ("acme/llama", "acme/llama@v1", "acme/llama@main/a/b"):
        assert str(parse_address(text)) == text


def test_ref_keys_round_trip() -> None:
    repo = RepoName("acme", "größe")
    key = ref_key(repo, RefKind.TAG, "v1")
    assert ref_of_key(key) == (repo, RefKind.TAG, "v1")


def test_longest_key_fits_lmdb() -> None:
    assert len(ref_key(RepoName("a" * 128, "b" * 128), RefKind.TAG, "c" * 128)) <= 511


@pytest.mark.parametrize("name", ["", "a/b", "a@b", "a~1", ".a", "a\n", "-x", "a b", "a" * 129])
def test_impossible_branches_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name"):
        check_ref_name(name, "branch")
