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
def _logging_as_it_comes() -> Iterator[None]:
    """A command that ran in the test's process, or for several tests, has set up its log."""
    _reset_logging()
    yield
    _reset_logging()


def _reset_logging() -> None:
    logger = logging.getLogger("modelfloat")
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
