"""What a store survives: as its packs lie now, on backends of which some are down."""

from modelfloat.cas.packs.placement import Candidate
from modelfloat.cas.packs.survival import Layout, describe, survival
from modelfloat.erasure.scheme import Scheme
from modelfloat.ids import BackendId

SCHEME = Scheme(4, 2)
IDS = [BackendId(bytes([i]) * 16) for i in range(6)]
DISK = [Candidate(each, "disk", 1.0) for each in IDS]
HOSTS = [Candidate(each, str(each), 1.0) for each in IDS]
EVEN = {Layout(4, 2, tuple(IDS)): 3}


def test_an_empty_store_survives_what_new_packs_do() -> None:
    assert "any 2 of 6 directories" in describe(SCHEME, DISK)
    assert describe(SCHEME, HOSTS) == "survives the loss of any 2 of 6 domains"
    assert describe(SCHEME, []).startswith("no backend is up")


def test_each_backend_that_is_down_is_one_less_to_lose() -> None:
    found = [survival(SCHEME, HOSTS, set(IDS[down:]), EVEN) for down in range(4)]
    assert [each.spare for each in found] == [2, 1, 0, -1]
    assert [each.unreadable for each in found] == [0, 0, 0, 3]
    assert found[1].text == "survives the loss of any 1 of 5 domains (1 of 6 backends down)"
    assert "nothing more may be lost or damaged (2 of 6" in found[2].text
    assert found[3].text == "3 of 3 packs cannot be read now, with 3 of 6 backends down"


def test_the_worst_pack_counts() -> None:
    crowded = Layout(4, 2, (IDS[0], *IDS[0:5]))
    found = survival(SCHEME, DISK, set(IDS), {**EVEN, crowded: 1})
    assert "any 1 of 6 directories" in found.text
    lacking = survival(SCHEME, DISK, set(IDS), {**EVEN, Layout(4, 2, tuple(IDS[:5])): 1})
    assert "any 1 of 6 directories" in lacking.text
    lost = survival(SCHEME, DISK, set(IDS), {**EVEN, Layout(4, 2, tuple(IDS[:3])): 1})
    assert (lost.unreadable, lost.text) == (1, "1 of 4 packs cannot be read now")


def test_what_lies_on_nothing_that_is_up_is_not_read() -> None:
    assert survival(SCHEME, DISK, set(), EVEN).unreadable == 3


def test_each_parity_is_told_for_itself() -> None:
    """A repository of 8+0 beside the store's 4+2, copies of objects, and one more of 10+2."""
    eight = Layout(8, 0, (*IDS, IDS[0], IDS[1]))
    mixed = {**EVEN, Layout(1, 2, tuple(IDS[:3])): 4, eight: 5}
    found = survival(SCHEME, HOSTS, set(IDS), mixed)
    assert [(g.schemes, g.packs) for g in found.groups] == [("4+2", 7), ("8+0", 5)]
    assert found.text == (
        "4+2: survives the loss of any 2 of 6 domains; "
        "8+0: no parity: any lost or damaged shard is lost data"
    )
    assert (found.spare, found.unreadable) == (2, 0)
    more = {**EVEN, Layout(10, 2, tuple(IDS * 2)): 1}
    assert survival(SCHEME, HOSTS, set(IDS), more).groups == ()
    assert "any 1 of 6 domains" in survival(SCHEME, HOSTS, set(IDS), more).text
    down = survival(SCHEME, HOSTS, set(IDS[1:]), mixed)
    assert (down.unreadable, down.groups) == (5, ())


def test_packs_that_are_copies_only_are_named_by_their_number() -> None:
    copies = {Layout(1, 2, tuple(IDS[:3])): 4, Layout(1, 1, tuple(IDS[:2])): 1}
    found = survival(SCHEME, HOSTS, set(IDS), copies)
    assert [group.schemes for group in found.groups] == ["4+2", "1+1"]
