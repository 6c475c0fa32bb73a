"""Laws of the loop: endings, crashes, clocks, watchers, and that batching changes nothing. On a fake body."""

import errno
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qwenarm.episode import rollout
from qwenarm.episode.drive import drive, play_alone
from qwenarm.episode.rollout import SETTLE_S, STOPPED_DETAIL, Play, Stopped, play
from qwenarm.episode.watchers import Watcher
from qwenarm.errors import BadInput, MachineFailure, ModelUnavailable, PromptFailed
from qwenarm.factory import perform
from qwenarm.mind.backends.scripted import Scripted
from qwenarm.types import (
    Completion,
    Control,
    Decision,
    FormatError,
    Frame,
    Outcome,
    Prompt,
    Proprio,
    RunConfig,
    RunInfo,
    SkillCall,
    SkillResult,
)


@dataclass
class FakeBody:
    """A world with one number, ``x``; skills count it up. Time passes, seconds are made up."""

    x: int = 0
    time_s: float = 0.0
    clamps: Counter = field(default_factory=Counter)
    seconds: Any = field(default_factory=Counter)
    objects: Any = field(default_factory=dict)

    def step(self, control):
        self.time_s += 0.05
        self.clamps["velocity"] += 1
        self.seconds["physics"] += 0.001

    def hold(self):
        return Control(np.zeros(1), 0.0)

    def frame(self, camera, size, **_):
        self.seconds["render"] += 0.002
        return Frame(np.full((*size, 3), self.x, np.uint8), camera)

    def proprio(self):
        return Proprio(np.zeros(1), np.zeros(3), np.zeros(4), 0.08, False)

    def state(self):
        return self

    def final_hash(self):
        return f"hash {self.x}"


class FakeGoal:
    """Fulfilled when x has reached the target."""

    def __init__(self, target):
        self.target = target

    def success(self, state):
        return state.x >= self.target

    def progress(self, state):
        return min(1.0, state.x / self.target)

    def solve(self, state):
        return [SkillCall("done")]


class FakeEnv:
    task, level, arm = "count", 1, "fake"
    new_goal: type[FakeGoal] = FakeGoal

    def __init__(self, target=2, max_turns=6, goal=True, max_periods=None):
        self.target, self.max_turns, self.goal, self.max_periods = target, max_turns, goal, max_periods

    def reset(self, seed, options=None):
        self.body = FakeBody()
        goal = self.new_goal(self.target + seed % 2) if self.goal else None
        words, unread = f"count to {self.target}", "" if goal else "no rule reads 'count'"
        self.setup = SimpleNamespace(
            instruction=words,
            goal=goal,
            max_turns=self.max_turns,
            max_periods=self.max_periods,
            unjudged=unread,
            read_as=f"count to {self.target}",
        )
        self.instruction = self.setup.instruction

    def goal_frame(self, size):
        return None


def fake_run(body, call):
    for _ in range(3):
        yield body.hold()
    if call.name == "break":
        raise RuntimeError("the skill broke")
    if call.name == "count":
        body.x += 1
    return SkillResult(call.name != "fail", "no luck" if call.name == "fail" else "")


@pytest.fixture(autouse=True)
def fake_skills(monkeypatch):
    monkeypatch.setattr(rollout, "run_skill", fake_run)


def playing(env: Any = None, policy: Any = None, seed: int = 0, watchers: Sequence[Watcher] = ()) -> Play:
    """An episode on the fake body."""
    world: Any = env or FakeEnv()
    return play(world, policy or Words(), RunInfo(RunConfig("count", arm="fake", policy="words"), seed), watchers)


class Words:
    """A policy that does what the words of the answer say, one call per word; "?" is unreadable."""

    name, cameras, frame_size = "words", ("front",), (4, 4)

    def describe(self):
        return {"model": "none"}

    def decide(self, obs, history):
        completion = yield Prompt(
            (
                {
                    "role": "user",
                    "content": " ".join(
                        [
                            str(len(history)),
                            *(
                                f"{c.name}: {r.detail}"
                                for t in history[-1:]
                                for c, r in zip(t.decision.calls, t.results, strict=False)
                            ),
                        ]
                    ),
                },
            ),
            (obs.frames[0].rgb,),
        )
        if completion.text == "?":
            return Decision(raw="?", error=FormatError.NO_CALL, detail="no words")
        return Decision(tuple(SkillCall(word) for word in completion.text.split()), raw=completion.text)


