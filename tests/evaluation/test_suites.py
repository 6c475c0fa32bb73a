"""Frozen suites stay frozen, every change stands beside its control, and wrong files are told in one sentence."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest

from qwenarm.api.evaluations import plan_evaluation
from qwenarm.errors import BadInput, UnknownName
from qwenarm.evaluation.evaluate import plan
from qwenarm.evaluation.suites import FIRST_SEED, SHIPPED_SUITES, Block, Cell, Suite, ad_hoc, suite_named
from qwenarm.types import RunConfig

FROZEN = {
    "quick-v1": "f2ead761",
    "standard-v1": "b4db6010",
    "full-v1": "4afab07f",
}
"""A new content needs a new version: never change a line here, add one."""


def test_a_version_never_changes():
    assert {name: suite.sha256()[:8] for name, suite in SHIPPED_SUITES.items()} == FROZEN


@pytest.mark.parametrize("suite", SHIPPED_SUITES.values(), ids=lambda suite: suite.name)
def test_every_changed_cell_has_its_unchanged_control_with_as_many_seeds(suite):
    cells = suite.cells()
    assert all(cells[Cell(cell.task, cell.level, "")] >= seeds for cell, seeds in cells.items())


@pytest.mark.parametrize("suite", SHIPPED_SUITES.values(), ids=lambda suite: suite.name)
def test_every_frozen_episode_can_be_made_here(suite):
    plan(RunConfig(policy="oracle"), suite)


def test_a_name_without_its_version_is_the_latest():
    assert suite_named("quick") is SHIPPED_SUITES["quick-v1"]
    with pytest.raises(UnknownName, match="quick-v1"):
        suite_named("quick-v0")


def test_narrowing_leaves_cells_out_and_adds_none():
    whole = SHIPPED_SUITES["standard-v1"]
    part = whole.narrowed(["put", "sort"], level=1, seeds=3, perturbations=["look:2"])
    assert part.name == whole.name and set(part.cells()) <= set(whole.cells())
    assert {(cell.task, cell.level) for cell in part.cells()} == {("put", 1), ("sort", 1)}
    assert {cell.perturbations for cell in part.cells()} == {"", "look:2"} and set(part.cells().values()) == {3}


def test_where_two_blocks_name_a_cell_the_larger_number_of_seeds_counts():
    suite = Suite("s", (Block(("put",), (1,), 3), Block(("put",), (1, 2), 5)))
    assert suite.cells() == {Cell("put", 1, ""): 5, Cell("put", 2, ""): 5}


def test_a_suite_that_wants_more_than_there_is_says_what_to_leave_out():
    suite = Suite("s-v1", (Block(("put", "dance", "sing"), (1,), 1),))
    with pytest.raises(BadInput, match=r"dance, sing.*--task .*put"):
        suite.check()
    suite.narrowed(["put"]).check()
    with pytest.raises(UnknownName, match="Did you mean 'put'"):
        ad_hoc(["putt"], 1, 1).check()


def test_a_file_is_a_suite_whose_version_is_its_content(tmp_path):
    path = tmp_path / "mine.json"
    data = {
        "name": "mine",
        "blocks": [{"tasks": ["put"], "levels": [1, 2], "seeds": 4, "perturbations": ["look:2,light:1"]}],
    }
    path.write_text(json.dumps(data))
    suite = suite_named(str(path))
    assert suite.name.startswith("mine-") and len(suite.cells()) == 4
    assert {cell.perturbations for cell in suite.cells()} == {"", "light:1,look:2"}
    data["blocks"][0]["seeds"] = 5
    path.write_text(json.dumps(data))
    assert suite_named(str(path)).name != suite.name


def test_what_is_played_and_its_folder_come_from_one_reading_of_the_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"name": "mine", "blocks": [{"tasks": ["put"], "levels": [1], "seeds": 1}]}')
    with patch.object(Path, "read_text", autospec=True, side_effect=Path.read_text) as read_text:
        planned, folder = plan_evaluation(RunConfig(policy="oracle"), suite=str(path))
    assert [call.args[0] for call in read_text.call_args_list].count(path) == 1
    assert folder.name == planned.suite.name


def test_a_file_may_begin_at_another_seed(tmp_path):
    path, blocks = tmp_path / "mine.json", [{"tasks": ["put"], "levels": [1], "seeds": 2}]
    suites = []
    for more in ({}, {"first_seed": 950_000}, {"first_seed": 950_002}):
        path.write_text(json.dumps({"name": "mine", "blocks": blocks, **more}))
        suites.append(suite_named(str(path)))
    assert [suite.first_seed for suite in suites] == [FIRST_SEED, 950_000, 950_002]
    assert len({suite.name for suite in suites}) == len({suite.sha256() for suite in suites}) == 3


SUITE = '{"name": "x", "blocks": [{"tasks": ["put"], "levels": [1], "seeds": 1}], "first_seed": 1}'


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"name": "x"}',
        SUITE.replace('["put"]', '"put"'),
        SUITE.replace("first_seed", "frist_seed"),
        SUITE.replace('"seeds": 1', '"seeds": 1, "sed": 5'),
        SUITE.replace('"first_seed": 1', '"first_seed": -1'),
    ],
)
def test_a_broken_file_is_told(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(BadInput, match="is not a suite"):
        suite_named(str(path))
    with pytest.raises(BadInput, match="Cannot read"):
        suite_named(str(tmp_path / "missing.json"))


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "benchmarks").glob("*.json")), ids=lambda path: path.stem
)
def test_the_suites_of_the_benchmarks_can_be_played(path: Path):
    assert suite_named(str(path)).blocks
