"""A recorded episode, played again without its policy, ends in the same bits; another scene does not."""

from dataclasses import replace

import pytest

from qwenarm.episode import trace
from qwenarm.episode.drive import drive
from qwenarm.episode.replay import replay
from qwenarm.factory import make_env, perform
from qwenarm.types import RunConfig


@pytest.mark.parametrize(("policy", "arm"), [("oracle", "panda"), ("random", "panda"), ("oracle", "ur5e")])
def test_the_same_bits(tmp_path, policy, arm):
    (episode,) = drive([perform(RunConfig("put", policy=policy, arm=arm), 5, None)])
    trace.Trace(tmp_path).append(episode)
    (episode,) = trace.read(tmp_path).episodes  # through JSON: no bit of a point may be lost on the way
    again = replay(make_env(episode.run.config), episode)
    assert again.same and again.differences == () and again.changes == ()
    assert replay(make_env(episode.run.config), episode).final_hash == episode.final_hash


def test_another_scene_is_noticed():
    (episode,) = drive([perform(RunConfig("put", policy="oracle"), 5, None)])
    other = replay(make_env(episode.run.config), replace(episode, run=replace(episode.run, seed=6)))
    assert not other.same


def test_what_has_changed_since_is_named():
    (episode,) = drive([perform(RunConfig("put", policy="idle"), 5, None)])
    old = replace(episode, run=replace(episode.run, renderer="crayons", versions={"mujoco": "1.0"}))
    again = replay(make_env(old.run.config), old)
    assert any("instead of crayons" in line for line in again.changes)
    assert any("mujoco" in line and "instead of 1.0" in line for line in again.changes)
