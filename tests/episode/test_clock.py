"""The world waits, or goes on while a policy thinks; how long that is follows from the clock's text alone."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.cli import main as cli
from qwenarm.env import ArmEnv
from qwenarm.episode import trace
from qwenarm.episode.clock import Clock, parse_clock
from qwenarm.episode.drive import drive
from qwenarm.episode.replay import replay
from qwenarm.episode.rollout import play
from qwenarm.errors import BadInput
from qwenarm.factory import make_env, make_policy, perform
from qwenarm.mind.backends.scripted import Scripted
from qwenarm.types import Completion, Decision, Observation, Proprio, RunConfig, RunInfo, Turn

LOOK = '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'
STRIDE = 0.001
"""The drifting thing moves so far in one control period, m."""


@dataclass
class Drift:
    """Something that goes on by itself: one thing moves a millimetre each period, for two seconds."""

    name: str
    left: int = 40

    def step(self, body):
        if self.left:
            self.left -= 1
            joint = body.model.joint(self.name)
            body.data.qpos[joint.qposadr[0]] += STRIDE
        return None if self.left else "never mind"


class Drifting(ArmEnv):
    """``put``, in which one thing drifts, and the words change when it has come to rest."""

    def build(self, seed, words=None):
        setup = super().build(seed, words)
        self.thing = setup.scene.objects[0].spec.id
        return replace(setup, events=(Drift(self.thing),), max_turns=2)


def played(clock, texts=(LOOK, LOOK), seconds=0.0, policy="vlm"):
    """An episode of two turns among drifting things, and the environment as it left it."""
    env = Drifting("put", cameras=())
    backend = Timed(texts, seconds)
    chosen = make_policy(RunConfig(policy=policy, clock=clock), env, 3, backend)
    (episode,) = drive([play(env, chosen, RunInfo(RunConfig(clock=clock), 3))], backend)
    return episode, env


class Timed(Scripted):
    """Replies that took so many seconds each."""

    def __init__(self, texts, seconds):
        super().__init__(list(texts))
        self.seconds = seconds

    def generate(self, prompts):
        return [replace(completion, seconds=self.seconds) for completion in super().generate(prompts)]


@pytest.mark.parametrize("text", ["paused", "wall", "latency:0", "latency:0.5", "latency:12"])
def test_a_clock_is_read_from_its_text(text):
    clock = parse_clock(text)
    assert clock.kind == text.partition(":")[0] and clock.latency_s == float(text.partition(":")[2] or 0)


@pytest.mark.parametrize(
    "text", ["", "late", "latency", "latency:", "latency:-1", "latency:nan", "latency:1e9", "paused:1"]
)
def test_others_are_refused_with_the_valid_ones(text):
    with pytest.raises(BadInput, match="latency:SECONDS"):
        parse_clock(text)


def turn(*completions):
    obs = Observation((), Proprio(np.zeros(1), np.zeros(3), np.zeros(4), 0.0, False), "")
    return Turn(0, obs, Decision(), (), completions)


def test_every_decision_takes_the_latency_but_the_next_call_of_a_plan():
    said, clock = [Completion("x", 0.2), Completion("y", 0.3)], Clock("latency", 2.0)
    assert clock.thinking_s(said, []) == 2.0
    assert clock.thinking_s([], [turn(*said)]) == 0.0  # a plan that was made before
    assert clock.thinking_s([], [turn()]) == 2.0  # a policy that asks no model
    assert Clock().thinking_s(said, []) == 0.0
    assert Clock("wall").thinking_s(said, []) == pytest.approx(0.5)


def test_while_the_model_thinks_the_world_goes_on_and_the_arm_does_not():
    moved, seen = {}, {}
    for clock in ("paused", "latency:0.5"):
        episode, _ = played(clock)
        moved[clock] = [turn.observation.time_s for turn in episode.turns]
        seen[clock] = [turn.observation.frames[0].rgb for turn in episode.turns]
        qpos = [turn.observation.proprio.qpos for turn in episode.turns]
        np.testing.assert_allclose(qpos[1], qpos[0], atol=2e-3)
        assert episode.run.config.clock == clock
    assert moved["latency:0.5"][1] - moved["paused"][1] == pytest.approx(0.5)
    assert np.array_equal(seen["paused"][0], seen["latency:0.5"][0])
    assert not np.array_equal(seen["paused"][1], seen["latency:0.5"][1])


def test_words_that_change_while_the_model_thinks_are_seen_at_the_next_look():
    late, _ = played("latency:2")
    paused, _ = played("paused")
    assert [turn.observation.instruction for turn in late.turns][1] == "never mind"
    assert "never mind" not in [turn.observation.instruction for turn in paused.turns]


def test_a_wall_clock_lets_as_much_time_pass_as_the_answers_took():
    slow, fast = (played("wall", seconds=seconds)[0] for seconds in (0.42, 0.0))
    wait = slow.turns[0].sim_time_s - fast.turns[0].sim_time_s
    assert wait == pytest.approx(math.ceil(0.42 / CONTROL_PERIOD_S) * CONTROL_PERIOD_S)


@pytest.mark.parametrize("clock", ["latency:0.7", "paused"])
def test_a_latency_is_as_deterministic_as_none_and_a_replay_keeps_it(clock):
    (episode, _), (again, _) = played(clock), played(clock)
    assert episode.final_hash == again.final_hash
    assert replay(Drifting("put", cameras=()), episode).same


def test_a_control_works_under_the_same_clock():
    choices = [RunConfig(policy="oracle", clock=clock) for clock in ("paused", "latency:1")]
    paused, late = [next(drive([perform(config, 5, None)])) for config in choices]
    assert paused.outcome == late.outcome == "success"
    spent = late.run.metrics["sim_s"] - paused.run.metrics["sim_s"]
    assert spent == pytest.approx(late.run.metrics["decisions"], abs=1.0)


def test_one_run_keeps_its_clock_too(tmp_path):
    words = ["run", "--policy", "idle", "--no-film", "--clock", "latency:1", "--out", str(tmp_path)]
    assert cli.main(words) == 0
    (episode,) = trace.read(tmp_path).episodes
    assert episode.run.config.clock == "latency:1" and replay(make_env(episode.run.config), episode).same