class Replies:
    """A backend that answers turn n of an episode with the n-th text."""

    def __init__(self, *texts):
        self.texts, self.sizes, self.prompts = texts, [], []

    def generate(self, prompts):
        self.sizes.append(len(prompts))
        self.prompts += prompts
        turns = [int(prompt.messages[0]["content"].split()[0]) for prompt in prompts]
        return [Completion(self.texts[min(turn, len(self.texts) - 1)], 0.25) for turn in turns]


def one(*texts, env=None, seed=0, watchers=()):
    (episode,) = drive([playing(env, seed=seed, watchers=watchers)], Replies(*texts))
    return episode


@pytest.mark.parametrize(
    ("texts", "outcome", "turns"),
    [
        (["count", "count", "done"], Outcome.SUCCESS, 3),
        (["count count done"], Outcome.SUCCESS, 1),
        (["count", "done"], Outcome.FAILURE, 2),
        (["give_up"], Outcome.GAVE_UP, 1),
        (["look"], Outcome.OUT_OF_TURNS, 6),
        (["?"], Outcome.FORMAT, 3),
        (["?", "?", "count", "?", "?", "done"], Outcome.FAILURE, 6),
        (["break"], Outcome.CRASHED, 1),
        (["count count", "look"], Outcome.SUCCESS, 6),  # the state is judged, not what was said about it
    ],
)
def test_endings(texts, outcome, turns):
    episode = one(*texts)
    assert (episode.outcome, len(episode.turns)) == (outcome, turns)
    assert [turn.index for turn in episode.turns] == list(range(turns))


def test_a_call_that_keeps_failing_in_the_same_way_ends_an_episode_for_free_words():
    backend, config = Replies("fail"), RunConfig("count", arm="fake", policy="words", words="count")
    (episode,) = drive([play(FakeEnv(), Words(), RunInfo(config, 0))], backend)
    assert (episode.outcome, len(episode.turns)) == (Outcome.STUCK, 3)
    assert episode.detail == "fail failed 3 times in a row in the same way: no luck"
    mixed = Replies("fail", "fail", "count", "fail", "fail", "done")
    (episode,) = drive([play(FakeEnv(), Words(), RunInfo(config, 0))], mixed)
    assert episode.outcome is Outcome.FAILURE
    assert one("fail").outcome is Outcome.OUT_OF_TURNS  # the tasks' own episodes are counted as ever


@pytest.mark.parametrize(
    ("texts", "outcome"),
    [(["done"], "unjudged"), (["look"], "unjudged"), (["give_up"], "gave up"), (["?"], "unreadable answers")],
)
def test_without_a_goal_nothing_is_ever_a_success(texts, outcome):
    episode = one(*texts, env=FakeEnv(goal=False))
    assert episode.outcome == outcome
    assert episode.detail == ("no rule reads 'count'" if outcome == "unjudged" else "")


def test_a_failed_call_ends_the_turn_and_is_told():
    backend = Replies("count fail count", "done")
    (episode,) = drive([playing()], backend)
    assert [result.ok for result in episode.turns[0].results] == [True, False]
    assert "fail: no luck" in backend.prompts[1].messages[0]["content"]


def test_a_crash_keeps_what_was_said_before_it_and_its_traceback():
    episode = one("count", "count break")
    assert episode.outcome is Outcome.CRASHED and "the skill broke" in episode.detail
    assert episode.turns[1].decision.raw == "count break" and len(episode.turns[1].results) == 1
    assert episode.final_hash == "hash 2" and episode.progress == 1.0


def test_a_crash_in_reset_is_an_episode_too():
    class Broken(FakeEnv):
        def reset(self, seed, options=None):
            raise RuntimeError("no scene")

    log = Log()
    episode = one("done", env=Broken(), watchers=[log])
    assert episode.outcome is Outcome.CRASHED and "no scene" in episode.detail and episode.turns == ()
    assert log.events == []


def test_a_scene_that_cannot_be_built_is_an_episode_too():
    class Unbuildable(FakeEnv):
        def reset(self, seed, options=None):
            self.setup = SimpleNamespace(instruction="count", goal=FakeGoal(1), max_turns=1, max_periods=None)
            raise RuntimeError("no body")

    episode = one("done", env=Unbuildable())
    assert episode.outcome is Outcome.CRASHED and "no body" in episode.detail and episode.final_hash == ""


def test_calls_that_take_no_time_come_to_an_end(monkeypatch):
    """Where control periods are counted, not turns, a call that fails at once brings the end nearer, too."""

    def fail_at_once(body, call):
        yield from ()
        return SkillResult(False, "out of reach")

    monkeypatch.setattr(rollout, "run_skill", fail_at_once)
    episode = one(*["count"] * 9, env=FakeEnv(max_periods=5))
    assert episode.outcome is Outcome.OUT_OF_TURNS and len(episode.turns) == 5


