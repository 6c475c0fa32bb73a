"""The law of attribution: whoever replays, and however often all is killed, the same is found, each episode once."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tests.deadly import VICTIM

from qwenarm.cli.main import main
from qwenarm.diagnosis.attribute import ATTRIBUTION_FILE, AttributionProgress, attribute, findings
from qwenarm.diagnosis.find_cause import EPISODE_CRASHED
from qwenarm.errors import BadInput
from qwenarm.evaluation import ledger
from qwenarm.evaluation.evaluate import evaluate, plan
from qwenarm.evaluation.jobs import WorkerDied
from qwenarm.types import RunConfig

DEADLY = "tests.deadly:TASK"


def contents(folder):
    """Key -> bytes of every whole line; no key may stand there twice."""
    lines = [
        line for line in (folder / ATTRIBUTION_FILE).read_bytes().splitlines(keepends=True) if line.endswith(b"}\n")
    ]
    found = [(json.dumps(json.loads(line)["key"], sort_keys=True), line) for line in lines if line.endswith(b"}\n")]
    assert len(dict(found)) == len(found) == len(findings(folder)), "a finding stands there twice"
    return dict(found)


def again(folder, tmp_path):
    """The same ledger, not attributed yet."""
    return shutil.copytree(
        folder, tmp_path / "again", ignore=shutil.ignore_patterns(ATTRIBUTION_FILE, ledger.LOCK_FILE)
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Failures of one that nobody understands and of one that does nothing, attributed here one by one."""
    folder = tmp_path_factory.mktemp("alone")
    script = folder / "replies.jsonl"
    script.write_text('"no idea"\n' * 1000)
    for config, seeds in ((RunConfig(model=f"scripted:{script}"), 4), (RunConfig(policy="idle"), 1)):
        list(evaluate(plan(config, tasks=DEADLY, seeds=seeds), folder))
    told = list(attribute(folder, ["idle", "vlm"]))
    assert [each.done for each in told] == [1, 2, 3, 4, 5]
    assert {each.failed.role: each.line["cause"] for each in told} == {"idle": "plan", "vlm": "format"}
    return folder


def test_two_workers_find_what_one_does_even_if_one_is_killed_once(tmp_path, monkeypatch, alone):
    folder = again(alone, tmp_path)
    monkeypatch.setenv("DEADLY", str(tmp_path / "killed"))
    events = list(attribute(folder, ["idle", "vlm"], batch=4, workers=2))
    assert contents(folder) == contents(alone) and (tmp_path / "killed").exists()
    assert sum(isinstance(event, WorkerDied) for event in events) == 1
    assert [event.done for event in events if isinstance(event, AttributionProgress)] == [1, 2, 3, 4, 5]


def test_interrupted_with_two_workers_it_goes_on_with_one_and_nothing_is_lost_or_doubled(tmp_path, alone):
    folder = again(alone, tmp_path)
    first = attribute(folder, ["vlm"], workers=2)
    told = next(first)
    assert isinstance(told, AttributionProgress) and (told.done, told.total) == (1, 4)
    first.close()
    assert multiprocessing.active_children() == []
    before = (folder / ATTRIBUTION_FILE).read_bytes()
    assert before == contents(alone)[next(iter(contents(folder)))]
    (folder / ATTRIBUTION_FILE).write_bytes(before + before[:40])  # as if killed in the middle of a line
    rest = list(attribute(folder, ["idle", "vlm"], batch=4))
    assert [each.done for each in rest] == [2, 3, 4, 5] and (folder / ATTRIBUTION_FILE).read_bytes().startswith(before)
    assert contents(folder) == contents(alone)


def test_a_finding_is_on_the_disk_before_it_is_told(tmp_path, monkeypatch, alone):
    folder, fsync, synced = again(alone, tmp_path), os.fsync, []

    def watched(file):
        fsync(file)
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fsync", watched)
    for told in attribute(folder, ["vlm"], batch=2):
        assert isinstance(told, AttributionProgress) and told.done == len(synced) == len(findings(folder))
        assert synced[-1] == (folder / ATTRIBUTION_FILE).stat().st_size


def test_a_full_disk_is_told_and_leaves_no_half_of_a_line(tmp_path, monkeypatch, alone):
    folder, synced = again(alone, tmp_path), iter([None, OSError(errno.ENOSPC, "No space left on device")])

    def full(file):
        if error := next(synced):
            raise error

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match="No space left"):
        list(attribute(folder, ["vlm"]))
    assert len(contents(folder)) == 1 and (folder / ATTRIBUTION_FILE).read_bytes().endswith(b"}\n")


def test_nobody_is_asked_to_do_nothing(alone):
    with pytest.raises(BadInput, match="at least 1"):
        next(attribute(alone, workers=0))
    assert main(["attribute", str(alone), "--workers", "0"]) == 2


@pytest.mark.slow
def test_replays_that_kill_two_workers_are_a_crash_and_cost_no_other(tmp_path, monkeypatch, alone):
    folder = again(alone, tmp_path)
    monkeypatch.setenv("DEADLY", "kill")
    list(attribute(folder, ["vlm"], batch=4, workers=2))
    mine, theirs = contents(folder), contents(alone)
    differ = [json.loads(mine[key]) for key in mine if mine[key] != theirs[key]]
    assert len(mine) == 4 and [line["key"]["seed"] for line in differ] == [VICTIM]
    assert (
        differ[0]["cause"] == EPISODE_CRASHED
        and "died twice (exit code -9)" in differ[0]["why"]
        and not differ[0]["same"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_at_any_moment_the_command_goes_on_where_it_was(tmp_path, alone, how):
    folder = again(alone, tmp_path)
    words = ["attribute", str(folder), "--roles", "idle,vlm", "--workers", "2", "--allow", DEADLY]
    running = subprocess.Popen(
        [sys.executable, "-m", "qwenarm", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 120
    while not (folder / ATTRIBUTION_FILE).exists():
        assert time.monotonic() < until and running.poll() is None
        time.sleep(0.01)
    if how == signal.SIGINT:
        os.killpg(running.pid, how)  # as a terminal does it: to the workers, too
    else:
        running.kill()
    _, err = running.communicate(timeout=60)
    assert b"Traceback" not in err and running.returncode == (130 if how == signal.SIGINT else -how)
    before = (folder / ATTRIBUTION_FILE).read_bytes()
    assert main(words) == 0
    assert (folder / ATTRIBUTION_FILE).read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert contents(folder) == contents(alone)


@pytest.mark.slow
def test_the_bundled_model_is_answered_for_by_any_number_of_workers_and_any_batch(tmp_path):
    folder = tmp_path / "alone"
    list(evaluate(plan(RunConfig(), tasks="put", seeds=3, controls="blind"), folder, batch=4))
    list(attribute(folder, ["vlm", "blind"]))
    for number, how in enumerate([{"batch": 4}, {"workers": 2, "batch": 8}]):
        other = again(folder, tmp_path / str(number))
        list(attribute(other, ["vlm", "blind"], **how))
        assert contents(other) == contents(folder) != {}
