"""The law of the ledger: whoever plays, and however often all is killed, the same episodes stand there, each once."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

import pytest
from tests.deadly import VICTIM

from qwenarm.api.evaluations import plan_evaluation
from qwenarm.episode.trace import EPISODES_FILE, read
from qwenarm.errors import BadInput, QwenarmError, UnknownName
from qwenarm.evaluation import evaluate as evaluating
from qwenarm.evaluation import ledger, watchdog
from qwenarm.evaluation.evaluate import Begun, evaluate, plan, scores
from qwenarm.evaluation.jobs import WorkerDied
from qwenarm.evaluation.ledger import MANIFEST_FILE, Row, fingerprints, policy_hash
from qwenarm.evaluation.scheduler import batch_per_worker
from qwenarm.evaluation.suites import FIRST_SEED, SHIPPED_SUITES, suite_named
from qwenarm.evaluation.workers import EpisodeWorker
from qwenarm.policies import controls
from qwenarm.types import Outcome, RunConfig

DEADLY = "tests.deadly:TASK"
QUICK = suite_named("quick")


def planned(seeds=3, tasks="put", policy="oracle", controls="none", **more):
    return plan(RunConfig(policy=policy), tasks=tasks, seeds=seeds, controls=controls, **more)


def play(folder, what, **how):
    """All events of an evaluation."""
    return list(evaluate(what, folder, **how))


def contents(folder):
    """Key -> fingerprint of every whole line; no key may stand there twice."""
    found = list(fingerprints(folder))
    assert len(dict(found)) == len(found), "an episode stands twice in the ledger"
    return dict(found)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Three episodes of a random policy and of the oracle, played in this process."""
    folder = tmp_path_factory.mktemp("alone")
    play(folder, planned(tasks=DEADLY, policy="random", controls="oracle"))
    return contents(folder)


def test_every_episode_is_played_once_and_told_as_it_is_stored(tmp_path):
    begun, *rows = play(tmp_path, planned(2))
    assert begun == Begun(2, ()) and rows == list(ledger.rows(tmp_path))
    assert [(row.key.seed, row.outcome) for row in rows] == [(FIRST_SEED, "success"), (FIRST_SEED + 1, "success")]
    before = (tmp_path / EPISODES_FILE).read_bytes()
    assert play(tmp_path, planned(2)) == [Begun(2, tuple(rows))]
    more = play(tmp_path, planned(3))
    assert [row.key.seed for row in more[1:]] == [FIRST_SEED + 2]
    assert (tmp_path / EPISODES_FILE).read_bytes().startswith(before)


def test_an_episode_is_on_the_disk_before_it_is_told(tmp_path, monkeypatch):
    fsync, synced = os.fsync, []

    def watched(file):
        fsync(file)
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fsync", watched)
    for event in evaluate(planned(2), tmp_path):
        if isinstance(event, Row):
            assert synced[-1] == (tmp_path / EPISODES_FILE).stat().st_size
            assert len(list(ledger.rows(tmp_path))) == len(synced) - 1
    assert len(synced) == 3  # the manifest, and a line per episode


def test_two_workers_store_what_one_does_even_if_one_is_killed_once(tmp_path, monkeypatch, alone):
    monkeypatch.setenv("DEADLY", str(tmp_path / "killed"))
    what = planned(tasks=DEADLY, policy="random", controls="oracle")
    events = play(tmp_path / "ledger", what, workers=2, batch=4)
    assert contents(tmp_path / "ledger") == alone
    assert sum(isinstance(event, WorkerDied) for event in events) == 1 and (tmp_path / "killed").exists()


def test_a_model_and_its_controls_play_in_one_batch_what_they_play_alone(tmp_path):
    """Their prompts differ in pictures and in length."""
    what = plan(RunConfig(), tasks="put", seeds=1, controls="state_text")
    play(tmp_path / "alone", what, batch=1)
    play(tmp_path / "batch", what, batch=4)
    assert contents(tmp_path / "alone") == contents(tmp_path / "batch")
    assert [row.role for row in ledger.rows(tmp_path / "alone")] == ["vlm", "state_text"]
    assert "crashed" not in {row.outcome for row in ledger.rows(tmp_path / "alone")}


