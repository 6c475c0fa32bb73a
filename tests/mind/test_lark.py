"""Whatever follows the grammar is read without a repair, and whatever this project writes follows it."""

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.checkpoints.processor import load_processor
from qwenarm.mind.constrained.lark import THOUGHT_END, Grammars, _up_to
from qwenarm.mind.coordinates import Relative
from qwenarm.mind.families import MODEL_FAMILIES, Family
from qwenarm.mind.inference.answer import GeneratedAnswer
from qwenarm.mind.parsing.parse import NOTE_AFTER_END, parse
from qwenarm.mind.prompt.messages import frame_sizes, render, to_prompt
from qwenarm.mind.prompt.presets import BUNDLED_PRESET, QWEN_PRESET, at_altitude
from qwenarm.types import Decision, ImagePoint, SkillCall

BY_NAME = {family.name: family for family in MODEL_FAMILIES}
SIZES = {"front": (64, 96), "wrist": (96, 64)}
WORDS = st.text("abc XYZ 123,.:;-äß中文😀'", min_size=1, max_size=40).map(lambda text: f"a{text}z")
JSON_TEXTS = st.dictionaries(WORDS, st.lists(st.integers(0, 99) | WORDS, max_size=2), max_size=1).map(
    lambda value: json.dumps(value, ensure_ascii=False)
)
POINTS = st.builds(ImagePoint, st.floats(0, 1), st.floats(0, 1), WORDS, st.sampled_from(sorted(SIZES)))
CALLS = st.one_of(
    st.builds(lambda at: SkillCall("pick", {"at": at}), POINTS),
    st.builds(lambda at: SkillCall("push", {"at": at}), POINTS),
    st.builds(lambda at, far: SkillCall("push", {"at": at, "distance": far / 8}), POINTS, st.integers(-800, 800)),
    st.sampled_from(["left", "right"]).map(lambda way: SkillCall("turn", {"way": way})),
    st.one_of(WORDS, JSON_TEXTS).map(lambda text: SkillCall("say", {"text": text})),
    st.just(SkillCall("done")),
)


@cache
def tokenizer():
    return load_processor(locate("bundled")).tokenizer


@cache
def grammars(family: Family) -> Grammars:
    return Grammars(tokenizer(), len(tokenizer()), [tokenizer().eos_token_id], family)


@cache
def brief() -> np.ndarray:
    """Whether a token ends a string, a prose or a thought: (vocabulary,) bool."""
    return np.array([bool(re.search(r'["\n<]', tokenizer().decode([token]))) for token in range(len(tokenizer()))])


def ask(look, specs, family, altitude="step", cameras=("front",)):
    """A prompt, and the sizes of its frames; those of several cameras differ."""
    preset = replace(at_altitude(BUNDLED_PRESET, altitude), cameras=cameras)
    observation = look(cameras=cameras)
    frames = tuple(replace(frame, rgb=np.zeros((*SIZES[frame.camera], 3), np.uint8)) for frame in observation.frames)
    observation = replace(observation, frames=frames)
    return to_prompt(observation, (), specs, family, preset), frame_sizes(observation, preset)


