"""A recorded episode, played again without its policy, ends in the same bits; another scene does not."""

from dataclasses import replace

import pytest

from qwenarm.episode import trace
from qwenarm.episode.drive import drive, play_alone
from qwenarm.episode.replay import replay
from qwenarm.episode.watchers import Watcher
from qwenarm.factory import make_env, perform
from qwenarm.types import Outcome, RunConfig


@pytest.mark.parametrize(("policy", "arm"), [("oracle", "panda"), ("random", "panda"), ("oracle", "ur5e")])
def test_the_same_bits(tmp_path, policy, arm):
    (episode,) = drive([perform(RunConfig("put", policy=policy, arm=arm), 5, None)])
    trace.Trace(tmp_path).append(episode)
    (episode,) = trace.read(tmp_path).episodes  # through JSON: no bit of a point may be lost on the way
    again = replay(make_env(episode.run.config), episode)
    assert again.same and again.differences == () and again.changes == ()
    assert replay(make_env(episode.run.config), episode).final_hash == episode.final_hash


class StopAfter(Watcher):
    """Presses Ctrl-C after so many control steps."""

    def __init__(self, steps):
        self.steps = steps

    def stepped(self, body):
        self.steps -= 1
        if not self.steps:
            raise KeyboardInterrupt


@pytest.mark.parametrize("clock", ["paused", "latency:1"])
@pytest.mark.parametrize("steps", [12, 70])
def test_a_stopped_episode_is_the_same_up_to_the_stop(clock, steps):
    config = RunConfig("put", policy="oracle", clock=clock)
    episode, _ = play_alone(perform(config, 5, None, [StopAfter(steps)]))
    assert episode.outcome is Outcome.STOPPED
    again = replay(make_env(config), episode)
    assert again.same and not again.differences and again.final_hash == episode.final_hash
    assert f"stopped in turn {len(episode.turns)}" in again.stopped
    other = replace(episode, run=replace(episode.run, seed=6))
    assert not replay(make_env(config), other).same


def test_another_scene_is_noticed():
    (episode,) = drive([perform(RunConfig("put", policy="oracle"), 5, None)])
    other = replay(make_env(episode.run.config), replace(episode, run=replace(episode.run, seed=6)))
    assert not other.same


@pytest.mark.parametrize(
    ("policy", "words"), [("oracle", ""), ("idle", ""), ("random", ""), ("idle", "make the table look nice")]
)
def test_a_recorded_outcome_or_instruction_that_does_not_fit_is_told(policy, words):
    """Whatever is recorded in place of the true outcome, also where nothing could be judged."""
    (episode,) = drive([perform(RunConfig("put", policy=policy, words=words), 5, None)])
    env = make_env(episode.run.config)
    for forged in set(Outcome) - {episode.outcome}:
        again = replay(env, replace(episode, outcome=forged))
        assert not again.same or any(f"and {forged} is recorded" in told for told in again.differences), forged
    (told,) = replay(env, replace(episode, progress=(episode.progress + 1) / 3)).differences
    assert told.startswith("The progress is")
    first = episode.turns[0]
    other = replace(first, observation=replace(first.observation, instruction="stack the cubes"))
    (told,) = replay(make_env(episode.run.config), replace(episode, turns=(other, *episode.turns[1:]))).differences
    assert "'stack the cubes' is recorded" in told


def test_what_has_changed_since_is_named():
    (episode,) = drive([perform(RunConfig("put", policy="idle"), 5, None)])
    old = replace(episode, run=replace(episode.run, renderer="crayons", versions={"mujoco": "1.0"}))
    again = replay(make_env(old.run.config), old)
    assert any("instead of crayons" in line for line in again.changes)
    assert any("mujoco" in line and "instead of 1.0" in line for line in again.changes)
