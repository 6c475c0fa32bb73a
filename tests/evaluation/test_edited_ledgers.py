"""Someone has edited a ledger in one place: a sentence says so, what is whole counts, and nothing crashes."""

import copy
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from qwenarm.diagnosis.attribute import ATTRIBUTION_FILE, attribute, count_causes, failures, findings
from qwenarm.episode.trace import read, to_line
from qwenarm.errors import BadInput, UnknownName
from qwenarm.evaluation import ledger
from qwenarm.evaluation.evaluate import evaluate, plan
from qwenarm.evaluation.ledger import MANIFEST_FILE, manifest_sha256
from qwenarm.report import write_report
from qwenarm.report.numbers import compare_runs
from qwenarm.types import RunConfig

ODD_VALUES = (None, -1, 10**400, float("nan"), "x", [], {}, [[]], {"a": None})
IDLE = RunConfig(policy="idle")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes that failed, and why."""
    folder = tmp_path_factory.mktemp("whole")
    list(evaluate(plan(IDLE, tasks="put", seeds=2), folder))
    list(attribute(folder, ["idle"]))
    return folder


@pytest.fixture
def edited(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "edited"))


def edits(value: Any, depth: int = 3) -> Iterator[Any]:
    """The value with one thing in it replaced or left out, down to a depth."""
    if not isinstance(value, dict | list) or not depth:
        return
    for key in list(value) if isinstance(value, dict) else range(min(1, len(value))):
        for odd in ODD_VALUES:
            changed = copy.copy(value)
            changed[key] = odd
            yield changed
        changed = copy.copy(value)
        del changed[key]
        yield changed
        for inner in edits(value[key], depth - 1):
            changed = copy.copy(value)
            changed[key] = inner
            yield changed


def resume(folder: Path) -> list[str]:
    """The warnings with which the evaluation goes on; a refusal is one, too."""
    events = evaluate(plan(IDLE, tasks="put", seeds=2), folder)
    try:
        begun: Any = next(events)
        return list(begun.warnings)
    except BadInput as refused:
        return [str(refused)]
    finally:
        events.close()


def test_an_edited_finding_is_left_out(edited):
    path = edited / ATTRIBUTION_FILE
    first, second = path.read_text().splitlines()
    for line in edits(json.loads(first)):
        path.write_text(f"{json.dumps(line)}\n{second}\n")
        problems: list[str] = []
        found = findings(edited, problems)
        assert len(found) == 2 or problems
        count_causes(found)


def test_an_edited_manifest_is_refused_even_if_its_hash_fits(edited):
    path = edited / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    for changed in [[], None, 3, "x", {**manifest, "renderer": "x"}]:
        path.write_text(json.dumps(changed))
        assert MANIFEST_FILE in resume(edited)[0]
        path.write_text(json.dumps(manifest))
    for name in manifest.keys() - {"sha256"}:
        for odd in ODD_VALUES:
            forged = {**manifest, name: odd}
            path.write_text(json.dumps({**forged, "sha256": manifest_sha256(forged)}))
            resume(edited)
            with suppress(BadInput, UnknownName):
                compare_runs(edited, edited, "idle", "idle")


def test_an_edited_episode_is_named_and_the_others_count(edited):
    path = edited / "episodes.jsonl"
    first, second = path.read_text().splitlines()
    changes = list(edits(json.loads(first)))
    for line in changes[:: len(changes) // 60]:
        path.write_text(f"{json.dumps(line)}\n{second}\n")
        problems: list[str] = []
        counted = len(list(ledger.rows(edited, problems)))
        assert counted == 2 or (counted == 1 and "line 1" in problems[0])
        assert len(list(failures(edited))) == counted
    path.write_text(first.replace("put", "stack") + f"\n{second}\n")
    told = resume(edited)
    assert len(told) == 1 and "line 1" in told[0]


def forged(line: str, path: tuple[Any, ...], value: Any) -> str:
    """A line of a ledger with one value replaced, and a checksum that fits."""
    fields = {name: each for name, each in json.loads(line).items() if name not in ("schema", "crc32")}
    fields["tools"]["none"] = []
    words = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    fields["turns"][0]["prompts"] = [
        {"messages": words, "images": [], "tools": "none", "max_tokens": 9, "max_calls": 1}
    ]
    at = fields
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return to_line(fields)


CONFIG, MESSAGE = ("run", "config"), ("turns", 0, "prompts", 0, "messages", 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*CONFIG, "clock"), "x"),
        ((*CONFIG, "clock"), "latency:nan"),
        ((*CONFIG, "level"), 10**30),
        (("run", "metrics", "decisions"), 10**400),
        (("run", "metrics", "decisions"), "A" * 100_000),
        (("run", "metrics", "decisions"), float("inf")),
        (("turns", 0, "sim_time_s"), 1e308),
        ((*MESSAGE, "role"), None),
        ((*MESSAGE, "content"), None),
        ((*MESSAGE, "content", 0), 1.5),
        ((*MESSAGE, "content", 0), {"text": "hi"}),
        ((*MESSAGE, "content", 0), {"type": "image"}),
        ((*MESSAGE, "content", 0, "type"), True),
        (("run", "versions", "mujoco"), 10**30),
        (("turns", 0, "observation", "frames", 0, "camera"), 3),
        (("turns", 0, "observation", "frames", 0, "png"), "../../secret.png"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_line_that_a_later_command_could_not_use_is_named_in_a_short_sentence(edited, path, value):
    """Its checksum was made to fit."""
    file = edited / "episodes.jsonl"
    first, second = file.read_text().splitlines()
    file.write_text(forged(first, CONFIG, json.loads(first)["run"]["config"]) + second + "\n")
    assert len(read(edited).episodes) == 2
    file.write_text(forged(first, path, value) + second + "\n")
    reading = read(edited)
    (problem,) = reading.problems
    assert len(reading.episodes) == 1 and "line 1 " in problem and len(problem) < 400
    assert write_report([edited], edited / "report").episodes >= 1
