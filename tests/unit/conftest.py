"""Settings that all unit tests share."""

from hypothesis import settings

# No deadline, since a test asserts no time; the same examples every time, so that only a change can fail.
settings.register_profile("unit", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("unit")
