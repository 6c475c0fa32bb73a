"""Chunks one after the other, and with the next computed while this one plays: the delay is counted."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policies.policy_server import policy_server

import qwenarm as qa
from qwenarm.episode.drive import answered
from qwenarm.episode.replay import replay
from qwenarm.episode.rollout import play
from qwenarm.episode.trace import read
from qwenarm.errors import BadInput
from qwenarm.factory import make_env
from qwenarm.policies.chunk_player import ChunkPlayer, faded, splice
from qwenarm.policies.conventions import Conventions
from qwenarm.types import Completion, FormatError, Prompt, RunConfig, RunInfo

LENGTH = 16
CONVENTIONS = Conventions(image_size=(48, 64), actions_played=8, asynchronous=True)


@given(st.integers(1, 30), st.integers(0, 40), st.integers(1, 30), st.lists(st.integers(1, 30), min_size=1))
def test_every_action_is_played_skipped_or_left_and_the_delay_is_counted(
    length: int, delay: int, played: int, lengths: list[int]
) -> None:
    """Over a whole run: index after - index before of the playing chunk is what is skipped of the next one."""
    playing, index, played = [[0.0, float(i)] for i in range(length)], min(played, length), played
    for number, size in enumerate(lengths, 1):
        fresh = [[float(number), float(i)] for i in range(size)]
        found = splice(playing, index, fresh, delay, played, is_delta=False)
        meanwhile, new = found.rows[:delay], found.rows[delay:]
        after = index + found.skipped
        assert meanwhile[: found.skipped] == playing[index:after], "it plays on, in order, without a gap"
        assert found.skipped == min(delay, max(0, length - index)), "index after - before"
        assert meanwhile[found.skipped :] == [playing[-1]] * (delay - found.skipped), "then it stands still"
        assert new == fresh[found.skipped : max(played, found.skipped)], "what is late is skipped"
        playing, length, index = fresh, size, max(played, found.skipped)


def test_a_shift_is_not_repeated_while_nothing_is_there() -> None:
    found = splice([[0.1, 1.0], [0.2, 0.5]], 2, [[0.3, 0.0]] * 3, delay=2, played=3, is_delta=True)
    assert found.rows == [[0.0, 0.5]] * 2 + [[0.3, 0.0]] * 3 and found.skipped == 0


@given(st.integers(1, 20), st.integers(0, 25), st.integers(1, 20), st.integers(1, 20))
def test_a_chunk_fades_into_the_next_one(length: int, index: int, size: int, played: int) -> None:
    playing, fresh = [[1.0, 1.0]] * length, [[0.0, 0.0]] * size
    found = [row[0] for row in faded(playing, index, fresh, played)]
    both = max(0, min(length - index, size, played))
    assert len(found) == size and found == sorted(found, reverse=True), "from the one to the other, never back"
    assert all(0 < number < 1 for number in found[:both]) and not any(found[both:])
    assert all(row[1] == 0.0 for row in faded(playing, index, fresh, played)), "fingers are the fresh chunk's"
    assert faded(fresh, index, fresh, played) == fresh, "what agrees stays"


def test_smoothing_is_refused_where_it_means_nothing() -> None:
    for field in ({"asynchronous": False}, {"action": "ee_pose"}):
        with pytest.raises(BadInput, match="smoothing"):
            replace(CONVENTIONS, smoothing=True, **field)


class Counting:
    """Answers with chunks whose gripper openings tell which action of which chunk they are."""

    def __init__(self) -> None:
        self.asked = 0

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        found = []
        for _ in prompts:
            opening = (np.arange(LENGTH) + LENGTH * (self.asked % 4)) / 64
            rows = np.column_stack([np.zeros((LENGTH, 6)), 2 * opening - 1])
            found.append(Completion(json.dumps(rows.tolist()), 0.12))
            self.asked += 1
        return found


def indices(episode: Any) -> list[tuple[int, int]]:
    """(chunk, action) of every control period that was played."""
    rows = [row for turn in episode.turns for call in turn.decision.calls for row in call.args["actions"]]
    numbers = [round(64 * row[-1]) for row in rows]
    return [divmod(number, LENGTH) for number in numbers]


@pytest.mark.render
@pytest.mark.parametrize(("clock", "delay"), [("paused", 0), ("latency:0.1", 2), ("latency:0.6", 12), ("wall", 3)])
def test_in_the_world_nothing_waits_for_the_model(clock: str, delay: int) -> None:
    config = RunConfig("put", clock=clock)
    env = make_env(config)
    setup = replace(env.build(1), max_periods=64)
    player = ChunkPlayer("test", Counting(), CONVENTIONS, clock)
    episode = answered(play(env, player, RunInfo(config, 1), setup=setup), player.backend)
    first, *others = episode.turns
    assert first.decision.delay_periods == 0 and round(first.sim_time_s / 0.05) == delay + 8, "it has to wait once"
    assert all(turn.decision.delay_periods == delay for turn in others)
    for turn in others:
        assert round(turn.sim_time_s / 0.05) == max(8, len(turn.decision.calls[0].args["actions"]))
    played = indices(episode)
    if delay <= 8:  # it never stands still: each chunk goes on exactly where the last one was left
        assert [action for _, action in played[: 8 + delay]] == list(range(8 + delay))
        assert [action for _, action in played[8 + delay : 16]] == list(range(delay, 8))
        assert all(turn.decision.skipped == delay for turn in others)
        assert played[8 + delay : 8 + delay + 1] in ([(1, delay)], [(1, 8)])
    else:
        assert [turn.decision.skipped for turn in others[:2]] == [8, 8], "the rest it stood still"
    assert replay(env, episode).same
    env.close()


@pytest.mark.render
def test_a_server_can_be_asked_while_the_last_chunk_plays(tmp_path: Any) -> None:
    def infer(observation: dict[str, Any]) -> np.ndarray:
        return np.tile(np.array([0, 0, -0.002, 0, 0, 0, 1], np.float32), (16, 1))

    told = {"conventions": {"action": "ee_delta", "asynchronous": True, "actions_played": 10}}
    with policy_server(infer, told) as url:
        ledger = qa.evaluate(url, tasks="put", seeds=1, folder=tmp_path, clock="latency:0.2")
        (episode,) = read(tmp_path).episodes
    assert len(ledger.rows) == 1 and {turn.decision.delay_periods for turn in episode.turns[1:]} == {4}
    env = make_env(episode.run.config)
    assert replay(env, episode).same, "what was skipped is in the record"
    env.close()


def test_after_an_unreadable_answer_nothing_plays_on() -> None:
    class Broken(Counting):
        def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
            found = super().generate(prompts)
            return [Completion("up")] if self.asked == 2 else found

    config = RunConfig("put", clock="latency:0.1")
    env = make_env(config)
    setup = replace(env.build(1), max_periods=40)
    player = ChunkPlayer("test", Broken(), CONVENTIONS, config.clock)
    episode = answered(play(env, player, RunInfo(config, 1), setup=setup), player.backend)
    assert episode.turns[1].decision.error is FormatError.BROKEN
    assert episode.turns[2].decision.delay_periods == 0 and episode.turns[3].decision.delay_periods == 2
    env.close()
