"""Policies at both altitudes, without a model and without a simulator."""

import pytest

from qwenarm.errors import UnknownName
from qwenarm.mind.backends.scripted import Scripted
from qwenarm.mind.families import MODEL_FAMILIES
from qwenarm.mind.prompt.messages import render
from qwenarm.mind.prompt.presets import BUNDLED_PRESET, QWEN_PRESET
from qwenarm.mind.vlm_policy import THINKING_TOKENS, VlmPolicy, relayed
from qwenarm.types import Decision, FormatError, ImagePoint, SkillCall, SkillResult, Turn

SIZES = {"front": (64, 96)}


def pick(label):
    return SkillCall("pick", {"at": ImagePoint(0.5, 0.5, label)})


def place(label):
    return SkillCall("place", {"at": ImagePoint(0.25, 0.75, label)})


DONE = SkillCall("done", {})
PLAN = (pick("red cube"), place("blue bowl"), DONE)
OK, NO = SkillResult(True), SkillResult(False, "nothing between the fingers")


class Table:
    """Plays a policy against hand-made results, turn by turn."""

    def __init__(self, policy, look):
        self.policy, self.look = policy, look
        self.turns: tuple[Turn, ...] = ()
        self.asked = 0

    def turn(self, *results, holding=False, instruction="put the red cube in the blue bowl"):
        observation = self.look(instruction, holding=holding)
        deciding = self.policy.decide(observation, self.turns)
        completions, reply = [], None
        while True:
            try:
                prompt = deciding.send(reply)
            except StopIteration as end:
                self.turns += (Turn(len(self.turns), observation, end.value, results, tuple(completions)),)
                return end.value
            self.asked += 1
            reply = self.policy.backend.generate([prompt])[0]
            completions.append(reply)


def text(family, *calls):
    return render(Decision(calls), family, SIZES)


@pytest.fixture
def table(look, specs):
    def build(*answers, altitude="step", family=MODEL_FAMILIES[1], preset=QWEN_PRESET):
        replies = [answer if isinstance(answer, str) else text(family, *answer) for answer in answers]
        return Table(VlmPolicy(Scripted(replies, family), specs, preset, altitude), look)

    return build


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
def test_a_step_is_one_question_and_one_call(table, family):
    play = table((PLAN[0],), (PLAN[1],), (DONE,), family=family)
    names = [play.turn(OK).calls[0].name, play.turn(OK, holding=True).calls[0].name, play.turn(OK).calls[0].name]
    assert names == ["pick", "place", "done"]
    assert play.asked == 3


def test_of_two_calls_at_a_step_the_first_is_done(table):
    play = table(PLAN, PLAN[1:])
    first = play.turn(OK)
    assert (first.calls, first.error, first.notes) == (PLAN[:1], None, ("first of several calls taken",))
    assert play.turn(OK, holding=True).calls == PLAN[1:2]
    assert play.asked == 2, "the rest is not remembered"


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
def test_a_plan_is_asked_for_once(table, family):
    play = table(PLAN, altitude="plan", family=family)
    calls = [play.turn(OK).calls, play.turn(OK, holding=True).calls, play.turn(OK).calls]
    assert [call.name for (call,) in calls] == ["pick", "place", "done"]
    assert [call.args["at"].label for (call,) in calls[:2]] == ["red cube", "blue bowl"]
    assert play.asked == 1
    assert play.turns[1].decision.raw == ""  # nothing was said in this turn
    assert play.turns[1].decision.thought == "plan, call 2 of 3"


def test_a_failed_call_makes_a_new_plan(table):
    play = table(PLAN, PLAN[1:], altitude="plan")
    play.turn(NO)
    assert play.turn(OK, holding=True).calls == PLAN[1:2]
    assert play.asked == 2
    assert play.turn(OK).calls == (DONE,)
    assert play.asked == 2


def test_a_surprise_makes_a_new_plan(table):
    play = table(PLAN, PLAN, altitude="plan")
    play.turn(OK)
    play.turn(OK, holding=False)  # picked, and yet nothing in the hand
    assert play.asked == 2


def test_another_instruction_makes_a_new_plan(table):
    play = table(PLAN, PLAN, altitude="plan")
    play.turn(OK)
    play.turn(OK, holding=True, instruction="no, put it in the tray")
    assert play.asked == 2


def test_the_end_of_a_plan_makes_a_new_one(table):
    play = table(PLAN[:1], PLAN[1:], altitude="plan")
    play.turn(OK)
    assert play.turn(OK, holding=True).calls == PLAN[1:2]
    assert play.asked == 2


def test_relayed_thinking_is_asked_what_it_is_made_to_and_decides_as_it_did():
    def adding(first, second):
        return (yield first) + (yield second)

    thinking = relayed(adding(1, 2), lambda prompt: 10 * prompt)
    assert next(thinking) == 10 and thinking.send("a") == 20
    with pytest.raises(StopIteration, match="ab"):
        thinking.send("b")


def test_an_unreadable_plan_is_asked_for_again(table):
    play = table("I would pick it.", PLAN, altitude="plan")
    assert play.turn().error is FormatError.NO_CALL
    assert play.turn(OK).calls == PLAN[:1]


def test_a_plan_without_end_is_an_error(table):
    assert table(PLAN[:1] * 40, altitude="plan").turn().error is FormatError.TOO_MANY


def test_the_preset_is_fitted_and_recorded(specs):
    policy = VlmPolicy(Scripted([], "qwen2_5_vl"), specs, QWEN_PRESET)
    assert policy.frame_size == (476, 644)
    facts = policy.describe()
    assert facts["preset"]["frame_size"] == (476, 644)
    assert len(facts["prompt_hash"]) == 64
    assert facts["prompt_hash"] != VlmPolicy(Scripted([]), specs, BUNDLED_PRESET).describe()["prompt_hash"]
    assert facts["prompt_hash"] == VlmPolicy(Scripted([], "qwen2_5_vl"), specs, QWEN_PRESET).describe()["prompt_hash"]


def test_an_unknown_altitude(specs):
    with pytest.raises(UnknownName, match="plan, step"):
        VlmPolicy(Scripted([]), specs, QWEN_PRESET, "joint")


def test_a_thinking_model_gets_room(specs):
    backend = Scripted([])
    backend.thinking = True
    assert VlmPolicy(backend, specs, QWEN_PRESET).preset.max_tokens == THINKING_TOKENS
