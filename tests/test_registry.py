"""The registry: entries are found without importing anything, and code outside of the package only if it is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwenarm.errors import BadInput, UnknownName
from qwenarm.mind.open_model import backend_entry
from qwenarm.policies import policy_entry
from qwenarm.registry import ENTRY_KINDS, describe, is_foreign, list_names, load, names_to_allow, only_allowed


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the current one, with a module that leaves a mark when it is imported. Returns the mark's path."""
    mark = tmp_path / "imported"
    code = f"from pathlib import Path\nfrom qwenarm.tasks.put import TASK\nPath({str(mark)!r}).touch()\n"
    (tmp_path / "evil.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    yield mark
    sys.modules.pop("evil", None)


@pytest.mark.parametrize("kind", ENTRY_KINDS)
def test_every_kind_has_entries_that_load_and_say_what_they_are(kind):
    for name in list_names(kind):
        load(kind, name)
        assert describe(kind, name).endswith(".")
    with pytest.raises(UnknownName, match=list_names(kind)[0]):
        load(kind, "nothing")


def test_lists_import_nothing():
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom qwenarm.registry import ENTRY_KINDS, describe, list_names\n"
        "[describe(kind, name) for kind in ENTRY_KINDS for name in list_names(kind)]\n"
        "print([name for name in sys.modules if name.startswith('qwenarm.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['qwenarm.errors', 'qwenarm.registry']"


@pytest.mark.parametrize("name", ["my_task:TASK", "a.b:C", "_x:y"])
def test_a_module_and_a_name_are_foreign(name):
    assert is_foreign(name) and names_to_allow("put,", f"{name}:2,look:1") == [name]


@pytest.mark.parametrize(
    "name", ["put", "look:2", "menagerie:arm", "http://localhost:8000", "latency:1.5", ":TASK", "a:", "a b:C"]
)
def test_nothing_else_is_foreign(name):
    assert not is_foreign(name)


@pytest.mark.parametrize("name", ["no_such_module:TASK", "json:NOTHING", ":TASK", "json:", ".json:loads"])
def test_what_cannot_be_loaded_is_told(name):
    with pytest.raises(BadInput, match=r"Cannot load the task|There is no module .* for the task"):
        load("tasks", name)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("tasks", "a task is a Task"), ("arms", "Arm"), ("policies", "PolicyEntry"), ("models", "BackendEntry")],
)
def test_something_else_is_told(kind, said):
    loaders = {"policies": policy_entry, "models": backend_entry}
    with pytest.raises(BadInput, match=f"'sys:path' is a list; .*{said}"):
        loaders.get(kind, lambda name: load(kind, name))("sys:path")


def test_the_current_folder_is_searched_last_and_only_for_what_is_named(evil):
    assert os.getcwd() not in sys.path and "" not in sys.path
    load("tasks", "put")
    assert os.getcwd() not in sys.path
    assert load("tasks", "evil:TASK").name == "put" and evil.exists()
    assert sys.path[-1] == os.getcwd()


def test_code_that_only_data_names_is_not_imported_here_or_in_a_child(evil):
    with only_allowed([]):
        with pytest.raises(BadInput, match="--allow evil:TASK"):
            load("tasks", "evil:TASK")
        with only_allowed(["other:TASK", "evil:TASK"]):
            assert load("tasks", "evil:TASK").name == "put"
        evil.unlink()
        code = "from qwenarm.registry import load\nload('tasks', 'evil:TASK')"
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
        assert "only the recorded data names" in done.stderr and not evil.exists()
        assert load("tasks", "put").name == "put"
    assert load("tasks", "evil:TASK").name == "put"
