"""What markers say together of the list of backends, for who has a list of his own."""

from collections.abc import Sequence

import pytest

from modelfloat.backends.agreement import Agreement, agree
from modelfloat.backends.marker import Marker, MarkerBackend
from modelfloat.backends.told import told_url
from modelfloat.ids import BackendId, StoreId


def id_of(name: str) -> BackendId:
    return BackendId(name.encode().ljust(16))


def entry(name: str, weight: float = 1.0, url: str = "") -> MarkerBackend:
    return MarkerBackend(id_of(name), name, url or f"/{name}", "d", weight)


def agreed(own: str, **lists: str) -> Agreement:
    """Backends are letters; each of `lists` is what the marker of one tells."""
    markers = {
        id_of(name): Marker(
            StoreId(bytes(16)), id_of(name), name, "2+1", tuple(entry(each) for each in told)
        )
        for name, told in lists.items()
    }
    return agree([id_of(name) for name in own], markers)


def names(ids: Sequence[BackendId] | frozenset[BackendId]) -> str:
    return "".join(sorted(id_.decode().strip() for id_ in ids))


@pytest.mark.parametrize(
    ("own", "lists", "lacking", "unlisted", "leaving"),
    [
        ("abc", {"a": "abc", "b": "abc", "c": "abc"}, "", "", ""),
        ("abc", {}, "", "", ""),
        ("abc", {"a": "abcx", "b": "abcx", "c": "abc"}, "x", "", ""),
        ("abc", {"a": "abcx", "b": "abc", "c": "abc"}, "", "", ""),
        ("abcd", {"a": "abcdx", "b": "abcdx", "c": "abcd", "d": "abcd"}, "", "", ""),
        # Of those that are down nobody knows what they would say.
        ("abcd", {"a": "abcdx", "b": "abcdx"}, "", "", ""),
        ("abc", {"a": "ab", "b": "ab", "c": "abc"}, "", "c", "c"),
        ("abc", {"a": "ab", "b": "abc", "c": "abc"}, "", "", ""),
        ("ab", {"a": "a"}, "", "", ""),
        ("ab", {"a": "a", "b": "ab"}, "", "", ""),
        ("ab", {"a": "a", "b": "a"}, "", "b", "b"),
        ("abc", {"a": "abc", "b": "abc", "c": "ab"}, "", "", "c"),
        ("a", {"a": "x"}, "x", "a", "a"),
        ("abc", {"a": "xyz", "b": "abc", "c": "abc"}, "", "", "a"),
    ],
)
def test_more_than_half_must_say_so(
    own: str, lists: dict[str, str], lacking: str, unlisted: str, leaving: str
) -> None:
    found = agreed(own, **lists)
    assert names([each.id for each in found.lacking]) == lacking
    assert names(found.unlisted) == unlisted
    assert names(found.leaving) == leaving


def test_the_order_is_that_which_most_have() -> None:
    found = agreed("cba", a="abc", b="abc", c="cab")
    assert [id_.decode().strip() for id_ in found.sorted(map(id_of, "xcba"))] == list("abcx")


def test_what_half_say_of_one_that_is_known_changes_nothing() -> None:
    own = [id_of("a"), id_of("b")]

    def marker(name: str, weight: float) -> Marker:
        told = (entry("a", weight, f"/seen/by/{name}"), entry("b"))
        return Marker(StoreId(bytes(16)), id_of(name), name, "1+1", told)

    differing = agree(own, {id_of("a"): marker("a", 2), id_of("b"): marker("b", 3)})
    assert [each.name for each in differing.entries] == ["b"]
    alike = agree(own, {id_of("a"): marker("a", 2), id_of("b"): marker("b", 2)})
    assert [(each.name, each.weight) for each in alike.entries] == [("a", 2), ("b", 1)]


@pytest.mark.parametrize(
    ("url", "base", "used"),
    [
        ("/disk/x", None, "/disk/x"),
        ("backends/x", None, None),
        ("backends/x", "/a", "/a/backends/x"),
        ("s3://bucket", None, "s3://bucket"),
        ("s3://bucket?endpoint=https://mine", None, "s3://bucket?endpoint=https://mine"),
        ("s3://bucket?endpoint=https://other", None, None),
        ("webdavs://other/x", None, None),
        ("s3://bucket?token=…", None, None),
    ],
)
def test_addresses_that_need_nobodys_word(url: str, base: str | None, used: str | None) -> None:
    assert told_url(entry("x", url=url), {"https://mine"}, base) == used