def test_a_crash_in_the_policy_or_the_backend_is_an_outcome():
    class Mad(Words):
        def decide(self, obs, history):
            raise ZeroDivisionError
            yield

    class Down(Replies):
        def generate(self, prompts):
            raise RuntimeError("shapes do not fit")

    (episode,) = drive([playing(policy=Mad())], Replies("done"))
    assert episode.outcome is Outcome.CRASHED and "ZeroDivisionError" in episode.detail
    episodes = list(drive((playing(seed=seed) for seed in range(3)), Down(), 2))
    assert [e.outcome for e in episodes] == [Outcome.CRASHED] * 3 and "shapes do not fit" in episodes[0].detail


def test_a_prompt_at_which_a_backend_fails_costs_no_other_episode():
    class Choosy(Replies):
        def generate(self, prompts):
            if any(image.shape == Small.frame_size + (3,) for prompt in prompts for image in prompt.images):
                raise RuntimeError("so small a picture cannot be read")
            return super().generate(prompts)

    class Small(Words):
        frame_size = (1, 1)

    plays = [playing(seed=0), playing(policy=Small(), seed=1), playing(seed=2)]
    outcomes = {e.run.seed: e.outcome for e in drive(plays, Choosy("count", "count", "done"), batch=3)}
    assert outcomes == {0: Outcome.SUCCESS, 1: Outcome.CRASHED, 2: Outcome.SUCCESS}


@pytest.mark.parametrize("held", [float("nan"), "yes", None, 1])
def test_only_true_or_false_is_a_verdict(held):
    class Odd(FakeGoal):
        def success(self, state):
            return held

    env = FakeEnv()
    env.new_goal = Odd
    episode = one("done", env=env)
    assert episode.outcome is Outcome.CRASHED and "must return True or False" in episode.detail


@pytest.mark.parametrize("progress", [float("nan"), -0.5, 1.5, "all"])
def test_progress_outside_of_its_range_is_a_crash_with_a_name(progress):
    class Odd(FakeGoal):
        def progress(self, state):
            return progress

    env = FakeEnv()
    env.new_goal = Odd
    assert one("done", env=env).outcome is Outcome.CRASHED


def test_what_is_no_decision_and_no_result_is_a_crash_with_a_name(monkeypatch):
    class Mute(Words):
        def decide(self, obs, history):
            return "done"
            yield

    (episode,) = drive([playing(policy=Mute())], Replies("done"))
    assert episode.outcome is Outcome.CRASHED and "must return a Decision, not 'done'" in episode.detail
    monkeypatch.setattr(rollout, "run_skill", lambda body, call: iter(()))
    episode = one("count")
    assert episode.outcome is Outcome.CRASHED and "must return a SkillResult, not None" in episode.detail


def test_code_that_exits_ends_its_episode_and_no_other():
    class Leaving(Words):
        def decide(self, obs, history):
            raise SystemExit(0)
            yield

    policies = (Words(), Leaving(), Words())
    episodes = list(drive((playing(policy=policy) for policy in policies), Replies("count", "count done")))
    assert [episode.outcome for episode in episodes] == [Outcome.SUCCESS, Outcome.CRASHED, Outcome.SUCCESS]


FAILURES = [MemoryError(), OSError(errno.ENOSPC, "No space left"), RuntimeError("CPU: can't allocate memory: 9 bytes")]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_a_failure_of_the_machine_is_no_result_of_the_episode(failure):
    with pytest.raises(MachineFailure, match="was not played to its end"):
        list(drive([playing()], RunsOut(failure)))
    with pytest.raises(MachineFailure):
        play_alone(playing(), RunsOut(failure))


def test_a_server_that_is_down_is_the_callers_error():
    class Down(Replies):
        def generate(self, prompts):
            raise ModelUnavailable("The server does not answer.")

    with pytest.raises(ModelUnavailable):
        list(drive([playing()], Down()))
    with pytest.raises(BadInput, match="no model was given"):
        list(drive([playing()]))


class RunsOut(Replies):
    """Fails for good when all its texts are given."""

    def __init__(self, failure, *texts):
        super().__init__(*texts)
        self.failure = failure

    def generate(self, prompts):
        if len(self.sizes) == len(self.texts):
            raise self.failure
        return super().generate(prompts)


