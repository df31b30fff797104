"""Named Hypothesis profiles: the same examples in every run, many more in the slow matrix."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Each store that a test's command makes would keep 256 MiB aside.
os.environ["MODELFLOAT_RESERVE"] = "0"

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("slow", max_examples=500, deadline=None, print_blob=True)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command that ran in the test's own process has set up its log."""
    logger = logging.getLogger("modelfloat")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = before[0], before[1]
    logger.setLevel(before[2])
