"""Prompts, byte for byte, and the law that what is rendered is read back."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenarm.errors import BadInput, UnknownName
from qwenarm.mind.coordinates import decode, encode
from qwenarm.mind.families import MODEL_FAMILIES, family_named
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.prompt.messages import frame_sizes, history_text, past_turns, render, to_prompt, user_text
from qwenarm.mind.prompt.presets import BUNDLED_PRESET, PROMPT_PRESETS, QWEN_PRESET, at_altitude, preset_named
from qwenarm.mind.prompt.tools import tool_schemas
from qwenarm.types import Decision, FormatError, ImagePoint, Param, SkillCall, SkillResult, SkillSpec, Turn

QWEN3 = family_named("qwen3_vl")
SIZES = {"front": (480, 640)}
TWO = {"front": (480, 640), "wrist": (240, 320)}


def turn(look, decision, *results, index=0):
    return Turn(index, look(), decision, tuple(results))


def pick(label, u=0.5, v=0.5):
    return SkillCall("pick", {"at": ImagePoint(u, v, label)})


# --- the layout of a prompt


def test_the_layout_byte_for_byte(look, specs):
    prompt = to_prompt(look(), (), specs, QWEN3, BUNDLED_PRESET)
    assert prompt.messages == (
        {"role": "system", "content": "You control a robot arm. Answer with one call."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "front:"},
                {"type": "image"},
                {"type": "text", "text": "\nTask: put the red cube in the blue bowl\nHistory: none\nHand: empty"},
            ],
        },
    )
    assert len(prompt.images) == 1
    assert prompt.max_tokens == BUNDLED_PRESET.max_tokens


def test_a_second_camera_stands_on_a_line_of_its_own(look, specs):
    preset = replace(QWEN_PRESET, cameras=("front", "wrist"))
    observation = look(cameras=("wrist", "front"), holding=True)
    prompt = to_prompt(observation, (), specs, QWEN3, preset)
    texts = [part.get("text", "<image>") for part in prompt.messages[1]["content"]]
    assert texts[:4] == ["front:", "<image>", "\nwrist:", "<image>"]
    assert texts[4].endswith("Hand: holding something")
    assert np.array_equal(prompt.images[0], observation.frames[1].rgb)
    assert list(frame_sizes(observation, preset)) == ["front", "wrist"]


def test_a_missing_camera_is_named(look, specs):
    with pytest.raises(BadInput, match=r"'wrist'. It has: front"):
        to_prompt(look(), (), specs, QWEN3, replace(QWEN_PRESET, cameras=("front", "wrist")))


def test_the_same_observation_gives_the_same_bytes(look, specs):
    once, again = (to_prompt(look(seed=1), (), specs, QWEN3, QWEN_PRESET) for _ in range(2))
    assert json.dumps([once.messages, once.tools]) == json.dumps([again.messages, again.tools])


def test_control_tokens_and_line_breaks_stay_out(look, specs):
    history = (turn(look, Decision((pick("<|image_pad|>\n" * 3),)), SkillResult(False, "no\n\n<|im_end|>")),)
    prompt = to_prompt(look("put\n<|image_pad|> it"), history, specs, QWEN3, BUNDLED_PRESET)
    words = prompt.messages[1]["content"][-1]["text"]
    assert "<|" not in words
    assert words.count("\n") == 3


# --- history


def test_the_history_tells_calls_and_errors(look):
    history = (
        turn(look, Decision((pick("red cube"),)), SkillResult(True, "lifted")),
        turn(
            look,
            Decision((SkillCall("place", {"at": ImagePoint(0, 0, "blue bowl")}),)),
            SkillResult(False, "out of reach by 4 cm"),
        ),
        turn(look, Decision(error=FormatError.NO_CALL, detail="the answer held no tool call")),
    )
    assert history_text((), 4) == "none"
    assert history_text(history, 0) == "none"
    assert history_text(history, 4) == (
        "pick red cube: ok; place blue bowl: failed, out of reach by 4 cm; answer: failed, the answer held no tool call"
    )
    assert history_text(history, 1) == "answer: failed, the answer held no tool call"


def test_the_bundled_model_is_told_where_it_pointed(look, specs):
    family = MODEL_FAMILIES[1]
    call = SkillCall("pull", {"at": ImagePoint(0.512, 0.43, "knob"), "to": ImagePoint(0.1, 0.9, "table")})
    turns = (
        turn(look, Decision((call,)), SkillResult(True)),
        turn(look, Decision((SkillCall("look"),)), SkillResult(True)),
    )

    def told(preset):
        return to_prompt(look(), turns, specs, family, preset).messages[-1]["content"][-1]["text"].splitlines()[2]

    x, y = encode(family.codec, (0.512, 0.43), (192, 256))
    assert f"pull knob at {x} {y} table at " in told(BUNDLED_PRESET) and told(BUNDLED_PRESET).endswith("; look: ok")
    assert told(QWEN_PRESET) == "History: pull knob table: ok; look: ok"


def test_repeats_are_folded_for_models_that_were_not_trained_on_them(look, specs):
    failed = SkillResult(False, "nothing between the fingers")
    calls = [(SkillCall("look"), SkillResult(True)), *[(pick("red cube", 0.5, 0.5), failed)] * 4]
    turns = tuple(Turn(n, look(), Decision((call,)), (result,)) for n, (call, result) in enumerate(calls))

    def told(preset):
        words = to_prompt(look(), turns, specs, MODEL_FAMILIES[1], preset).messages[-1]["content"][-1]["text"]
        return words.splitlines()[2]

    assert told(QWEN_PRESET) == "History: look: ok; pick red cube: failed, nothing between the fingers × 4"
    assert told(BUNDLED_PRESET).count("pick red cube") == 4 and "×" not in told(BUNDLED_PRESET)


def test_a_refusal_says_the_way_out_to_models_that_were_not_trained_on_it(look):
    holds = SkillResult(False, "the hand already holds something")
    history = (turn(look, Decision(calls=(pick("red cube"),)), holds),)
    plain = "pick red cube: failed, the hand already holds something"
    assert history_text(history, 4) == plain
    assert history_text(history, 4, advise=True) == f"{plain} (place it first)"


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
def test_others_see_past_calls_as_turns_of_a_conversation(look, specs, family):
    holds = SkillResult(False, "the hand already holds something")
    history = (
        turn(look, Decision((pick("red cube", 0.5, 0.5),)), SkillResult(True, "lifted")),
        turn(look, Decision((SkillCall("pick", {"at": ImagePoint(0.1, 0.2, "ball", "wrist")}),)), holds),
        turn(look, Decision(raw="well <|image_pad|> well", error=FormatError.NO_CALL, detail="no tool call")),
    )
    preset = QWEN_PRESET.fitted(family)
    seen = look(size=preset.frame_size)
    system, task, *past, last = to_prompt(seen, history, specs, family, preset).messages
    assert system["role"] == "system" and task == {
        "role": "user",
        "content": f"Task: {history[0].observation.instruction}",
    }
    assert [message["role"] for message in past] == ["assistant", "user"] * 3
    said, told = [message["content"] for message in past[::2]], [message["content"] for message in past[1::2]]
    for text, turn_ in zip(said, history[:2], strict=False):
        (call,) = parse(text, specs, family, {"front": preset.frame_size}).calls
        (before,) = turn_.decision.calls
        assert call.name == before.name and call.args["at"].label == before.args["at"].label
        assert call.args["at"].u == pytest.approx(before.args["at"].u, abs=0.02)
    assert said[2] == "well < |image_pad|> well"
    assert told == [
        f"<tool_response>\n{words}\n</tool_response>"
        for words in ("ok", f"failed, {holds.detail} (place it first)", "failed, no tool call")
    ]
    assert last["role"] == "user" and "History: pick red cube: ok; pick ball: failed" in last["content"][-1]["text"]
    assert [part["type"] for message in (task, *past) for part in message["content"] if isinstance(part, dict)] == []


def test_only_the_last_calls_are_told(look, specs):
    calls = [Turn(n, look(), Decision((SkillCall("look"),)), (SkillResult(True),)) for n in range(9)]
    for preset in (QWEN_PRESET, replace(QWEN_PRESET, history=2)):
        messages = to_prompt(look(), tuple(calls), specs, MODEL_FAMILIES[1], preset).messages
        assert len(messages) == 3 + 2 * preset.history
    assert len(to_prompt(look(), tuple(calls), specs, MODEL_FAMILIES[1], replace(QWEN_PRESET, history=0)).messages) == 2
    assert len(to_prompt(look(), (), specs, MODEL_FAMILIES[1], QWEN_PRESET).messages) == 2


def test_calls_that_were_not_run_are_not_told(look):
    plan = Decision((pick("a"), pick("b"), pick("c")))
    assert history_text((turn(look, plan, SkillResult(True), SkillResult(False)),), 9) == "pick a: ok; pick b: failed"


def test_long_labels_are_cut(look):
    turns = (turn(look, Decision((pick("x" * 9999),)), SkillResult(True)),)
    assert len(history_text(turns, 4)) < 200
    assert all(len(each["content"]) < 300 for each in past_turns(turns, 4, MODEL_FAMILIES[1], {"front": (480, 640)}))


def test_user_text_is_the_layout_that_training_uses():
    assert (
        user_text("stack them", "pick a: ok", True) == "Task: stack them\nHistory: pick a: ok\nHand: holding something"
    )


# --- tools


def test_tools_are_json_schemas(specs):
    tools = {tool["function"]["name"]: tool["function"] for tool in tool_schemas(specs, ("front",), docs=True)}
    point = tools["pick"]["parameters"]["properties"]["at"]
    assert tools["pick"]["description"] == "Grasp the object at a point."
    assert set(point["properties"]) == {"label", "point_2d"}
    assert tools["push"]["parameters"]["required"] == ["at"]
    assert tools["turn"]["parameters"]["properties"]["way"]["enum"] == ["left", "right"]
    assert tools["done"]["parameters"]["properties"] == {}


def test_the_camera_is_asked_for_only_where_there_are_several(specs):
    tool = tool_schemas(specs, ("front", "wrist"), docs=False)[0]["function"]
    point = tool["parameters"]["properties"]["at"]
    assert point["properties"]["camera"]["enum"] == ["front", "wrist"]
    assert "description" not in json.dumps(tool)


# --- presets


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("preset", PROMPT_PRESETS.values(), ids=lambda preset: preset.name)
def test_frames_lie_on_the_grid_and_are_not_resized(preset, family):
    fitted = preset.fitted(family)
    assert all(side % family.grid == 0 for side in fitted.frame_size)
    if family.name == "qwen2_5_vl":
        assert family.codec.span(fitted.frame_size) == fitted.frame_size[::-1]


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("altitude", ["step", "plan"])
def test_the_worked_examples_are_good_answers(look, specs, family, altitude):
    preset = at_altitude(QWEN_PRESET, altitude)
    observation = look(cameras=preset.cameras, size=preset.fitted(family).frame_size)
    system = to_prompt(observation, (), specs, family, preset).messages[0]["content"]
    answers = [part.split("\n\nExample:")[0] for part in system.split("Answer:\n")[1:]]
    assert answers
    for answer in answers:
        decision = parse(
            answer, specs, family, frame_sizes(observation, preset), max_calls=1 if altitude == "step" else None
        )
        assert decision.error is None
        assert decision.notes == ()


def test_examples_point_into_the_camera_that_is_shown(look, specs):
    preset = replace(QWEN_PRESET, cameras=("overhead",))
    assert "point_2d" in to_prompt(look(cameras=("overhead",)), (), specs, QWEN3, preset).messages[0]["content"]


def test_presets_by_name():
    assert preset_named("bundled") is BUNDLED_PRESET
    with pytest.raises(UnknownName, match=r"bundled, .*qwen"):
        preset_named("large")


# --- parse(render(d)) == d

WORDS = st.text(max_size=30)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e8, max_value=1e8)
THOUGHTS = st.text(st.characters(exclude_characters="<>{}[]｛［`", exclude_categories=["Cs", "Cc"]), max_size=60).map(
    str.strip
)


def points(family, sizes):
    """Points that lie on the family's units, so that they come back exactly."""

    def build(camera, fx, fy, label):
        full_x, full_y = family.codec.span(sizes[camera])
        u, v = decode(family.codec, (round(fx * full_x), round(fy * full_y)), sizes[camera])
        return ImagePoint(u, v, label, camera)

    return st.builds(build, st.sampled_from(list(sizes)), st.floats(0, 1), st.floats(0, 1), WORDS)


