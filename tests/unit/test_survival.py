"""What a store survives: as its packs lie now, on backends of which some are down."""

from modelfloat.cas.packs.placement import Candidate
from modelfloat.cas.packs.survival import Layout, describe, survival
from modelfloat.erasure.scheme import Scheme
from modelfloat.ids import BackendId

SCHEME = Scheme(4, 2)
IDS = [BackendId(bytes([i]) * 16) for i in range(6)]
DISK = [Candidate(each, "disk", 1.0) for each in IDS]
HOSTS = [Candidate(each, str(each), 1.0) for each in IDS]
EVEN = {Layout(4, tuple(IDS)): 3}


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
    crowded = Layout(4, (IDS[0], *IDS[0:5]))
    found = survival(SCHEME, DISK, set(IDS), {**EVEN, crowded: 1})
    assert "any 1 of 6 directories" in found.text
    lacking = survival(SCHEME, DISK, set(IDS), {**EVEN, Layout(4, tuple(IDS[:5])): 1})
    assert "any 1 of 6 directories" in lacking.text
    lost = survival(SCHEME, DISK, set(IDS), {**EVEN, Layout(4, tuple(IDS[:3])): 1})
    assert (lost.unreadable, lost.text) == (1, "1 of 4 packs cannot be read now")


def test_what_lies_on_nothing_that_is_up_is_not_read() -> None:
    assert survival(SCHEME, DISK, set(), EVEN).unreadable == 3
