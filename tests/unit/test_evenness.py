"""Data shards lie evenly, whatever placement's chance is."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.packs.evenness import Evenness
from modelfloat.cas.packs.placement import Candidate, place
from modelfloat.ids import BackendId

SIX = [Candidate(BackendId(bytes([i]) * 16), f"host{i}", 1.0) for i in range(6)]


def test_six_backends_have_as_much_data_each() -> None:
    """As after every third pack of 4+2; by chance it is up to a quarter more, or less."""
    even, data, chance = Evenness(), Counter[BackendId](), Counter[BackendId]()
    for number in range(15):
        places = place(number.to_bytes(16, "big"), SIX, 6)
        dealt = even.deal(places, 4)
        assert sorted(dealt) == sorted(places)
        data.update(dealt[:4])
        chance.update(places[:4])
        if number % 3 == 2:
            assert set(data.values()) == {2 * (number + 1) // 3}
    assert max(chance.values()) > 10


def test_a_backend_that_gets_few_shards_gets_its_share_of_data() -> None:
    weights = [4.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    some = [Candidate(BackendId(bytes([i]) * 16), f"h{i}", w) for i, w in enumerate(weights)]
    even, data, shards = Evenness(), Counter[BackendId](), Counter[BackendId]()
    for number in range(300):
        places = place(number.to_bytes(16, "big"), some, 6)
        data.update(even.deal(places, 4)[:4])
        shards.update(places)
    for each in some:
        assert abs(data[each.id] - shards[each.id] * 4 / 6) <= 2


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.integers(1, 9)),
        max_size=30,
    )
)
def test_nothing_is_lost_or_doubled(packs: list[tuple[list[int], int]]) -> None:
    even = Evenness()
    for numbers, k in packs:
        places = [SIX[number].id for number in numbers]
        assert Counter(even.deal(places, k)) == Counter(places)
