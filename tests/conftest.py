"""Named Hypothesis profiles: the same examples in every run, many more in the slow matrix."""

import os

from hypothesis import settings

# Each store that a test's command makes would keep 256 MiB aside.
os.environ["MODELFLOAT_RESERVE"] = "0"

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("slow", max_examples=500, deadline=None, print_blob=True)
settings.load_profile("steady")
