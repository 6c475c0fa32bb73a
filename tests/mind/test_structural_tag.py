"""The grammar for servers allows what ``render`` writes, and nothing that ``parse`` would have to refuse."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mind.conftest import SPECS
from tests.mind.fake_server import accepts, shortest

from qwenarm.mind.constrained.structural_tag import structural_tag
from qwenarm.mind.families import MODEL_FAMILIES
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.prompt.messages import call_text, render
from qwenarm.mind.prompt.tools import tool_schemas
from qwenarm.types import Decision, ImagePoint, Prompt, SkillCall

SIZES = {"front": (96, 160), "wrist": (64, 64)}
WORDS = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters='<{["('), min_size=1, max_size=12)
FRACTION = st.floats(0, 1)
POINTS = st.builds(ImagePoint, FRACTION, FRACTION, WORDS, st.just("front"))
CALLS = st.one_of(
    st.builds(lambda at: SkillCall("pick", {"at": at}), POINTS),
    st.builds(lambda at: SkillCall("push", {"at": at}), POINTS),
    st.builds(lambda at, far: SkillCall("push", {"at": at, "distance": far}), POINTS, st.floats(-9, 9)),
    st.builds(lambda way: SkillCall("turn", {"way": way}), st.sampled_from(["left", "right"])),
    st.builds(lambda text: SkillCall("say", {"text": text}), WORDS),
    st.just(SkillCall("done")),
)
THOUGHTS = st.sampled_from(["", "I see it.\n", "<think>\nIs a < b?\n</think>\n\n"])


def form(family, cameras=("front",), max_calls=1):
    images = tuple(np.zeros((*SIZES[camera], 3), np.uint8) for camera in cameras)
    prompt = Prompt((), images, tool_schemas(SPECS, cameras, True), max_calls=max_calls)
    return structural_tag(prompt, family)["format"]


@pytest.mark.parametrize("cameras", [("front",), ("front", "wrist")], ids=len)
@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
@given(call=CALLS, thought=THOUGHTS)
def test_what_render_writes_is_allowed(family, cameras, call, thought):
    text = render(Decision((call,)), family, {camera: SIZES[camera] for camera in cameras})
    assert accepts(form(family, cameras), thought + text)
    assert not accepts(form(family, cameras), thought + text[:-1])
    assert not accepts(form(family, cameras), f"{text}\n{text}")
    assert accepts(form(family, cameras, max_calls=2), f"{text}\n{text}")


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("fly", {}),
        ("pick", {}),
        ("pick", {"at": {"label": "x", "point_2d": [1]}}),
        ("pick", {"at": {"label": "x", "point_2d": [1, -2]}}),
        ("pick", {"at": {"label": "x", "point_2d": [1, 5000]}}),
        ("pick", {"at": {"label": "x", "point_2d": [1.5, 2]}}),
        ("pick", {"at": {"label": "x", "point_2d": [1, 2], "why": "so"}}),
        ("pick", {"at": {"point_2d": [1, 2]}}),
        ("turn", {"way": "up"}),
        ("say", {"text": "x", "volume": 11}),
    ],
)
def test_what_parse_would_refuse_is_not_allowed(family, name, args):
    assert not accepts(form(family), call_text(name, args, family))


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
def test_no_call_is_no_answer(family):
    for text in ("", "I would rather not.", "<tool_call>", f"<tool_call>\n{call_text('done', {}, family)}"):
        assert not accepts(form(family), text)


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
def test_the_least_that_is_allowed_is_a_call(family):
    decision = parse(shortest(form(family)), SPECS, family, {"front": SIZES["front"]}, max_calls=1)
    assert decision.error is None and len(decision.calls) == 1


def test_it_is_json_in_the_formats_that_the_oldest_decoder_knows():
    def kinds(value):
        if isinstance(value, dict):
            if value.get("type") == "json_schema":
                return {"json_schema"}
            return {value["type"]}.union(*map(kinds, value.values()))
        return set().union(*map(kinds, value)) if isinstance(value, list) else set()

    tag = json.loads(json.dumps({"type": "structural_tag", "format": form(MODEL_FAMILIES[-1])}))
    known = {"const_string", "regex", "json_schema", "sequence", "or", "tag", "tags_with_separator"}
    assert kinds(tag["format"]) == known
