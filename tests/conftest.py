"""Settings that hold for all tests."""

import gc
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests.chromium import PAGES_ONLY, launched

# How long an example takes says more about the machine's other work than about the code, and a suite that is red now
# and then teaches nobody: by default the examples are the same each time. Those of "explore" are many, and new.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("tests", PATIENT, derandomize=True, max_examples=50)
settings.register_profile("explore", PATIENT, max_examples=500)
settings.load_profile("tests")

# `make test` hands whole files to its workers, as their fixtures are shared, in the order of collection. Those of about
# 15 s and more come first, the longest one ahead: a worker that took it last would work alone for the rest of the time.
LONG_FILES = (
    "live/test_browser.py",
    "mind/test_engine.py",
    "diagnosis/test_attribution.py",
    "evaluation/test_evaluate.py",  # its many processes would disturb the browser, which hears in real time
    "tasks/test_sentences.py",
    "live/test_player.py",
    "diagnosis/test_attribution_workers.py",
    "tasks/test_free_task.py",
    "skills/test_oracle.py",
    "tasks/test_tasks.py",
    "perturbations/test_perturbations.py",
    "test_env.py",
    "mind/test_servers.py",
    "train/test_rl.py",
    "train/test_sft.py",
    "cli/test_prompt_preview.py",
    "cli/test_foreign_code.py",
    "test_docs.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {Path(__file__).parent / name: index for index, name in enumerate(LONG_FILES)}
    if missing := [str(path) for path in place if not path.is_file()]:
        raise pytest.UsageError(f"{__file__} names files that do not exist: {', '.join(missing)}")
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Looks for garbage neither while everything is imported nor in what was imported, which stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser for pages, one for all tests of a file."""
    with launched(*PAGES_ONLY) as found:
        yield found
