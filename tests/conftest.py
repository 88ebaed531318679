"""Settings that every test shares."""

import pytest
from hypothesis import settings

# The same examples on every run; a slow machine is no failure.
settings.register_profile("course", derandomize=True, deadline=None)
settings.load_profile("course")

# The longest files: several processes share their tests, but for those of one test, and of one
# problem set. Every other's stay together, a lecture's cells among them.
SHARED = (
    "test_classroom.py",
    "test_graded_answers.py",
    "test_lectures.py",
    "test_site.py",
    "test_start.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            stays = nodeid.partition(": " if ": " in nodeid else "[")[0]
            return stays if file.endswith(SHARED) else file

    return ByFile(config, log)