def test_an_episode_that_kills_two_workers_is_recorded_as_crashed_and_costs_no_other(tmp_path, monkeypatch, alone):
    monkeypatch.setenv("DEADLY", "kill")
    events = play(tmp_path, planned(tasks=DEADLY, policy="random", controls="oracle"), workers=2)
    mine = contents(tmp_path)
    assert mine.keys() == alone.keys() and any(isinstance(event, WorkerDied) for event in events)
    differ = {key.seed for key in alone if mine[key] != alone[key]}
    crashed = [episode for episode in read(tmp_path).episodes if episode.outcome is Outcome.CRASHED]
    assert differ == {VICTIM} and {episode.seed for episode in crashed} == {VICTIM} and len(crashed) == 2
    assert all("died twice (exit code -9)" in episode.detail for episode in crashed)


@pytest.mark.parametrize("harm", ["segfault", "exit", "exit at once", "hang"])
def test_foreign_code_neither_ends_nor_stalls_an_evaluation_even_by_one_worker(tmp_path, monkeypatch, alone, harm):
    monkeypatch.setenv("DEADLY", harm)
    monkeypatch.setattr(watchdog, "STALL_LIMIT_S", 4.0)
    play(tmp_path, planned(tasks=DEADLY, policy="random"))
    mine = contents(tmp_path)
    assert len(mine) == 3 and {key.seed for key in mine if mine[key] != alone[key]} == {VICTIM}
    (crashed,) = [episode for episode in read(tmp_path).episodes if episode.outcome is Outcome.CRASHED]
    assert crashed.seed == VICTIM
    why = {"segfault": "exit code -11", "exit": "SystemExit", "exit at once": "exit code 0", "hang": "in _hang"}
    assert why[harm] in crashed.detail


def test_a_failure_of_the_machine_stores_nothing_and_the_next_run_plays_it(tmp_path, monkeypatch, alone):
    monkeypatch.setenv("DEADLY", "memory")
    with pytest.raises(BadInput, match=r"out of memory: .* was not played to its end"):
        play(tmp_path, planned(tasks=DEADLY, policy="random", controls="oracle"))
    assert VICTIM not in {key.seed for key in contents(tmp_path)}
    monkeypatch.delenv("DEADLY")
    play(tmp_path, planned(tasks=DEADLY, policy="random", controls="oracle"))
    assert contents(tmp_path) == alone


def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_played(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/self")):
        with pytest.raises(BadInput, match="Cannot"):
            next(evaluate(planned(1), folder))


def test_one_that_cannot_begin_leaves_no_folder(tmp_path):
    missing = plan(RunConfig(model=f"scripted:{tmp_path / 'missing.jsonl'}"), tasks="put", seeds=1)
    with pytest.raises(QwenarmError, match=r"missing\.jsonl"):
        play(tmp_path / "runs" / "mine", missing)
    assert not list(tmp_path.iterdir())


def test_killed_at_any_moment_nothing_is_lost_doubled_or_changed(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    play(whole, planned(6))
    command = [sys.executable, "-m", "qwenarm", "eval", "--policy", "oracle", "--task", "put", "--seeds", "6"]
    moments, before = random.Random(0), b""
    for _ in range(2):
        running = subprocess.Popen([*command, "--out", str(killed)], stdout=subprocess.DEVNULL)
        until, size = time.monotonic() + 120, len(before)
        while (killed / EPISODES_FILE).stat().st_size <= size if (killed / EPISODES_FILE).exists() else True:
            assert time.monotonic() < until
            if running.poll() is not None:
                break
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.2))
        running.kill()
        running.wait()
        after = (killed / EPISODES_FILE).read_bytes()
        assert after.startswith(before)
        before = after[: after.rfind(b"\n") + 1]
    play(killed, planned(6))
    assert (killed / EPISODES_FILE).read_bytes().startswith(before) and contents(killed) == contents(whole)


