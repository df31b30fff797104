"""Tables and plots of the benches: figures against their targets, bars in proportion."""

from xml.etree import ElementTree

import pytest

from modelfloat.bench.figures import Figure, percentile
from modelfloat.bench.harness import Row, Run
from modelfloat.bench.plot import OURS, PEERS, WIDTH, bars

MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("figure", "line"),
    [
        (Figure("a", "s", [1.0, 3.0, 2.0], most=2), "| a, s | 2 | 1–3 | ≤ 2 | met |"),
        (Figure("a", "", [2.01], most=2), "| a | 2.01 | 2.01–2.01 | ≤ 2 | missed |"),
        (Figure("a", "", [0.9], least=0.9), "| a | 0.9 | 0.9–0.9 | ≥ 0.9 | met |"),
        (Figure("a", "", [0.89], least=0.9), "| a | 0.89 | 0.89–0.89 | ≥ 0.9 | missed |"),
        (Figure("a", "MB", [1234.5]), "| a, MB | 1,234 | 1,234–1,234 | – | – |"),
    ],
)
def test_a_figure_is_held_against_its_target(figure: Figure, line: str) -> None:
    assert str(figure) == line


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5) == 51
    assert percentile(values, 0.99) == 100
    assert percentile([7.0], 0.99) == 7


def test_bars_are_as_long_as_the_rates() -> None:
    rows = [
        Row("ours <&>", 100 * MEGABYTE, [Run(1), Run(2), Run(4)]),
        Row("peer", 100 * MEGABYTE, [Run(2)]),
    ]
    drawn = ElementTree.fromstring(bars("title", rows, "ours"))
    name = "{http://www.w3.org/2000/svg}"
    _, ours, peer = drawn.findall(f"{name}rect")
    assert (ours.get("fill"), peer.get("fill")) == (OURS, PEERS)
    # The highest of all rates, 100 MB/s, is as long as there is room.
    assert float(ours.get("width", 0)) == pytest.approx(WIDTH / 2, abs=0.1)
    assert float(peer.get("width", 0)) == pytest.approx(WIDTH / 2, abs=0.1)
    texts = [text.text for text in drawn.findall(f"{name}text")]
    assert texts == ["title", "ours <&>", "50 MB/s", "peer", "50 MB/s"]
