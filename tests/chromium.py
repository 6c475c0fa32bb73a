"""A real browser for the pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

PAGES_ONLY = ("--no-sandbox", "--disable-gpu")
"""Arguments of a browser that needs neither 3-D nor a microphone."""


def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found and not os.environ.get("QWENARM_REQUIRE_BROWSER"):
        pytest.skip("no chromium on this machine; set QWENARM_REQUIRE_BROWSER=1 to make this an error")
    assert found, "QWENARM_REQUIRE_BROWSER is set and there is no chromium"
    return found


@contextmanager
def launched(*args: str) -> Iterator[Any]:
    """A browser with these arguments, or a skipped test."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=chromium(), args=list(args))
        yield found
        found.close()
