"""Settings that every test shares."""

from hypothesis import settings

# The same examples on every run; a slow machine is no failure.
settings.register_profile("course", derandomize=True, deadline=None)
settings.load_profile("course")