def babble(prompt, family, rng, *, thinking=False, limit=150) -> GeneratedAnswer:
    """An answer of random tokens: now anything that is allowed, now what ends it soon."""
    end = tokenizer().convert_tokens_to_ids(THOUGHT_END) if thinking else None
    answer = GeneratedAnswer(limit, [tokenizer().eos_token_id], grammars(family).matcher(prompt, thinking), end)
    answer.begin()
    for _ in range(4000):
        if answer.finish:
            return answer
        bits = np.full((len(tokenizer()) + 31) // 32, -1, np.int32)
        answer.allow(bits)
        allowed = np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little")[: len(tokenizer())])
        soon = allowed[brief()[allowed]]
        answer.take(int(rng.choice(soon if len(soon) and rng.random() < 0.1 else allowed)))
    raise AssertionError("the answer does not end")


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize(
    ("altitude", "cameras"), [("step", ("front",)), ("step", ("front", "wrist")), ("plan", ("front",))]
)
@pytest.mark.parametrize("name", BY_NAME)
def test_random_answers_are_calls(look, specs, name, altitude, cameras, thinking):
    family, rng = BY_NAME[name], np.random.default_rng(7)
    prompt, sizes = ask(look, specs, family, altitude, cameras)
    seen = set()
    for _ in range(6):
        answer = babble(prompt, family, rng, thinking=thinking)
        text = tokenizer().decode(answer.tokens)
        decision = parse(text, specs, family, sizes, max_calls=prompt.max_calls, finish=answer.finish)
        assert (decision.error, answer.finish) == (None, "stop"), text
        assert set(decision.notes) <= {NOTE_AFTER_END}, text  # chance goes on behind done
        assert 1 <= len(decision.calls) <= prompt.max_calls
        seen |= {call.name for call in decision.calls}
    assert len(seen) > 1


def accepts(prompt, family, text) -> bool:
    matcher = grammars(family).matcher(prompt, False)
    tokens = tokenizer()(text)["input_ids"]
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize("name", BY_NAME)
@given(calls=st.lists(CALLS, min_size=1, max_size=3))
def test_what_is_rendered_is_allowed(look, specs, name, calls):
    family = BY_NAME[name]
    prompt, sizes = ask(look, specs, family, "plan", ("front", "wrist"))
    text = render(Decision(calls=tuple(calls)), family, sizes)
    assert accepts(prompt, family, text), text


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_refused(look, specs, name):
    family = BY_NAME[name]
    prompt, sizes = ask(look, specs, family)

    def written(*calls):
        return render(Decision(calls=calls), family, sizes)

    good = written(SkillCall("pick", {"at": ImagePoint(0.5, 0.5, "red cube")}))
    far = family.codec.span(sizes["front"])[0] + 1
    assert accepts(prompt, family, good)
    assert not accepts(prompt, family, good.replace("pick", "juggle"))
    assert not accepts(prompt, family, re.sub(r"\[\d+", f"[{far}", good))
    assert not accepts(prompt, family, re.sub(r"\[\d+", "[007", good))
    assert not accepts(prompt, family, good.replace("red cube", "x" * 65))
    assert not accepts(prompt, family, good[:-1])
    assert not accepts(prompt, family, written(SkillCall("done"), SkillCall("done")))
    assert not accepts(prompt, family, written(SkillCall("turn", {"way": "up"})))
    assert accepts(prompt, family, f"I see it.\n{good}") == (family.dialect == "xml")


def test_a_picture_of_no_camera_is_not_pointed_into(look, specs):
    for name in BY_NAME:
        prompt, sizes = ask(look, specs, BY_NAME[name])
        goal = replace(prompt, images=(*prompt.images, np.zeros((480, 640, 3), np.uint8)))
        far = SkillCall("pick", {"at": ImagePoint(1, 1, "cube")})
        text = render(Decision(calls=(far,)), BY_NAME[name], sizes)
        assert accepts(goal, BY_NAME[name], text)
        assert not accepts(goal, BY_NAME[name], re.sub(r"\[\d+", "[1001", text))


def test_each_camera_has_its_own_numbers(look, specs):
    family = BY_NAME["qwen2_5_vl"]
    wide = replace(family, codec=replace(family.codec, min_pixels=28 * 28))
    prompt, sizes = ask(look, specs, wide, cameras=("front", "wrist"))
    assert wide.codec.span(sizes["front"]) == (84, 56)
    for camera, fits in (("front", True), ("wrist", False)):
        call = SkillCall("pick", {"at": ImagePoint(80 / 84, 50 / 56, "cube", "front")})
        text = render(Decision(calls=(call,)), wide, sizes)
        assert "[80, 50]" in text
        assert accepts(prompt, wide, text.replace('"front"', f'"{camera}"')) == fits


@given(st.integers(0, 20_000))
@example(0)
@example(9)
@example(10)
@example(100)
@example(1000)
def test_numbers_up_to(full):
    pattern = re.compile(_up_to(full)[1:-1])
    near = {*range(0, 120), *range(max(0, full - 120), full + 120), 10 * full, 10 * full + 9, 99_999}
    assert {number for number in near if pattern.fullmatch(str(number))} == {
        number for number in near if number <= full
    }
    assert not any(pattern.fullmatch(text) for text in ("", "00", "01", "-1", "1.0", f"0{full}"))


def test_most_of_a_call_is_not_decoded(look, specs):
    """The bundled model's skeleton: it chooses the skill, the two words, the end of the label and the two numbers."""
    family = BY_NAME["qwen3_vl"]
    assert family.codec == Relative(1000)
    prompt, sizes = ask(look, specs, family)
    tokens = tokenizer()(
        render(Decision(calls=(SkillCall("pick", {"at": ImagePoint(0.5, 0.7, "red cube")}),)), family, sizes)
    )
    answer = GeneratedAnswer(80, [tokenizer().eos_token_id], grammars(family).matcher(prompt, False))
    answer.begin()
    chosen = 0
    while not answer.finish:
        answer.take(tokens["input_ids"][len(answer.tokens)])
        chosen += 1
    assert answer.tokens == tokens["input_ids"]  # forced tokens are the ones that the model was trained on
    assert (chosen, len(answer.tokens)) == (7, 15)


def test_the_preset_for_any_model_has_a_grammar(look, specs):
    prompt = to_prompt(look(), (), specs, BY_NAME["qwen3_5"], replace(QWEN_PRESET, skills=()))
    assert not grammars(BY_NAME["qwen3_5"]).matcher(prompt, False).is_error()
