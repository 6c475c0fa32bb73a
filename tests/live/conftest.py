"""A live page that runs in a process of its own, as the command starts it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("viser")


@dataclass(frozen=True)
class Served:
    """A running command. link: what it prints. folder: of its session."""

    link: str
    folder: Path


def serve(folder: Path, *options: str, errors: Path | None = None) -> tuple[subprocess.Popen, Served]:
    """Starts `qwenarm demo` and waits for its link. errors: a file for what it writes to standard error."""
    command = [sys.executable, "-m", "qwenarm", "demo", "--no-browser", "--port", "0", "--out", str(folder), *options]
    environment = {**os.environ, "COLUMNS": "200"}
    with open(errors, "w") if errors else nullcontext() as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True, env=environment)
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            return process, Served(found[0], folder)
    raise AssertionError(f"the page did not start: {process.wait()}")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One page for all tests of a worker. Whatever they do, neither it nor its player crashes."""
    folder = tmp_path_factory.mktemp("live")
    process, page = serve(folder / "session", errors=folder / "errors")
    yield page
    process.terminate()
    assert process.wait(60) in (0, 130)
    assert "Traceback" not in (folder / "errors").read_text()
