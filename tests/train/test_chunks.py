"""Action chunks end to end: an episode is recorded, a head learns from it, opens again and plays."""

import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.cli.main import main
from qwenarm.episode.drive import answered, drive
from qwenarm.episode.replay import replay
from qwenarm.episode.rollout import execute, play
from qwenarm.episode.watchers import Tell
from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.factory import make_backend, make_env, make_policy
from qwenarm.mind.checkpoints.load import bundled_folder, locate
from qwenarm.mind.chunks import ChunkFormat, ChunkModel
from qwenarm.mind.inference.preprocessing import PromptEncoder
from qwenarm.policies.conventions import make_conventions
from qwenarm.train import chunk_data
from qwenarm.train.chunk_data import CHUNK_ACTIONS, HandOver, TargetRecorder, look_again, stray
from qwenarm.train.chunk_training import ChunkLearner, ChunkOptions, ChunkReader, measured_format, train_chunks
from qwenarm.train.chunk_way import CLEARANCE_M, FINGER_PERIODS, MAX_PACE_M, at_steady_pace, finger_changes, with_miss
from qwenarm.train.collect import collect_all, plan_jobs
from qwenarm.train.dataset import problems, read_shards
from qwenarm.train.learner import Settings
from qwenarm.train.small_model import load_trainable
from qwenarm.types import Control, RunConfig, RunInfo, SkillCall

RECORDED = RunConfig(policy="oracle", altitude="chunk", combos="seen")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = Path(tmp_path_factory.mktemp("chunks"))
    assert sum(collect_all(plan_jobs(RECORDED, ["put"], [1], [""], 1), out)) > 15
    return out


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = Path(tmp_path_factory.mktemp("chunk")) / "run"
    assert main(["train", "chunk", "--quick", "--data", str(data), "--held-out", str(data), "--out", str(out)]) == 0
    return out


def test_an_episode_of_a_trained_head_is_played_and_replayed(run: Path):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert any("held_out" in line for line in lines)
    config = RunConfig("put", altitude="chunk", model=str(run / "checkpoint"), clock="latency:0.1")
    backend = make_backend(config)
    with closing(make_env(config)) as env:
        setup = replace(env.build(3), max_periods=24)
        player = make_policy(config, env, 3, backend)
        (episode,) = drive([play(env, player, RunInfo(config, 3), setup=setup)], backend)
        assert [turn.decision.skipped for turn in episode.turns] == [0, 2, 2]
        assert not any(turn.decision.error for turn in episode.turns)
        assert episode.run.cameras == ("front", "wrist") and dict(episode.run.policy)["altitude"] == "chunk"
        assert replay(env, episode).same


def test_the_words_of_the_checkpoint_stay_as_they_were(run: Path):
    files = [folder / "model.safetensors" for folder in (run / "checkpoint", bundled_folder())]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert make_backend(RunConfig(model=str(run / "checkpoint"))) is not None


def test_a_head_opens_as_it_was_saved_and_goes_on_learning(run: Path, data: Path, tmp_path: Path):
    model = ChunkModel(str(run / "checkpoint"))
    reader = ChunkReader(PromptEncoder(locate("bundled")), model.form)
    learner = ChunkLearner(run / "checkpoint", reader, Settings())
    own = dict(model.head.named_parameters())
    for name, value in learner.model.chunk_head.named_parameters():
        torch.testing.assert_close(value, own[name])
    trained, start = (dict(each.model.named_parameters()) for each in (model, ChunkModel("bundled")))
    changed = {name for name, value in start.items() if not torch.equal(trained[name], value)}
    assert changed and all("language_model" in name for name in changed)
    options = ChunkOptions((data,), tmp_path, str(run / "checkpoint"), batch=2, settings=Settings(steps=1))
    train_chunks(options)
    assert ChunkFormat.read(tmp_path / "head.json", "it") == model.form, "the normalisation stays that of the head"


def test_what_a_learner_is_shown_is_what_the_arm_would_do(data: Path):
    """Normalised for the learner, and back by the conventions that are stored with the head."""
    shards = read_shards([data])
    form = measured_format(shards)
    reader = ChunkReader(PromptEncoder(locate("bundled")), form)
    examples = [(shard, line) for shard in shards for line in shard.lines][:4]
    batch = reader.batch(load_trainable(bundled_folder()), examples)
    conventions = make_conventions(json.loads(form.to_json())["conventions"], "head.json")
    for actions, (_, line) in zip(batch.actions.numpy(), examples, strict=True):
        rows = np.array(conventions.played(actions, 7))
        told = np.array(line["actions"])
        assert np.allclose(rows[:, :6], told[:, :6], atol=1e-5)
        assert np.allclose(2 * rows[:, 6] - 1, told[:, 6], atol=1e-5)
    low, high = np.array(form.state_low[:3]), np.array(form.state_high[:3])
    aims = np.array([line["aim"][:3] for _, line in examples])
    assert np.allclose(low + (batch.aim.numpy() + 1) / 2 * (high - low), aims, atol=1e-4)
    assert batch.looks.any(-1)[batch.tokens.slots].all(), "every placeholder is told where to look"


