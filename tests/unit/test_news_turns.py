"""Whose news are asked for: those that told something true each time, of the others some."""

from modelfloat.cas.journal.turns import FEW, KEPT, MOST, Turns
from modelfloat.ids import SiteId


def sites(count: int, first: int = 0) -> list[SiteId]:
    return [SiteId(n.to_bytes(16, "big")) for n in range(first, first + count)]


def test_as_many_as_there_usually_are_are_all_asked() -> None:
    turns = Turns()
    for _ in range(3):
        assert sorted(turns.choose(sites(MOST))) == sites(MOST)
    for site in sites(40):
        turns.note(site)
    assert set(turns.choose(sites(40 + FEW))) == set(sites(40 + FEW))


def test_of_very_many_each_comes_in_turn() -> None:
    turns, asked = Turns(_last={}), list[SiteId]()
    for _ in range(5):
        asked += turns.choose(sites(5 * MOST))
    assert asked == sites(5 * MOST)
    assert turns.choose(sites(5 * MOST)) == sites(MOST)


def test_names_that_are_made_up_do_not_keep_from_those_that_told_something() -> None:
    turns, true = Turns(), sites(30, 10_000)
    for site in true:
        turns.note(site)
    for _ in range(10):
        asked = turns.choose([*sites(5000), *true])
        assert set(true) <= set(asked)
        assert len(asked) == len(true) + FEW


def test_who_tells_something_while_many_do_has_a_turn_too() -> None:
    turns = Turns()
    for site in sites(3 * MOST):
        turns.note(site)
    asked = [site for _ in range(4) for site in turns.choose(sites(3 * MOST + 1))]
    assert set(asked) == set(sites(3 * MOST + 1))
    assert len(asked) <= 4 * MOST


def test_no_more_are_remembered_than_so_many() -> None:
    turns = Turns()
    for site in sites(KEPT + 100):
        turns.note(site)
    assert len(turns._true) == KEPT
    assert sites(1)[0] not in turns._true
