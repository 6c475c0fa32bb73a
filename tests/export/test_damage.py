"""One wrong field of a record is named or does no harm: no export stops at it, and none writes beside its folder."""

import json
import random
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from tests.counterparts import counterpart

import qwenarm as qa
from qwenarm.episode.trace import EPISODES_FILE, to_line
from qwenarm.errors import BadInput
from qwenarm.export.chat import decisions
from qwenarm.export.episodes import converted, damages, episodes
from qwenarm.export.run import export_to

pytestmark = pytest.mark.render
DELETED = object()
ODD_VALUES = [
    *(DELETED, None, True, -1, 0, 7.5, 10**30, 2**63, 1e308, float("nan"), float("inf"), "", "x", "1", [], {}, [[]]),
    *(
        "\0\x1b[2J",
        "\ud800",
        "../../../elsewhere",
        "/etc/hostname",
        "put/../../elsewhere",
        "a" * 10_000,
        {"a": 1},
        [None],
    ),
]
EDITS, REPLAYED_EDITS = 300, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trace")
    qa.evaluate("bundled", tasks="put", seeds=1, controls="oracle", folder=folder)
    return folder


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all fields, those in lists under their first index."""
    if path:
        yield path
    for key, each in (
        value.items() if isinstance(value, dict) else enumerate(value[:1] if isinstance(value, list) else ())
    ):
        yield from places(each, (*path, key))


def edits(folder: Path, count: int) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    """Lines whose checksum fits, each with one wrong field."""
    rng = random.Random(0)
    lines = (folder / EPISODES_FILE).read_text(encoding="utf-8").splitlines()
    records = [{k: v for k, v in json.loads(line).items() if k not in ("schema", "crc32")} for line in lines]
    for _ in range(count):
        record = deepcopy(rng.choice(records))
        path, odd = rng.choice(list(places(record))), rng.choice(ODD_VALUES)
        at = record
        for key in path[:-1]:
            at = at[key]
        if odd is DELETED:
            del at[path[-1]]
        else:
            at[path[-1]] = odd
        yield to_line(record), path, odd


def test_any_wrong_field_is_named_or_harmless(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "frames", tmp_path / "frames")
    for line, path, odd in edits(folder, EDITS):
        (tmp_path / EPISODES_FILE).write_text(line, encoding="utf-8")
        problems: list[str] = []
        read = list(converted(episodes(tmp_path, False, problems), lambda episode: list(decisions(episode)), problems))
        assert len(read) + len(problems) == 1, (path, odd)
        assert len(damages(tmp_path)) <= 1 and all("\x1b" not in problem for problem in problems), (path, odd)


@pytest.mark.parametrize(
    ("to", "library", "count", "as_recorded"),
    [
        ("chat", "pyarrow", EDITS // 2, True),
        ("chat", "pyarrow", REPLAYED_EDITS, False),
        ("inspect", "inspect_ai", EDITS // 6, True),
        ("lerobot", "pyarrow", REPLAYED_EDITS, False),
        ("rerun", "rerun", REPLAYED_EDITS, False),
    ],
)
def test_an_export_keeps_to_its_folder(
    folder: Path, tmp_path: Path, to: str, library: str, count: int, as_recorded: bool
) -> None:
    counterpart(library)
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(folder / "frames", run / "frames")
    for line, path, odd in edits(folder, count):
        (run / EPISODES_FILE).write_text(line, encoding="utf-8")
        try:
            done = export_to(run, to, out, False, "front", (24, 32), as_recorded=as_recorded)
            assert done.path.exists(), (path, odd)
        except BadInput as error:
            assert "no episode to export" in str(error), (path, odd)
        assert {each.name for each in tmp_path.iterdir()} <= {"run", "out"}, (path, odd)
        shutil.rmtree(out, ignore_errors=True)