def test_recorded_actions_lead_where_the_way_goes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunk_data, "stray", lambda rng, count, changes: np.zeros((count, 4)))
    with closing(make_env(RECORDED)) as env:
        env.reset(seed=1)
        start = env.body.hold().qpos
        targets = [Control(start + 0.006 * k * np.array([1, 1, 0, -1, 0, 0, 1]), 0.08 - 0.001 * k) for k in range(40)]
        way = at_steady_pace(env.body, [env.body.hold(), *targets])[1:]
        sample = list(look_again(env, 1, targets))[1]
        env.reset(seed=1)
        for target in way[: sample.step]:
            env.body.step(target)
        rows = [[*row[:6], (row[6] + 1) / 2] for row in sample.actions.tolist()]
        assert execute(env.body, SkillCall("action_chunk:EE_DELTA", {"actions": rows}), Tell(env, [])).ok
        ours, gap = env.body.kinematics.fk(env.body.target.qpos)[0], env.body.target.gripper
        env.reset(seed=1)
        for target in way[: sample.step + CHUNK_ACTIONS]:
            env.body.step(target)
        theirs = env.body.kinematics.fk(env.body.target.qpos)[0]
        assert np.abs(ours - theirs).max() < 2e-3 and abs(gap - env.body.target.gripper) < 1e-4


def test_the_pace_depends_on_the_place_alone(oracles_way: list[Control]):
    """However long the skills stood still, and wherever: the way is the same."""
    with closing(make_env(RECORDED)) as env:
        env.reset(seed=1)
        body, changes = env.body, finger_changes(oracles_way)
        assert len(changes) == 2, "a put closes the fingers once and opens them once"
        paced = at_steady_pace(body, oracles_way)
        idle = [control for control in oracles_way for _ in range(1 + (control is oracles_way[20]) * 9)]
        assert len(at_steady_pace(body, idle)) == len(paced)
        for before, after in zip(changes, finger_changes(paced), strict=True):
            there, here = (body.kinematics.fk(way[k].qpos)[0] for way, k in ((oracles_way, before), (paced, after)))
            assert np.abs(there - here).max() < 1e-4, "the fingers close and open where they did"
        places = np.array([body.kinematics.fk(control.qpos)[0] for control in paced])
        shifts = np.linalg.norm(np.diff(places, axis=0), axis=1)
        assert shifts.max() < 1.1 * MAX_PACE_M
        stops = np.flatnonzero(shifts < 1e-4)
        closing_or_opening = finger_changes(paced)[:, None] + np.arange(FINGER_PERIODS + 1)
        aside = [k for k in stops if k not in closing_or_opening]
        turning = [k for k in aside if np.abs(paced[k].qpos - paced[k + 1].qpos).max() > 1e-3]
        assert aside == turning, "elsewhere it stands still only to turn"


def test_a_miss_closes_beside_the_thing_and_tries_again(oracles_way: list[Control]):
    with closing(make_env(RECORDED)) as env:
        env.reset(seed=1)
        body, shift = env.body, np.array([0.05, 0, 0.01])
        missed = with_miss(body, oracles_way, shift)
        changes, before = finger_changes(missed), finger_changes(oracles_way)
        assert len(changes) == len(before) + 2
        places = [body.kinematics.fk(missed[k].qpos)[0] for k in changes]
        right = [body.kinematics.fk(oracles_way[k].qpos)[0] for k in before]
        assert np.abs(places[0] - right[0] - shift).max() < 2e-3 and np.abs(places[1] - places[0]).max() < 1e-6
        assert np.abs(np.array(places[2:]) - right).max() < 1e-6, "then it does what it would have done"
        height = max(body.kinematics.fk(control.qpos)[0][2] for control in missed[changes[1] : changes[2]])
        assert height > right[0][2] + CLEARANCE_M


@pytest.mark.parametrize(("aside", "rises"), [(0.0, False), (0.06, True)])
def test_from_where_a_learner_left_the_hand_it_goes_down_or_up_first(
    oracles_way: list[Control], aside: float, rises: bool
):
    """Not home first, as the skills do: the pictures do not tell why."""
    with closing(make_env(RECORDED)) as env:
        env.reset(seed=1)
        body, grasp = env.body, int(finger_changes(oracles_way)[0])
        place, quat = body.kinematics.fk(oracles_way[grasp].qpos)
        heights, near = np.linspace(0.05, 0.3, 26), oracles_way[grasp].qpos
        up = [body.ik(place + [0, aside, height], quat, near).qpos for height in heights]
        paced = at_steady_pace(body, [*(Control(qpos, oracles_way[0].gripper) for qpos in up), *oracles_way])
        places = np.array([body.kinematics.fk(control.qpos)[0] for control in paced[: finger_changes(paced)[0] + 1]])
        assert np.abs(places[-1] - place).max() < 1e-3
        highest = places[:, 2].max() - place[2]
        assert (CLEARANCE_M < highest < 1.5 * CLEARANCE_M) if rises else highest < 0.051