@pytest.mark.parametrize("failure", [ModelUnavailable("The server has gone."), KeyboardInterrupt()], ids=repr)
def test_alone_what_was_played_before_the_model_failed_is_kept(failure):
    log = Log()
    episode, stop = play_alone(playing(watchers=[log]), RunsOut(failure, "count"))
    assert episode.final_hash == "hash 1" and [result.ok for result in episode.turns[0].results] == [True]
    assert log.events[-1] == "finished"
    if isinstance(failure, KeyboardInterrupt):
        assert isinstance(stop, KeyboardInterrupt) and episode.detail == STOPPED_DETAIL
        assert episode.outcome is Outcome.STOPPED and len(episode.turns) == 1, "what was not decided is no turn"
    else:
        assert episode.outcome is Outcome.CRASHED and len(episode.turns) == 2
        assert episode.turns[1].prompts and not episode.turns[1].completions
        assert stop is failure and episode.detail == "The server has gone."


def test_a_prompt_that_a_server_did_not_answer_is_told_in_a_sentence():
    failure = PromptFailed("http://x did not answer within 300 s.")
    episode, stop = play_alone(playing(), Refuses(failure))
    assert stop is None and episode.outcome is Outcome.CRASHED and episode.detail == str(failure)


class Refuses:
    """A server that answers nobody."""

    def __init__(self, failure):
        self.failure = failure

    def generate(self, prompts):
        return [self.failure] * len(prompts)


class Halting(Words):
    """Ctrl-C comes while it thinks."""

    def decide(self, obs, history):
        if history:
            raise KeyboardInterrupt
        return (yield from super().decide(obs, history))


def test_alone_ctrl_c_in_a_policy_keeps_what_was_played():
    episode, stop = play_alone(playing(policy=Halting()), Replies("count"))
    assert (
        isinstance(stop, KeyboardInterrupt) and episode.outcome is Outcome.STOPPED and episode.detail == STOPPED_DETAIL
    )
    assert len(episode.turns) == 1 and episode.progress == 0.5


class Unmeasurable(FakeGoal):
    """Its progress cannot be told any more once something has been done."""

    def progress(self, state):
        return float("nan") if state.x else 0.0


class Immeasurable(FakeEnv):
    new_goal = Unmeasurable


def test_a_turn_whose_progress_cannot_be_told_is_kept_with_its_result():
    episode, _ = play_alone(playing(Immeasurable()), Replies("count"))
    assert episode.outcome is Outcome.CRASHED and "progress()" in episode.detail
    (turn,) = episode.turns
    assert [call.name for call in turn.decision.calls] == ["count"] and turn.results[0].ok


class Pausing(Words):
    """Decides to do nothing, and does not ask for that."""

    def decide(self, obs, history):
        return Decision()
        yield


class InterruptedLook(Watcher):
    """Ctrl-C comes at the second look."""

    def looked(self, obs):
        if obs.time_s or self.again:
            raise KeyboardInterrupt
        self.again = True

    again = False


def test_alone_ctrl_c_at_a_look_takes_no_decision_away_not_even_one_to_do_nothing():
    episode, stop = play_alone(playing(policy=Pausing(), watchers=[InterruptedLook()]), Replies())
    assert isinstance(stop, Stopped) and [turn.decision for turn in episode.turns] == [Decision()]


