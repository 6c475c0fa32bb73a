"""Laws of attribution: what labels mean, hands that never fail and never help a wrong call, broken parts are named."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.attribution import BREAKAGE_OF_MODULE, attribute, failed

from qwenarm.body.objects.spec import make_spec
from qwenarm.cli.main import main
from qwenarm.diagnosis import oracle_replacements as replaced
from qwenarm.diagnosis.attribute import ATTRIBUTION_FILE, MODEL_ROLE, failures, findings
from qwenarm.diagnosis.attribute import attribute as attribute_all
from qwenarm.diagnosis.find_cause import EPISODE_CRASHED, TASK_UNCLEAR, Case, find_cause, prompt_hash, recorded_answers
from qwenarm.diagnosis.ground_truth import GroundTruth, ObjectViews, find_labelled, on_plane
from qwenarm.diagnosis.ideal_skills import POINT_COUNT, IdealHands
from qwenarm.diagnosis.oracle_replacements import AGENT_MODULES, UnlimitedSafety
from qwenarm.diagnosis.workers import case_of
from qwenarm.episode.drive import drive
from qwenarm.episode.rollout import play
from qwenarm.episode.trace import Trace, read_at
from qwenarm.episode.watchers import Tell
from qwenarm.errors import BadInput
from qwenarm.evaluation.evaluate import evaluate, plan
from qwenarm.factory import make_env, make_policy
from qwenarm.mind.backends.scripted import Scripted
from qwenarm.perturbations import parse
from qwenarm.registry import list_names
from qwenarm.report.runs import read_run
from qwenarm.skills import specs
from qwenarm.tasks import oracle_call, oracle_point
from qwenarm.types import Completion, Control, ImagePoint, Outcome, RunConfig, RunInfo, SkillCall


@pytest.fixture(autouse=True)
def _less_patience(monkeypatch):
    """Twice the turns are enough for what is tested here."""
    monkeypatch.setattr(replaced, "UNLIMITED_TURNS_RATIO", 2)


RED_CUBE, BLUE_CUBE, BOWL = (make_spec(*names) for names in (("cube", "red"), ("cube", "blue"), ("bowl", "white")))


def scene(task="put", seed=3, level=2, **kwargs):
    env = make_env(RunConfig(task, level, policy="oracle", **kwargs))
    env.reset(seed=seed)
    return env


def by_oracle(task, seed, level=1, act=None, **kwargs):
    config = RunConfig(task, level, policy="oracle", **kwargs)
    env = make_env(config)
    (episode,) = drive([play(env, make_policy(config, env, seed, None), RunInfo(config, seed), act=act)])
    return episode


@pytest.mark.parametrize("label", ["red cube", "the red block", "Red Cube", "cubo rojo", "红色方块", "red"])
def test_a_label_names_a_thing_in_many_words(label):
    assert find_labelled(label, [RED_CUBE, BLUE_CUBE, BOWL]) == ("red_cube",)


@pytest.mark.parametrize("label", ["", "cube", "green cube", "place next to the red cube", "the thing", "free place"])
def test_a_label_that_fits_nothing_or_several_things_names_none(label):
    assert find_labelled(label, [RED_CUBE, BLUE_CUBE, BOWL]) == ()


def test_a_place_with_a_letter_is_called_by_it_and_a_parcel_is_not():
    parcel = replace(RED_CUBE, shape="parcel", top="A")
    places = [replace(BOWL, top="A"), replace(make_spec("box", "red"), top="B"), parcel]
    for label in ("A", "bin A", "container A", "the bowl A"):
        assert find_labelled(label, places) == (BOWL.id,)
    assert find_labelled("bin C", places) == ()


def test_the_oracle_hits_what_it_means_and_a_point_elsewhere_does_not():
    env = scene()
    truth = GroundTruth(env)
    call = truth.call
    assert call is not None and truth.agrees(call)
    point, intent = call.args["at"], truth.intent(call, "at")
    assert truth.hits(point, intent) and truth.error_m(point, intent) == 0.0
    for name in truth.specs:
        other = oracle_point(env.body, name)
        if name not in intent and other is not None:
            wrong = replace(other, label=point.label)
            assert not truth.hits(wrong, intent) and truth.true_point(wrong, intent) == point
            assert truth.error_m(wrong, intent) > 0.04
            assert not truth.agrees(SkillCall(call.name, {"at": other}))
            assert truth.agrees(SkillCall(call.name, {"at": wrong}))  # the plan is right, the point is not


def test_a_ray_meets_a_plane_where_the_camera_sees_it():
    env = scene()
    for placement in env.setup.scene.objects:
        point = oracle_point(env.body, placement.spec.id)
        assert np.linalg.norm(on_plane(env.body, point, placement.pos[2]) - placement.pos[:2]) < 0.025
        assert ObjectViews(env.body).object_at(point) == placement.spec.id


LONGER = [("stack", 3), ("sort", 2), ("deliver", 3), ("tidy", 2)]
EASIEST = [(task, 1) for task in list_names("tasks")] + [pytest.param(*each, marks=pytest.mark.slow) for each in LONGER]


@pytest.mark.parametrize(("task", "level"), EASIEST)
def test_ideal_hands_do_what_the_oracle_wants(task, level):
    episode = by_oracle(task, 1, level, IdealHands())
    assert episode.outcome is Outcome.SUCCESS
    assert all(result.ok for turn in episode.turns for result in turn.results)


@pytest.mark.parametrize("perturbations", ["slip:2", "slip:3"])
def test_ideal_hands_lose_nothing(perturbations):
    usual, ideal = (by_oracle("put", 2, act=act, perturbations=parse(perturbations)) for act in (None, IdealHands()))
    assert ideal.outcome is Outcome.SUCCESS and len(ideal.turns) == 3 < len(usual.turns)


def test_ideal_hands_move_nothing_but_what_they_are_told_to():
    env = scene("stack", 5)
    hands, tell, before = IdealHands(), Tell(env, []), env.body.state()
    step = env.setup.goal.solve(before)[0]
    assert hands(env.body, oracle_call(env.body, step), tell).ok
    after = env.body.state()
    assert after.holding == step.args["at"]
    others = [name for name in before.objects if name != after.holding]
    assert max(np.linalg.norm(after[name].pos - before[name].pos) for name in others) < 1e-3


def test_ideal_hands_do_not_help_a_wrong_call():
    env = scene()
    hands, tell = IdealHands(), Tell(env, [])
    container = next(p.spec.id for p in env.setup.scene.objects if p.spec.container)
    wrong = [
        SkillCall("pick", {"at": ImagePoint(0.5, 0.02)}),
        SkillCall("pick", {"at": ImagePoint(1.5, 0.5)}),
        SkillCall("pick", {"at": ImagePoint(0.5, 0.5, "", "nowhere")}),
        SkillCall("pick", {"at": oracle_point(env.body, container)}),
        SkillCall("place", {"at": oracle_point(env.body, container)}),
        SkillCall("pick", {}),
    ]
    before = env.body.data.qpos[-7:].copy()
    for call in wrong:
        result = hands(env.body, call, tell)
        assert not result.ok and result.detail
    assert np.allclose(env.body.data.qpos[-7:], before, atol=1e-3)


def test_without_safety_a_number_passes_and_nothing_else_does():
    body = scene().body
    free = UnlimitedSafety(body.kinematics)
    far = Control(body.hold().qpos + 3.0, 1.0)
    target, clamps = free.limit(far, body.target, body.target.qpos)
    assert np.array_equal(target.qpos, far.qpos) and clamps == () and target.gripper == body.arm.max_gap
    lost, _ = free.limit(Control(far.qpos * np.nan, np.nan), body.target, body.target.qpos)
    assert np.array_equal(lost.qpos, body.target.qpos)


LENGTHY = ("perception",)  # to be played until they fail; the benchmark has all of them


@pytest.mark.parametrize(
    "broken", [pytest.param(name, marks=pytest.mark.slow) if name in LENGTHY else name for name in AGENT_MODULES]
)
def test_what_was_broken_is_named(broken):
    case, episode = next(failed(BREAKAGE_OF_MODULE[broken], "stack", 1, iter(range(20))))
    found = attribute(case)
    assert found.cause == broken and found.same, found
    assert found.tried["nothing"] == str(episode.outcome) and found.tried[broken] == "success"
    assert set(AGENT_MODULES) <= set(found.tried) and found.why


def test_two_broken_parts_are_told_as_an_interaction():
    confused, few = BREAKAGE_OF_MODULE["plan"], BREAKAGE_OF_MODULE["time"]
    both = replace(confused, spoil=few.spoil)
    found = [attribute(case) for case, _ in failed(both, "stack", 1, iter(range(2)))]
    assert {each.cause for each in found} == {"plan+time"}
    assert all(each.tried[name] != "success" for each in found for name in AGENT_MODULES)


def test_what_never_went_wrong_is_not_replayed():
    case, _ = next(failed(BREAKAGE_OF_MODULE["format"], "put", 1, iter(range(5))))
    made = []
    found = attribute(Case(case.episode, lambda: made.append(1) or case.env(), case.policy))
    assert found.cause == "format" and len(found.tried) == 1 + len(AGENT_MODULES)
    assert len(made) < len(found.tried)


def test_a_crash_and_words_without_a_goal_need_no_replay():
    case, episode = next(failed(BREAKAGE_OF_MODULE["plan"], "put", 1, iter(range(5))))
    crashed = replace(episode, outcome=Outcome.CRASHED, detail="Traceback\nValueError: no")
    assert attribute(replace(case, episode=crashed)).cause == EPISODE_CRASHED
    unjudged = attribute(replace(case, episode=replace(episode, outcome=Outcome.UNJUDGED)))
    assert unjudged.cause == TASK_UNCLEAR and unjudged.tried == {}


def test_a_replay_that_crashes_is_told_as_a_crash_and_not_as_an_unclear_task(monkeypatch):
    case, _ = next(failed(BREAKAGE_OF_MODULE["plan"], "put", 1, iter(range(5))))

    class Careless:
        def __init__(self, policy):
            self.policy = policy

        def __getattr__(self, name):
            return getattr(self.policy, name)

        def decide(self, obs, history):
            raise ValueError("careless")

    found = attribute(replace(case, policy=lambda env: Careless(case.policy(env))))
    assert (found.cause, found.same) == (EPISODE_CRASHED, False) and found.why == "Played again: ValueError: careless"
    monkeypatch.setattr(replaced, "plain_words", lambda env, truth: 1 / 0)
    monkeypatch.setattr(replaced, "_shifted", lambda point, by: 1 / 0)
    found = attribute(case)
    assert found.cause == EPISODE_CRASHED and found.same and "Played by the oracle: ZeroDivisionError" in found.why


def fickle():
    """A model that never says the same twice, and is always wrong."""
    said = iter(range(10**6))

    def reply(prompt):
        return Completion(
            '<tool_call>\n{"name": "pick", "arguments": {"at": {"label": "thing", "point_2d": '
            f"[{100 + next(said)}, 20]}}}}}}\n</tool_call>"
        )

    return Scripted(reply)


def test_the_record_answers_and_nothing_is_asked_twice(tmp_path):
    backend, config = fickle(), RunConfig("put", policy="vlm")
    env = make_env(config)
    (episode,) = drive([play(env, make_policy(config, env, 3, backend), RunInfo(config, 3))], backend)
    Trace(tmp_path).append(episode)
    stored = read_at(tmp_path, 0)
    assert set(recorded_answers(stored)) == set(recorded_answers(episode))
    asked = []

    class Counting:
        def generate(self, prompts):
            asked.extend(map(prompt_hash, prompts))
            return backend.generate(prompts)

    (found,) = drive([find_cause(case_of(stored, backend))], Counting())
    assert found.same and found.tried["nothing"] == str(episode.outcome)
    assert not set(asked) & set(recorded_answers(stored)) and len(asked) == len(set(asked))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Two episodes of a policy that does nothing."""
    folder = tmp_path_factory.mktemp("idle")
    list(evaluate(plan(RunConfig(policy="idle"), tasks="put", seeds=2), folder))
    return folder