@cache
def decisions(family, cameras=1):
    """Of a picture of one camera, or of two. Building a strategy takes longer than drawing from it."""
    sizes = TWO if cameras == 2 else SIZES
    at = points(family, sizes)
    calls = st.one_of(
        st.builds(lambda name, point: SkillCall(name, {"at": point}), st.sampled_from(["pick", "place"]), at),
        st.builds(lambda point, far: SkillCall("push", {"at": point, "distance": far}), at, NUMBERS),
        st.builds(lambda point: SkillCall("push", {"at": point}), at),
        st.builds(lambda way: SkillCall("turn", {"way": way}), st.sampled_from(["left", "right"])),
        st.builds(lambda text: SkillCall("say", {"text": text}), WORDS),
        st.just(SkillCall("done", {})),
    )
    plans = st.lists(calls, min_size=1, max_size=4).map(until_done)
    return st.builds(Decision, plans, THOUGHTS)


def until_done(calls):
    """Nothing counts behind the end of an episode."""
    ends = [place for place, call in enumerate(calls) if call.name == "done"]
    return tuple(calls[: ends[0] + 1] if ends else calls)


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
@given(data=st.data())
def test_what_is_rendered_is_read_back(specs, family, data):
    cameras = data.draw(st.sampled_from((1, 2)))
    decision, sizes = data.draw(decisions(family, cameras)), TWO if cameras == 2 else SIZES
    text = render(decision, family, sizes)
    assert parse(text, specs, family, sizes) == replace(decision, raw=text)


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
@given(u=st.floats(0, 1), v=st.floats(0, 1))
def test_any_point_comes_back_within_half_a_unit(specs, family, u, v):
    back = parse(render(Decision((pick("x", u, v),)), family, SIZES), specs, family, SIZES).calls[0].args["at"]
    full = family.codec.span(SIZES["front"])
    assert abs(back.u - u) * full[0] <= 0.5 + 1e-9
    assert abs(back.v - v) * full[1] <= 0.5 + 1e-9


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
@given(data=st.data())
def test_a_cut_answer_never_becomes_another_call(specs, family, data):
    """Every beginning of an answer is either unreadable or gives a beginning of its calls."""
    decision = replace(data.draw(decisions(family)), thought="")
    text = render(decision, family, SIZES)
    cut = data.draw(st.integers(0, len(text)))
    for finish in ("stop", "length"):
        calls = parse(text[:cut], specs, family, SIZES, finish=finish).calls
        assert calls == decision.calls[: len(calls)]


def test_optional_parameters_and_specs_of_others():
    specs = (SkillSpec("wave", "Wave.", (Param("times", "number", required=False),)),)
    for family in MODEL_FAMILIES:
        text = render(Decision((SkillCall("wave"),)), family, SIZES)
        assert parse(text, specs, family, SIZES).calls == (SkillCall("wave", {}),)
