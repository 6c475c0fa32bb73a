"""The documentation does what it says: its code runs, its commands and files exist, its links lead somewhere."""

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenarm import cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
COMMANDS = ("run", "list", "show", "replay", "eval", "train")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> Iterator[list[str]]:
    """The words of every line of the shell blocks, comments left out."""
    for block in blocks(text, "bash"):
        yield from filter(None, (shlex.split(line, comments=True) for line in block.splitlines()))


def section(title: str) -> str:
    return EXTENDING.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.fixture
def new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lets packages of qwenarm see a second folder, as if the documentation's file had been put into the first one."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def drop(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Puts the block of a section where its first line says; returns the id that it has now."""
    (code,) = blocks(text, "python")
    path = Path(code.splitlines()[0].removeprefix("# src/"))
    package = importlib.import_module(".".join(path.parent.parts))
    (folder / path.name).write_text(code, encoding="utf-8")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    return path.stem


@pytest.mark.render
@pytest.mark.parametrize(("kind", "title"), [("tasks", "A task"), ("arms", "An arm"), ("skills", "A skill")])
def test_one_new_file_is_enough(
    kind: str, title: str, new_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = section(title)
    name = drop(text, new_file, monkeypatch)
    for words in commands(text):
        assert words[0] == "qwenarm"
        assert cli.main(words[1:]) == 0
    told = capsys.readouterr().out
    assert name in told
    if kind != "skills":
        assert "success" in told


@pytest.mark.render
def test_the_new_skill_runs_and_tells_the_model_what_it_is(new_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qwenarm import skills
    from qwenarm.body.body import Body
    from qwenarm.body.scene import Scene
    from qwenarm.registry import load
    from qwenarm.types import SkillCall

    name = drop(section("A skill"), new_file, monkeypatch)
    assert name in [spec.name for spec in skills.specs()]
    body = Body(Scene(()), load("arms", "panda"))
    for control in skills.run(body, SkillCall(name, {"times": 1.0})):
        body.step(control)
    assert body.time_s > 1


@pytest.mark.render
def test_the_new_model_runs(tmp_path: Path) -> None:
    (code,) = blocks(section("A model"), "python")
    (tmp_path / "parrot.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "parrot.py"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.count("gave up") == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for words in commands(page.read_text(encoding="utf-8")):
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets, words
        if words[0] == "qwenarm":
            assert words[1] in COMMANDS, words
            with pytest.raises(SystemExit):
                cli.main([words[1], "--help"])
            known = capsys.readouterr().out
            assert not [word for word in words if word.startswith("--") and word.removeprefix("--no-") not in known], (
                words
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"
