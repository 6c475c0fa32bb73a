"""Exports are opened by the other side's own viewers: Inspect's in a browser, LeRobot's into a Rerun recording."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chromium import PAGES_ONLY, chromium
from tests.counterparts import counterpart, other_python
from tests.listening import free_port, wait_until_listening

import qwenarm as qa
from qwenarm.cli.main import main

pytestmark = pytest.mark.render
PATIENCE_MS = 240_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trace")
    qa.evaluate("oracle", tasks="put", seeds=1, controls="idle", folder=folder)
    return folder


@pytest.fixture
def inspect_view(folder: Path, tmp_path: Path) -> Iterator[str]:
    counterpart("inspect_ai")
    assert main(["export", str(folder), "--to", "inspect", "--out", str(tmp_path)]) == 0
    port = free_port()
    command = [Path(sys.executable).with_name("inspect"), "view", "start", "--log-dir", tmp_path, "--port", str(port)]
    server = subprocess.Popen(command, cwd=tmp_path)
    wait_until_listening(server, port)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(timeout=120)


@pytest.mark.browser
def test_inspect_view_shows_samples_dialogue_and_pictures(inspect_view: str) -> None:
    playwright = counterpart("playwright.sync_api")
    complaints: list[str] = []
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium(), args=list(PAGES_ONLY))
        tab = browser.new_page(viewport={"width": 1300, "height": 900})
        tab.set_default_timeout(PATIENCE_MS)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(inspect_view)
        tab.get_by_text("put-1-", exact=False).first.wait_for()
        listed = tab.inner_text("body")
        assert "out of turns" in listed and "success" in listed and "NaN" not in listed
        tab.get_by_text("-oracle-", exact=False).first.click()
        tab.locator("img").first.wait_for()
        assert tab.evaluate("document.images[0].naturalWidth") == 256
        shown = tab.inner_text("body")
        browser.close()
    assert '"name": "pick"' in shown and "You control a robot arm" in shown and not complaints


def test_lerobots_visualiser_shows_the_dataset(folder: Path, tmp_path: Path) -> None:
    python = other_python("lerobot")
    reader = counterpart("rerun.chunk").RrdReader
    dataset, out = tmp_path / "dataset", tmp_path / "shown"
    pictures = ("--cameras", "front", "--size", "96", "128", "--successes-only")
    assert main(["export", str(folder), "--to", "lerobot", "--out", str(dataset), *pictures]) == 0
    tool = "lerobot.scripts.lerobot_dataset_viz"
    words = ["--repo-id", "local/put", "--root", dataset, "--episode-index", "0", "--save", "1", "--output-dir", out]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    command = [python, "-m", tool, *words, "--num-workers", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = {chunk.entity_path for chunk in reader(next(out.glob("*.rrd"))).stream()}
    assert {"/observation.images.front", "/action/0", "/state/0"} <= shown, shown
