"""How long a fuzzer runs."""

import random

import pytest


@pytest.fixture
def effort(request: pytest.FixtureRequest) -> tuple[int, float, int]:
    """Inputs, seconds, seed: a few thousand of the same, or a minute of fresh ones."""
    if request.config.getoption("--hypothesis-profile") == "slow":
        return 2000, 60.0, random.SystemRandom().randrange(1 << 30)
    return 2000, 0.0, 0
