"""Entries of one's own play everywhere when they are named, and are not imported when only recorded data names them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qwenarm.cli.main import main

MODULES = {
    "mine": """
from dataclasses import replace
from pathlib import Path
from qwenarm.tasks.put import TASK as PUT
Path("imported").touch()
TASK = replace(PUT, name="mine")
def POLICY(observation, history):
    return ["look", "done"]
""",
    "replies": """
from qwenarm.mind.backends import BackendEntry
from qwenarm.mind.backends.scripted import Scripted
DONE = '<tool_call>\\n{"name": "done", "arguments": {}}\\n</tool_call>'
BACKEND = BackendEntry(lambda source, name="replies": Scripted(lambda prompt: DONE, name=name), {"name": str})
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with modules, and the ledger of an evaluation that named them."""
    home = tmp_path_factory.mktemp("mine")
    for name, code in MODULES.items():
        (home / f"{name}.py").write_text(code)
    options = ["--task", "mine:TASK", "--seeds", "2", "--out", "run"]
    qwenarm(home, "eval", *options, "--policy", "mine:POLICY", "--controls", "idle", "--workers", "2")
    qwenarm(home, "eval", *options, "--model", "replies:BACKEND#name=done", "--workers", "2")
    (home / "imported").unlink()
    return home


def qwenarm(folder: Path, *words: str, code: int = 0) -> str:
    """What a command prints in a process of its own, errors too."""
    command = [sys.executable, "-P", "-m", "qwenarm", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """here(*words, code=0) -> what a command prints in this process, in the folder, whose modules are not imported."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    (folder / "imported").unlink(missing_ok=True)

    def run(*words: str, code: int = 0) -> str:
        assert main(list(words)) == code
        told = capsys.readouterr()
        return " ".join((told.out + told.err).split())

    yield run
    for name in MODULES:
        sys.modules.pop(name, None)


def runs(folder: Path) -> list[dict]:
    return [json.loads(line)["run"] for line in (folder / "run" / "episodes.jsonl").read_text().splitlines()]


def test_workers_play_entries_of_ones_own_and_resume(here, folder):
    found = runs(folder)
    played = sorted((run["config"]["policy"], run["config"]["task"]) for run in found)
    assert played == sorted(2 * [(name, "mine:TASK") for name in ("mine:POLICY", "idle", "vlm")])
    hashes = {run["policy"]["source_sha256"] for run in found if run["config"]["policy"] == "mine:POLICY"}
    assert len(hashes) == 1 and len(hashes.pop()) == 64
    assert {run["policy"]["model"] for run in found if run["config"]["policy"] == "vlm"} == {"done"}
    again = ("--task", "mine:TASK", "--seeds", "2", "--policy", "mine:POLICY", "--controls", "idle", "--out", "run")
    here("eval", *again)
    assert runs(folder) == found


@pytest.mark.parametrize("words", [("replay",), ("attribute", "--roles", "vlm", "--workers", "2")])
def test_what_only_a_ledger_names_is_not_imported_unless_it_is_allowed(here, folder, words):
    command, *options = words
    assert "--allow mine:TASK" in here(command, "run", *options, code=2) and not (folder / "imported").exists()
    here(command, "run", *options, "--allow", "mine:TASK,mine:POLICY,replies:BACKEND")
    assert (folder / "imported").exists()


def test_a_report_is_written_without_the_code_and_says_which_film_it_lacks(here, folder):
    said = here("report", "run", "--films", "1")
    assert "No film of line" in said and "--allow mine:TASK" in said and not (folder / "imported").exists()
    page = (folder / "run" / "report" / "index.html").read_text()
    assert "mine:POLICY" in page and "replies:BACKEND" in page


def test_the_file_of_a_suite_is_data_too(here, folder):
    blocks = [{"tasks": ["put", "mine:TASK"], "levels": [1], "seeds": 1}]
    (folder / "suite.json").write_text(json.dumps({"name": "s", "blocks": blocks}))
    words = ("eval", "--suite", "suite.json", "--policy", "idle", "--controls", "none", "--out", "suite")
    assert "--allow mine:TASK" in here(*words, code=2) and not (folder / "imported").exists()
    assert "mine:TASK" in here(*words, "--allow", "mine:TASK")


def test_a_module_in_the_current_folder_hides_nothing(tmp_path):
    for name in ("torchvision", "cuda", "numpy", "rich"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')\n")
    (tmp_path / "mine.py").write_text(MODULES["mine"])
    qwenarm(tmp_path, "run", "--policy", "mine:POLICY", "--no-film", "--out", "run")