def test_a_half_written_line_is_played_again_and_the_rest_left_alone(tmp_path):
    play(tmp_path, planned(2))
    good, (first, second) = contents(tmp_path), (tmp_path / EPISODES_FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / EPISODES_FILE).write_bytes(first + second[: len(second) // 2])
    _, row = play(tmp_path, planned(2))
    assert isinstance(row, Row) and row.key.seed == FIRST_SEED + 1
    assert contents(tmp_path) == good and (tmp_path / EPISODES_FILE).read_bytes().startswith(first)


def test_one_that_is_just_dying_is_waited_for(tmp_path):
    dying = evaluate(planned(2), tmp_path)
    next(dying)
    Timer(0.5, dying.close).start()
    assert len(play(tmp_path, planned(1))) == 2


def test_two_evaluations_cannot_write_to_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "PATIENCE_S", 0.2)
    running = evaluate(planned(3), tmp_path)
    next(running)
    with pytest.raises(BadInput, match="Another evaluation"):
        play(tmp_path, planned(1))
    running.close()
    assert len(play(tmp_path, planned(1))) == 2


def test_the_manifest_tells_what_was_asked_for_and_of_what(tmp_path):
    play(tmp_path, planned(1))
    play(tmp_path, planned(1, policy="idle", controls="oracle"))
    manifest = ledger.read_manifest(tmp_path)
    first, second = manifest["runs"]
    assert first["policies"]["oracle"] == second["policies"]["oracle"]  # played once, counted for both
    assert len(list(ledger.rows(tmp_path))) == 2 and second["episodes"] == 2
    assert {told["role"] for told in manifest["policies"].values()} == {"oracle", "idle"}
    play(tmp_path, planned(1))
    assert ledger.read_manifest(tmp_path) == manifest
    keys = {row.key.policy for row in ledger.rows(tmp_path)}
    assert keys == set(manifest["policies"])


def test_a_part_of_a_frozen_suite_names_the_whole_and_the_manifest_its_own_hash(tmp_path):
    play(tmp_path, plan(RunConfig(policy="idle"), QUICK, "put", seeds=1, perturbations="none"))
    manifest = ledger.read_manifest(tmp_path)
    assert manifest["suite"] == "quick-v1" and manifest["suite_sha256"] == SHIPPED_SUITES["quick-v1"].sha256()
    assert manifest["runs"][0]["blocks"] == [{"tasks": ["put"], "levels": [1], "seeds": 1, "perturbations": [""]}]
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    assert manifest["sha256"] == hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize(("name", "value"), [("renderer", "none"), ("versions", {"mujoco": "1.0"}), ("suite", "x-v1")])
def test_a_folder_that_was_begun_otherwise_is_refused(tmp_path, name, value):
    play(tmp_path, planned(1))
    manifest = ledger.read_manifest(tmp_path)
    changed = {**manifest[name], **value} if isinstance(value, dict) else value
    other = {**manifest, name: changed}
    (tmp_path / MANIFEST_FILE).write_text(json.dumps({**other, "sha256": ledger.manifest_sha256(other)}))
    before = (tmp_path / EPISODES_FILE).read_bytes()
    with pytest.raises(BadInput, match="was begun with"):
        play(tmp_path, planned(2))
    assert (tmp_path / EPISODES_FILE).read_bytes() == before


def test_changed_episodes_stand_beside_their_control_and_only_the_oracle_accompanies_them(tmp_path):
    what = plan(
        RunConfig(policy="idle"), tasks="put", seeds=1, perturbations="light:1,light:1+look:2", controls="oracle,random"
    )
    rows = play(tmp_path, what)[1:]
    assert {(row.role, row.key.perturbations) for row in rows} == {
        (role, perturbations) for role in ("idle", "oracle") for perturbations in ("", "light:1", "light:1,look:2")
    } | {("random", "")}
    assert {score.cell.perturbations for score in scores(rows) if score.role == "oracle"} == {
        "", "light:1", "light:1,look:2",
    }  # fmt: skip
    assert all(score.rate.k == 1 for score in scores(rows) if score.role == "oracle")
    assert scores(rows[::-1], what) == scores(sorted(rows, key=lambda row: what.roles.index(row.role)))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"suite": "quik"}, UnknownName),
        ({"suite": "quick", "tasks": "fly"}, UnknownName),
        ({"suite": "quick", "tasks": "put", "level": 3}, BadInput),
        ({"tasks": "fly"}, UnknownName),
        ({"tasks": " , "}, BadInput),
        ({"seeds": 0}, BadInput),
        ({"perturbations": "look"}, BadInput),
        ({"perturbations": "nothing:1"}, UnknownName),
        ({"controls": "wizard"}, UnknownName),
        ({"level": 99}, BadInput),
    ],
)
def test_wrong_words_are_told_before_anything_is_played(words, error):
    with pytest.raises(error):
        plan_evaluation(RunConfig(policy="oracle"), **words)


