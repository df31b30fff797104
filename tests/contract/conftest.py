"""Makes failed assertions of the suite as talkative as those of test modules."""

import pytest

pytest.register_assert_rewrite("modelfloat.tests.contract.suite")
