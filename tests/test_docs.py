"""The documentation does what it says: its code runs, its commands and files exist, its links lead somewhere."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

from qwenarm.cli import main as cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
COMMANDS = (
    *("run", "demo", "list", "show", "prompt", "replay", "eval", "attribute", "probe", "report", "compare"),
    *("collect", "data", "train", "improve", "arm", "serve", "export"),
)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> Iterator[list[str]]:
    """The words of every line of the shell blocks, comments left out."""
    for block in blocks(text, "bash"):
        yield from filter(None, (shlex.split(line, comments=True) for line in block.splitlines()))


def section(title: str) -> str:
    return EXTENDING.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, without the checkpoint, in which the files of docs/extending.md are where they say."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.safetensors"))
    for code in blocks(EXTENDING, "python"):
        path = folder / code.splitlines()[0].removeprefix("# ")
        assert not path.exists(), f"{path} is there already: the documentation should add something new"
        path.write_text(code, encoding="utf-8")
    return folder


def run_python(extended: Path, *words: str, folder: Path | None = None) -> str:
    """What Python prints with the extended package. folder: the current one, by default that of the files."""
    environment = {**os.environ, "PYTHONPATH": str(extended / "src")}
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder or extended, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.render
@pytest.mark.parametrize(
    ("title", "told"),
    [
        ("A task", "success"),
        ("An arm", "success"),
        ("A skill", "wave"),
        ("A perturbation", "sheet"),
        ("A camera", '"enum": ["front", "side"]'),
        ("A policy", "success"),
        ("A model", "gave up"),
    ],
)
def test_one_new_file_is_enough(title: str, told: str, extended: Path) -> None:
    said = ""
    for program, *words in commands(section(title)):
        said += run_python(extended, *(["-P", "-m", "qwenarm"] if program == "qwenarm" else []), *words)
    assert told in said


CONTRACTS = {
    "tests/tasks/test_tasks.py": "gather",
    "tests/body/test_arms.py": "ur10e",
    "tests/skills/test_skills.py": "wave",
    "tests/perturbations/test_perturbations.py": "dusk",
    "tests/body/test_cameras.py": "side",
}
"""The contract tests of each kind, and the entry that the documentation adds."""


@pytest.fixture(scope="module")
def contracts(extended: Path) -> str:
    """What pytest says of all of them. Those that need minutes are left to ``make test ARGS=-mslow``."""
    chosen = " or ".join(f"({Path(tests).name} and {name})" for tests, name in CONTRACTS.items())
    options = ("-v", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow", "-k", chosen)
    return run_python(extended, "-m", "pytest", *CONTRACTS, *options, folder=ROOT)


@pytest.mark.render
@pytest.mark.parametrize(("tests", "name"), CONTRACTS.items(), ids=CONTRACTS.values())
def test_what_the_documentation_adds_keeps_the_contract_of_its_kind(tests: str, name: str, contracts: str) -> None:
    told = [line for line in contracts.splitlines() if line.startswith(f"{tests}::") and name in line]
    assert len(told) >= 2 and all("PASSED" in line for line in told), contracts


WAVE = """
from qwenarm import skills
from qwenarm.body.simulation import Body
from qwenarm.body.scene import Scene
from qwenarm.registry import load
from qwenarm.types import SkillCall

body = Body(Scene(()), load("arms", "panda"))
for control in skills.run(body, SkillCall("wave", {"times": 1.0})):
    body.step(control)
print(next(spec for spec in skills.specs() if spec.name == "wave"), body.time_s)
"""


def test_the_new_skill_moves_and_tells_the_model_what_it_is(extended: Path) -> None:
    said = run_python(extended, "-c", WAVE)
    assert "greet the people" in said and "kind='number'" in said
    assert float(said.split()[-1]) > 0.3, "it moves for a while"


@cache
def help_of(*words: str) -> str:
    """What a command says of itself."""
    said = StringIO()
    with pytest.raises(SystemExit), redirect_stdout(said):
        cli.main([*words, "--help"])
    return said.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for words in commands(page.read_text(encoding="utf-8")):
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets, words
        if words[0] == "qwenarm":
            assert words[1] in COMMANDS, words
            known = help_of(*words[1 : 3 if words[1] in ("train", "serve") else 2])  # these have commands of their own
            options = [word for word in words if word.startswith("--")]
            assert all(option.removeprefix("--no-") in known for option in options), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"
