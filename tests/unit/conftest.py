"""Hypothesis settings for all unit tests."""

from hypothesis import settings

# There is no deadline, because tests do not check time. The examples are always the same, so that only a
# change of the code can make a test fail.
settings.register_profile("unit", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("unit")
