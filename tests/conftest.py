"""Named Hypothesis profiles: the same examples in every run, many more in the slow matrix."""

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("slow", max_examples=500, deadline=None, print_blob=True)
settings.load_profile("steady")
