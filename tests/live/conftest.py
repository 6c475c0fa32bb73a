"""A live page that runs in a process of its own, as the command starts it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("viser")


@dataclass(frozen=True)
class Served:
    """A running command. link: what it prints. folder: of its session."""

    link: str
    folder: Path


def serve(folder: Path, *options: str) -> tuple[subprocess.Popen, Served]:
    """Starts `qwenarm demo` and waits for its link."""
    command = [sys.executable, "-m", "qwenarm", "demo", "--no-browser", "--port", "0", "--out", str(folder), *options]
    environment = {**os.environ, "COLUMNS": "200"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            return process, Served(found[0], folder)
    raise AssertionError(f"the page did not start: {process.wait()}")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One page for all tests of a worker."""
    process, page = serve(tmp_path_factory.mktemp("live") / "session")
    yield page
    process.terminate()
    assert process.wait(60) in (0, 130)
