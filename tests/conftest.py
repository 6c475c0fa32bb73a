"""Settings that hold for all tests."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine's other work than about the code, and a suite that is red now
# and then teaches nobody: by default the examples are the same each time. Those of "explore" are many, and new.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("tests", PATIENT, derandomize=True, max_examples=50)
settings.register_profile("explore", PATIENT, max_examples=500)
settings.load_profile("tests")

# `make test` hands whole files to its workers (their fixtures are shared), in the order of collection. The longest ones
# come first: a worker that took one of them last would work alone for the rest of the time.
LONGEST_FILES = (
    "live/test_browser.py",
    "mind/test_engine.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {Path(__file__).parent / name: index for index, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: place.get(item.path, len(place)))