def test_an_interrupted_attribution_goes_on_and_the_report_reads_it(ledger):
    first = attribute_all(ledger)
    told = next(first)
    assert (told.done, told.total) == (1, 2)
    first.close()
    path = ledger / ATTRIBUTION_FILE
    before = path.read_text()
    path.write_text(before + before[:40])  # as if killed in the middle of a line
    rest = list(attribute_all(ledger))
    assert [(each.done, each.total) for each in rest] == [(2, 2)]
    assert path.read_text().startswith(before) and len(findings(ledger)) == 2
    assert list(attribute_all(ledger)) == []
    assert {line["cause"] for line in findings(ledger).values()} == {"plan"}
    assert [record.cause.name for record in read_run(ledger).records if record.cause] == ["plan", "plan"]


def test_the_command_tells_the_causes_by_task(ledger, capsys):
    assert main(["attribute", str(ledger)]) == 0
    shown = capsys.readouterr().out
    assert "plan" in shown and "put" in shown and "unchanged" in shown and ATTRIBUTION_FILE in shown
    assert main(["attribute", str(ledger), "--roles", "vlm"]) == 2


def test_every_line_names_its_perturbation(tmp_path, capsys):
    list(evaluate(plan(RunConfig(policy="idle"), tasks="put", seeds=1, perturbations="look:2"), tmp_path))
    told = {each.failed.key.perturbations: str(each) for each in attribute_all(tmp_path)}
    assert set(told) == {"", "look:2"}
    assert "look:2" in told["look:2"] and "look" not in told[""]
    assert main(["attribute", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "look:2" in shown and "unchanged" in shown


def test_whose_failures_are_meant(ledger, tmp_path):
    assert {each.role for each in failures(ledger)} == {"idle"}
    with pytest.raises(BadInput, match="idle"):
        list(failures(ledger, [MODEL_ROLE]))
    with pytest.raises(BadInput, match="holds no episode"):
        list(attribute_all(tmp_path))


def test_ideal_hands_know_every_skill_that_acts_on_things():
    points = {spec.name: sum(p.kind == "point" for p in spec.params) for spec in specs()}
    assert {name: n for name, n in points.items() if n and name != "move_to"} == POINT_COUNT