@pytest.fixture(scope="module")
def oracles_way() -> list[Control]:
    """Where the oracle sends the arm in a put, from seed 1."""
    with closing(make_env(RECORDED)) as env:
        recorder = TargetRecorder()
        policy = make_policy(RECORDED, env, 1, None)
        list(drive([play(env, policy, RunInfo(RECORDED, 1), [recorder])], None))
        env.reset(seed=1)
        return [env.body.hold(), *recorder.targets]


def test_the_hand_strays_smoothly_and_never_where_it_touches():
    changes = np.array([60, 140])
    for seed in range(20):
        astray = stray(np.random.default_rng(seed), 200, changes)
        assert astray.any() and np.abs(np.diff(astray[:, :3], axis=0)).max() < 0.02
        for change in changes:
            assert not astray[change - 4 : change + 5].any()


def test_an_archive_is_checked_and_kept_apart(data: Path, tmp_path: Path):
    (shard,) = read_shards([data])
    assert list(problems(shard)) == []
    assert main(["data", "show", str(data)]) == 0
    with pytest.raises(BadInput, match="no demonstrations at altitude step or plan"):
        read_shards([data], ["step", "plan"])
    with pytest.raises(BadInput, match="leave out --cameras, --mistakes"):
        plan_jobs(RECORDED, ["put"], [1], [""], 1, mistakes=0.1)


def test_the_oracle_takes_over_from_a_learner_and_only_its_part_is_shown(monkeypatch: pytest.MonkeyPatch):
    """The learner's part is repeated as it was, so that the pictures show what it did."""
    monkeypatch.setattr(chunk_data, "START_GAP_PERIODS", 1)
    config = replace(RECORDED, policy="vlm")
    model, recorder = make_backend(config), TargetRecorder()
    assert model is not None
    with closing(make_env(config)) as env:
        setup = replace(env.build(2), max_periods=1200)
        policy = HandOver(make_policy(config, env, 2, model), make_policy(RECORDED, env, 2, None), 3)
        episode = answered(play(env, policy, RunInfo(config, 2), [recorder], setup=setup), model)
        names = [turn.decision.calls[0].name for turn in episode.turns]
        assert names[:3] == ["action_chunk:EE_DELTA"] * 3 and names[3:] == ["open_gripper", "pick", "place"]
        begin = round(episode.turns[3].observation.time_s / CONTROL_PERIOD_S)
        samples = list(look_again(env, 2, recorder.targets, begin))
        assert [sample.step for sample in samples] == [begin + k for k in range(len(samples))]
        for image, frame in zip(samples[0].images, episode.turns[3].observation.frames, strict=False):
            assert np.array_equal(image, frame.rgb), frame.camera
        assert samples[0].aim, "it has yet to grasp"


def test_what_a_learner_does_well_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunk_data, "LEARNER_CHUNKS", (60, 61))
    monkeypatch.setattr(chunk_data, "look_again", None)
    config = replace(RECORDED, policy="vlm")
    with closing(make_env(config)) as env:
        assert chunk_data.demonstrated(env, config, 450000, make_backend(config)) == []


def test_a_head_that_does_not_fit_is_named(run: Path, tmp_path: Path):
    headless = tmp_path / "headless"
    shutil.copytree(bundled_folder(), headless, ignore=shutil.ignore_patterns("chunk"))
    with pytest.raises(ModelUnavailable, match="no chunk head; `qwenarm train chunk`"):
        make_backend(RunConfig(altitude="chunk", model=str(headless)))
    with pytest.raises(BadInput, match="cameras of its head"):
        make_backend(RunConfig(altitude="chunk", cameras="front"))
    broken = tmp_path / "broken"
    shutil.copytree(run / "checkpoint", broken)
    weights = load_file(broken / "chunk" / "head.safetensors")
    save_file({name: value for name, value in weights.items() if "aim" not in name}, broken / "chunk/head.safetensors")
    with pytest.raises(ModelUnavailable, match="does not fit it"):
        ChunkModel(str(broken))
    told = json.loads((broken / "chunk" / "head.json").read_text())
    for changed in ({"actions": 10**9}, {"state_low": told["state_high"]}, {"conventions": 1}):
        (broken / "chunk" / "head.json").write_text(json.dumps({**told, **changed}))
        with pytest.raises(ModelUnavailable, match="does not describe a chunk head"):
            ChunkModel(str(broken))