def test_beside_a_model_on_a_suite_stand_all_controls_unless_switched_off():
    assert plan(RunConfig(), QUICK, "put").roles == ("vlm", *controls())
    assert plan(RunConfig(), QUICK, "put", controls="none").roles == ("vlm",)
    assert plan(RunConfig(), tasks="put").roles == ("vlm",)
    assert plan(RunConfig(policy="oracle"), QUICK, "put").roles == ("oracle",)


def test_a_policy_is_the_same_wherever_it_runs_and_another_with_another_file():
    here = {"model": "m", "sha256": "a", "url": "http://here", "threads": 1}
    assert policy_hash(here) == policy_hash({**here, "url": "http://there", "threads": 8})
    assert policy_hash(here) != policy_hash({**here, "sha256": "b"})


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_stop_ends_the_workers_and_keeps_what_is_finished(tmp_path, stop):
    command = [sys.executable, "-m", "qwenarm", "eval", "--policy", "oracle", "--task", "put", "--seeds", "500"]
    with subprocess.Popen(
        [*command, "--workers", "2", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(stop, signal.SIG_DFL),  # under nohup hang-ups are ignored
    ) as running:
        until = time.monotonic() + 120
        while not ((tmp_path / EPISODES_FILE).exists() and (tmp_path / EPISODES_FILE).read_bytes().count(b"\n") > 1):
            assert time.monotonic() < until and running.poll() is None
            time.sleep(0.05)
        os.killpg(running.pid, stop) if stop != signal.SIGTERM else running.terminate()  # a terminal: workers, too
        out, err = running.communicate(timeout=120)
    assert running.returncode == 130 and b"kept" in err and b"Traceback" not in err and b"95 % interval" in out
    assert len(contents(tmp_path)) > 1
    until = time.monotonic() + 30  # multiprocessing's resource tracker ends a moment after its parent
    while _processes_of(running.pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def _processes_of(session: int) -> list[int]:
    """What still runs of a session."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            alive.append(int(stat.parent.name))
    return alive


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("batch", [1, 8, 64])
@pytest.mark.parametrize("episodes", [1, 2, 9, 10, 40, 1000])
def test_no_worker_is_dealt_what_another_could_play(workers, batch, episodes):
    most = batch_per_worker(episodes, workers, batch)
    left, dealt = episodes, []
    for _ in range(workers):  # as the scheduler deals at first: all that are played at once, and one more
        dealt.append(min(most + 1, left))
        left -= dealt[-1]
    assert 1 <= most <= batch
    assert sum(map(bool, dealt)) == min(workers, episodes) or episodes < 2 * workers


@pytest.mark.parametrize(("clock", "together"), [("paused", 4), ("wall", 1)])
def test_a_world_that_runs_on_waits_for_nobody_else(tmp_path, monkeypatch, clock, together):
    settings = []
    monkeypatch.setattr(evaluating, "EpisodeWorker", lambda setup: settings.append(setup) or EpisodeWorker(setup))
    play(tmp_path, plan(RunConfig(policy="idle", clock=clock), tasks="put", seeds=1, controls="none"), batch=4)
    assert [setting.batch for setting in settings] == [together]
