"""A store through a minute of adds, reads, repairs, drains, faults and kills; see `support.soak`.

By hand for longer: `python -m modelfloat.tests.support.soak --seconds 1800`.
"""

from pathlib import Path

import pytest

from modelfloat.tests.support.soak import soak

SECONDS = 60.0


def test_whatever_happens_nothing_is_lost(tmp_path: Path) -> None:
    assert soak(tmp_path, seed=20, seconds=SECONDS) > 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_nor_with_other_seeds(tmp_path: Path, seed: int) -> None:
    assert soak(tmp_path, seed, 5 * SECONDS) > 5