def test_alone_ctrl_c_before_the_first_turn_leaves_nothing():
    class Slow(FakeEnv):
        def reset(self, seed, options=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        play_alone(playing(Slow()), Replies("count"))
    assert not isinstance(caught.value, Stopped)


def test_alone_an_episode_that_ends_is_the_same_as_among_others():
    episode, stop = play_alone(playing(), Replies("count", "count done"))
    assert stop is None and key(episode) == key(one("count", "count done"))
    episode, stop = play_alone(playing(), RunsOut(RuntimeError("shapes do not fit")))
    assert stop is None and episode.outcome is Outcome.CRASHED and "Traceback" in episode.detail


def test_among_others_ctrl_c_ends_it_all_and_no_unfinished_episode_comes():
    plays = (playing(policy=Halting() if seed else Words(), seed=seed) for seed in range(3))
    episodes = drive(plays, Replies("count", "count", "count", "done"), 2)
    with pytest.raises(KeyboardInterrupt):
        list(episodes)


def key(episode):
    turns = [(turn.decision, turn.results, turn.progress) for turn in episode.turns]
    return episode.seed, episode.outcome, episode.progress, episode.final_hash, tuple(turns)


@pytest.mark.parametrize("batch", [2, 3, 8, 50])
def test_batched_and_single_give_the_same(batch):
    texts = ["count", "fail", "?", "count done"]
    single = [one(*texts, seed=seed) for seed in range(12)]
    backend = Replies(*texts)
    batched = list(drive((playing(seed=seed) for seed in range(12)), backend, batch))
    assert sorted(map(key, batched), key=lambda k: k[0]) == list(map(key, single))
    assert max(backend.sizes) == min(batch, 12) and sum(backend.sizes) == sum(len(e.turns) for e in single)


def test_plays_begin_only_when_there_is_room():
    begun = []

    def endless():
        seed = 0
        while True:
            begun.append(seed)
            yield playing(seed=seed)
            seed += 1

    episodes = drive(endless(), Replies("count", "done"), 2)
    assert [next(episodes).seed for _ in range(4)] == [0, 1, 2, 3]
    assert len(begun) <= 5
    episodes.close()


def test_seconds_add_up_and_the_wait_for_the_model_is_not_the_episodes():
    episode = one("count count", "done")
    turn = episode.turns[0]
    assert turn.seconds["model"] == 0.25
    assert turn.seconds["physics"] == pytest.approx(0.006) and turn.seconds["render"] == pytest.approx(0.002)
    assert turn.sim_time_s == pytest.approx(0.3) and turn.clamps == {"velocity": 6}
    assert 0 <= turn.seconds["other"] < 0.1
    in_turns = {part: sum(turn.seconds[part] for turn in episode.turns) for part in ("physics", "render")}
    in_turns["physics"] += 0.001 * round(SETTLE_S / 0.05)
    assert episode.run.seconds == pytest.approx(in_turns)


class Log(Watcher):
    def __init__(self):
        self.events = []

    def __getattribute__(self, name):
        if name in vars(Watcher) and not name.startswith("_"):
            return lambda *what: self.events.append(name)
        return object.__getattribute__(self, name)


def test_watchers_hear_everything_in_order():
    log = Log()
    one("count", "done", watchers=[log])
    turn = ["looked", "decided", "calling", *["stepped"] * 3, "called", "turned"]
    assert log.events == ["started", *turn, *turn, "metrics", "finished"]


def test_a_failing_watcher_changes_nothing_but_is_reported():
    class Film(Watcher):
        def stepped(self, body):
            body.frame("front", (4, 4))
            raise OSError("disk full")

    bare, filmed = one("count", "done"), one("count", "done", watchers=[Film()])
    assert key(bare) == key(filmed)
    assert filmed.run.watcher_failures == ("Film.stepped: OSError: disk full",)
    assert filmed.turns[0].seconds["render"] == pytest.approx(0.002)  # the film's own rendering is not counted


def test_what_is_needed_to_repeat_it_is_recorded():
    (episode,) = drive([playing(seed=3)], Replies("done"))
    assert episode.run.policy == {"model": "none"} and episode.run.cameras == ("front",)
    assert (episode.task, episode.seed, episode.arm) == ("count", 3, "fake")
    assert {"python", "machine", "mujoco"} <= set(episode.run.versions) and episode.run.renderer


def gambler(prompt):
    """A model whose answer is drawn from a hash of all that it sees and reads: any difference in a prompt shows."""
    digest = hashlib.sha256(repr(prompt.messages).encode() + b"".join(image.tobytes() for image in prompt.images))
    rng = np.random.default_rng(list(digest.digest()))
    if rng.random() < 0.1:
        return "Let me think."
    name = str(rng.choice(["pick", "place", "move_to"]))
    point = [int(x) for x in rng.integers(250, 750, 2)]
    arguments = {"at": {"label": "thing", "point_2d": point}}
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


@pytest.mark.parametrize("altitude", ["step", "plan"])
def test_the_real_world_ends_in_the_same_bits_batched_and_single(monkeypatch, altitude):
    monkeypatch.undo()  # real skills
    config = RunConfig("put", policy="vlm", model="gambler", altitude=altitude)

    def played(batch):
        backend = Scripted(gambler)
        episodes = drive((perform(config, seed, backend) for seed in range(3)), backend, batch)
        return {e.seed: (e.outcome, e.final_hash, [turn.decision for turn in e.turns]) for e in episodes}

    single, batched = played(1), played(2)
    assert single == batched
    assert len({final_hash for _, final_hash, _ in single.values()}) == 3
    assert all(outcome is not Outcome.CRASHED for outcome, *_ in single.values())


def test_the_oracle_gives_up_what_has_left_the_table(monkeypatch):
    monkeypatch.undo()  # real skills

    class Thief(Watcher):
        def started(self, env, policy_name, seed):
            first = env.body.model.joint("red_cube").qposadr[0]
            env.body.data.qpos[first : first + 3] = 3.0, 0.0, -2.0

    config = RunConfig(words="put the red cube in the blue bowl", policy="oracle")
    (episode,) = drive([perform(config, 0, None, [Thief()])])
    assert episode.outcome is Outcome.GAVE_UP
    assert "red_cube" in episode.turns[-1].results[0].detail
