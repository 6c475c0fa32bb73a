# ruff: noqa: E501  (the tables of answers read best with a row on a line)
"""Text becomes calls that were plainly made, or a named error. A list by hand, and thousands of broken answers."""

import json
import random
import re
import time

import pytest

from qwenarm.mind.coordinates import decode
from qwenarm.mind.families import MODEL_FAMILIES, family_named
from qwenarm.mind.parsing.extract_calls import (  # fmt: skip
    NOTE_OPEN_THOUGHT,
    NOTE_TOLERANT,
    NOTE_UNCLOSED,
    NOTE_UNTAGGED,
)
from qwenarm.mind.parsing.json_calls import NOTE_SHAPE
from qwenarm.mind.parsing.parse import NOTE_AFTER_END, NOTE_FIRST_ONLY, NOTE_PARTIAL, NOTE_REPEATED, parse
from qwenarm.mind.parsing.validate_call import (  # fmt: skip
    NOTE_BOX,
    NOTE_CAMERA,
    NOTE_CAMERA_BESIDE,
    NOTE_CASE,
    NOTE_CLAMPED,
    NOTE_FLAT,
    NOTE_IGNORED,
    NOTE_TEXT_NUMBERS,
)
from qwenarm.mind.prompt.messages import render
from qwenarm.types import Completion, Decision, FormatError, ImagePoint, SkillCall

QWEN3 = family_named("qwen3_vl")
SIZES = {"front": (480, 640)}
TWO = {"front": (480, 640), "wrist": (240, 320)}
POINT = '{"label": "red cube", "point_2d": [512, 430]}'
CALL = f'{{"name": "pick", "arguments": {{"at": {POINT}}}}}'
XML = f"<function=pick>\n<parameter=at>\n{POINT}\n</parameter>\n</function>"
PICK = SkillCall("pick", {"at": ImagePoint(0.512, 0.43, "red cube")})
NAMELESS = SkillCall("pick", {"at": ImagePoint(0.512, 0.43)})
DONE = SkillCall("done", {})


def tagged(body):
    return f"<tool_call>\n{body}\n</tool_call>"


def at(value):
    return tagged(f'{{"name": "pick", "arguments": {{"at": {value}}}}}')


READABLE = {
    "as it should be": (tagged(CALL), PICK, ()),
    "xml": (tagged(XML), PICK, ()),
    "xml on one line": (f"<tool_call><function=pick><parameter=at>{POINT}</parameter></function></tool_call>", PICK, ()),
    "no line breaks": (f"<tool_call>{CALL}</tool_call>", PICK, ()),
    "prose around": (f"I will pick it.\n{tagged(CALL)}\nThen I look.", PICK, ()),
    "thought": (f"<think>\nThe cube is at [1, 2].\n</think>\n\n{tagged(CALL)}", PICK, ()),
    "thought that the prompt opened": (f"It is red.\n</think>\n\n{tagged(CALL)}", PICK, ()),
    "a call in the thought does not count": (f"<think>{tagged(CALL.replace('pick', 'place'))}</think>{tagged(CALL)}", PICK, ()),
    "fence in the tags": (tagged(f"```json\n{CALL}\n```"), PICK, ()),
    "fence": (f"Sure:\n```json\n{CALL}\n```", PICK, (NOTE_UNTAGGED,)),
    "bare json": (CALL, PICK, (NOTE_UNTAGGED,)),
    "bare json in prose": (f"My call is {CALL}, as [1, 2] was wrong {{so}}.", PICK, (NOTE_UNTAGGED,)),
    "bare xml": (XML, PICK, (NOTE_UNTAGGED,)),
    "only the closing tag": (f"{CALL}\n</tool_call>", PICK, (NOTE_UNTAGGED,)),
    "only the opening tag": (f"<tool_call>\n{CALL}", PICK, (NOTE_UNCLOSED,)),
    "a brace is missing": (tagged(CALL[:-1]), PICK, (NOTE_UNCLOSED,)),
    "three braces are missing": (tagged(CALL[:-3]), PICK, (NOTE_UNCLOSED,)),
    "braces to spare": (tagged(CALL + "}}"), PICK, ()),
    "xml without its closing": (tagged(XML.removesuffix("</function>")), PICK, (NOTE_UNCLOSED,)),
    "xml with names in quotes": (tagged(XML.replace("=pick", '="pick"').replace("=at", '="at"')), PICK, ()),
    "xml with name attributes": (tagged(XML.replace("=pick", ' name="pick"').replace("=at", ' name="at"')), PICK, ()),
    "single quotes": (tagged(CALL.replace('"', "'")), PICK, (NOTE_TOLERANT,)),
    "trailing commas": (tagged(CALL.replace("}", ",}").replace("]", ",]")), PICK, (NOTE_TOLERANT,)),
    "bare keys": (tagged(re.sub(r'"(\w+)":', r"\1:", CALL)), PICK, (NOTE_TOLERANT,)),
    "chinese punctuation": (
        tagged("｛“name”：“pick”，“arguments”：｛“at”：｛“label”：“red cube”，“point_2d”：【512，430】｝｝｝"), PICK, (NOTE_TOLERANT,),
    ),
    "a chinese label stays": (
        at('{"label": "红色，方块：", "point_2d": [512, 430]}'), SkillCall("pick", {"at": ImagePoint(0.512, 0.43, "红色，方块：")}), (),
    ),
    "numbers as text": (at('{"label": "red cube", "point_2d": ["512", "430"]}'), PICK, (NOTE_TEXT_NUMBERS,)),
    "a point as text": (at('"512, 430"'), NAMELESS, (NOTE_TEXT_NUMBERS,)),
    "a point as text in brackets": (at('"(512,430)"'), NAMELESS, (NOTE_TEXT_NUMBERS,)),
    "a points tag": (
        at(json.dumps('<points x1="512" y1="430" alt="red cube">red cube</points>')), PICK, (NOTE_TEXT_NUMBERS,),
    ),
    "a points tag in xml": (
        tagged('<function=pick>\n<parameter=at>\n<points x1="512" y1="430" alt="red cube">red cube</points>\n</parameter>\n</function>'),
        PICK, (NOTE_TEXT_NUMBERS,),
    ),
    "a point tag": (at('"<point>512 430</point>"'), NAMELESS, (NOTE_TEXT_NUMBERS,)),
    "box tokens": (at('"<|box_start|>(502,420),(522,440)<|box_end|>"'), NAMELESS, (NOTE_TEXT_NUMBERS, NOTE_BOX)),
    "a box": (at('{"bbox_2d": [502, 420, 522, 440], "label": "red cube"}'), PICK, (NOTE_BOX,)),
    "a box as the point": (at('{"label": "red cube", "point_2d": [502, 420, 522, 440]}'), PICK, (NOTE_BOX,)),
    "corners": (at('[[502, 420], [522, 440]]'), NAMELESS, (NOTE_BOX,)),
    "x and y": (at('{"label": "red cube", "x": 512, "y": 430}'), PICK, ()),
    "key point": (at('{"label": "red cube", "point": [512, 430]}'), PICK, ()),
    "point of points": (at('{"label": "red cube", "point_2d": [[512, 430]]}'), PICK, ()),
    "a list of one point": (at(f"[{POINT}]"), PICK, ()),
    "flat": (tagged('{"name": "pick", "arguments": {"label": "red cube", "point_2d": [512, 430]}}'), PICK, (NOTE_FLAT,)),
    "flat list": (tagged('{"name": "pick", "arguments": [512, 430]}'), NAMELESS, (NOTE_FLAT,)),
    "arguments as text": (tagged(json.dumps({"name": "pick", "arguments": json.dumps({"at": json.loads(POINT)})})), PICK, (NOTE_SHAPE,)),
    "arguments beside the name": (tagged(f'{{"name": "pick", "at": {POINT}}}'), PICK, (NOTE_SHAPE,)),
    "parameters": (tagged(f'{{"name": "pick", "parameters": {{"at": {POINT}}}}}'), PICK, (NOTE_SHAPE,)),
    "wrapped": (f'{{"reasoning": "It is red.", "action": {CALL}}}', PICK, (NOTE_UNTAGGED,)),
    "wrapped plan": (f'{{"reasoning": "It is red.", "plan": [{CALL}]}}', PICK, (NOTE_UNTAGGED,)),
    "the openai form": (tagged(f'{{"type": "function", "function": {CALL}}}'), PICK, ()),
    "a list of one call": (tagged(f"[{CALL}]"), PICK, (NOTE_SHAPE,)),
    "the name as key": (tagged(f'{{"pick": {{"at": {POINT}}}}}'), PICK, (NOTE_SHAPE,)),
    "another case": (tagged(CALL.replace('"pick"', '"Pick"')), PICK, (NOTE_CASE,)),
    "an argument too many": (tagged(CALL.replace('{"at"', '{"speed": 3, "at"')), PICK, (NOTE_IGNORED,)),
    "the first and the second pixel": (at("[1, 0]"), SkillCall("pick", {"at": ImagePoint(0.001, 0.0)}), ()),
    "one number below 1": (at("[0.5, 430]"), SkillCall("pick", {"at": ImagePoint(0.0005, 0.43)}), ()),
    "a little outside": (at("[1015, -12]"), SkillCall("pick", {"at": ImagePoint(1.0, 0.0)}), (NOTE_CLAMPED,)),
    "a call without arguments": (tagged('{"name": "done"}'), DONE, ()),
    "null arguments": (tagged('{"name": "done", "arguments": null}'), DONE, ()),
    "empty arguments as text": (tagged('{"name": "done", "arguments": ""}'), DONE, ()),
    "a choice in another case": (tagged('{"name": "turn", "arguments": {"way": "Left"}}'), SkillCall("turn", {"way": "left"}), ()),
    "a number as text": (
        tagged('{"name": "push", "arguments": {"at": [512, 430], "distance": "0.1"}}'),
        SkillCall("push", {"at": ImagePoint(0.512, 0.43), "distance": 0.1}), (NOTE_TEXT_NUMBERS,),
    ),
    "null for an optional argument": (
        tagged('{"name": "push", "arguments": {"at": [512, 430], "distance": null}}'),
        SkillCall("push", {"at": ImagePoint(0.512, 0.43)}), (),
    ),
    "half of a character in words": (
        tagged(r'{"name": "say", "arguments": {"text": "hi \ud83d!"}}'), SkillCall("say", {"text": "hi \ufffd!"}), (),
    ),
    "a whole character in words": (
        tagged(r'{"name": "say", "arguments": {"text": "hi \ud83d\ude42"}}'), SkillCall("say", {"text": "hi \U0001f642"}), (),
    ),
    "half of a character in a label": (
        at(r'{"label": "\ude42 cube", "point_2d": [512, 430]}'), SkillCall("pick", {"at": ImagePoint(0.512, 0.43, "\ufffd cube")}), (),
    ),
    "half of a character in a point as text": (
        at(json.dumps(r'{"label": "\ud83d", "point_2d": [512, 430]}')), SkillCall("pick", {"at": ImagePoint(0.512, 0.43, "\ufffd")}),
        (NOTE_TEXT_NUMBERS,),
    ),
    "a tag in a string": (
        tagged('{"name": "say", "arguments": {"text": "a <b> c"}}'), SkillCall("say", {"text": "a <b> c"}), (),
    ),
    "two calls": (tagged(CALL) + tagged('{"name": "done"}'), PICK, (NOTE_FIRST_ONLY,)),
    "two calls in one tag": (tagged(f'{CALL}\n{{"name": "done"}}'), PICK, (NOTE_FIRST_ONLY,)),
    "a list of two calls": (tagged(f'[{CALL}, {{"name": "done"}}]'), PICK, (NOTE_FIRST_ONLY,)),
    "two bare calls": (f'{CALL}\n{{"name": "done"}}', PICK, (NOTE_FIRST_ONLY,)),
    "the same call twice": (tagged(CALL) + tagged(CALL), PICK, (NOTE_REPEATED,)),
    "a good call before a wrong one": (tagged(CALL) + tagged('{"name": "fly"}'), PICK, (NOTE_FIRST_ONLY,)),
    "a good call before an empty one": (tagged(CALL) + "<tool_call></tool_call>", PICK, (NOTE_PARTIAL,)),
    "a good call before a broken one": (tagged(CALL) + tagged('{"name": "pick" "arguments"}'), PICK, (NOTE_PARTIAL,)),
    "a good call before one that stops": (f"{tagged(CALL)}<tool_call>\n{CALL[:30]}", PICK, (NOTE_PARTIAL,)),
    "a bare call before one that stops": (f"{CALL}\n{CALL[:30]}", PICK, (NOTE_PARTIAL,)),
    "a list that stops": (f"[{CALL}, {CALL[:30]}", PICK, (NOTE_PARTIAL,)),
    "a plan that stops": (f'{{"reasoning": "so", "plan": [{CALL}, {CALL[:30]}', PICK, (NOTE_PARTIAL,)),
    "a thought without its end": (f"<think>It is red.\n{tagged(CALL)}", PICK, (NOTE_OPEN_THOUGHT,)),
    "a bare call in a thought without its end": (f"<think>It is red.\n{CALL}", PICK, (NOTE_OPEN_THOUGHT,)),
    "xml in a thought without its end": (f"<think>It is red.\n{XML}", PICK, (NOTE_OPEN_THOUGHT,)),
}  # fmt: skip

E = FormatError
UNREADABLE = {
    "nothing": ("", E.EMPTY),
    "blanks": (" \n\t", E.EMPTY),
    "prose": ("I would pick the red cube at [512, 430].", E.NO_CALL),
    "only thought": ("<think>I shall pick it.</think>", E.NO_CALL),
    "thought without end": ("<think>I shall pick it.", E.NO_CALL),
    "a point and no skill": (f"```json\n[{POINT}]\n```", E.NO_CALL),
    "other json": ('{"answer": 42}', E.NO_CALL),
    "its tools repeated": ('{"type": "function", "function": {"name": "done", "parameters": {"type": "object", "properties": {}}}}', E.NO_CALL),
    "its tools repeated in tags": (tagged('{"name": "done", "parameters": {"type": "object", "properties": {}}}'), E.BROKEN),
    "a call in words": ("pick(at=[512, 430])", E.NO_CALL),
    "empty call": ("<tool_call>\n</tool_call>", E.BROKEN),
    "no json": (tagged("pick the red cube"), E.BROKEN),
    "no name": (tagged('{"arguments": {}}'), E.BROKEN),
    "broken json": (tagged('{"name": "pick" "arguments"}'), E.BROKEN),
    "a point without its end": (tagged(CALL[: CALL.index("430")]), E.BROKEN),
    "a bracket missing": (tagged(CALL.replace("]", "")), E.BROKEN),
    "cut in a number": (f"<tool_call>\n{CALL[: CALL.index('30')]}", E.TRUNCATED),
    "cut in a string": ('<tool_call>\n{"name": "pi', E.TRUNCATED),
    "cut bare json": (CALL[:-2], E.TRUNCATED),
    "cut in xml": (f"<tool_call>\n{XML[:40]}", E.TRUNCATED),
    "cut after a parameter": (f"<tool_call>\n{XML.removesuffix('</function>')}", E.TRUNCATED),
    "unknown skill": (tagged('{"name": "fly", "arguments": {}}'), E.UNKNOWN_SKILL),
    "no arguments": (tagged('{"name": "pick", "arguments": {}}'), E.BAD_ARGUMENT),
    "a label for a point": (at('"red cube"'), E.BAD_ARGUMENT),
    "a label alone": (at('{"label": "red cube"}'), E.BAD_ARGUMENT),
    "far outside": (at("[1500, 20]"), E.BAD_ARGUMENT),
    "negative": (at("[-400, 20]"), E.BAD_ARGUMENT),
    "fractions": (at("[0.512, 0.43]"), E.BAD_ARGUMENT),
    "fractions at the right border": (at("[1, 0.43]"), E.BAD_ARGUMENT),
    "fractions at the lower border": (at("[0.5, 1.0]"), E.BAD_ARGUMENT),
    "fractions at the left border": (at("[0.0, 0.43]"), E.BAD_ARGUMENT),
    "fractions as text": (at('"0, 0.43"'), E.BAD_ARGUMENT),
    "a box in fractions": (at("[0.0, 0.0, 1.0, 1.0]"), E.BAD_ARGUMENT),
    "x and y with a size": (at('{"x": 512, "y": 430, "w": 20, "h": 20}'), E.BAD_ARGUMENT),
    "x and y with a size in words": (at('{"label": "red cube", "x": 512, "y": 430, "width": 20, "height": 20}'), E.BAD_ARGUMENT),
    "x and y with another corner": (at('{"x": 512, "y": 430, "x2": 532, "y2": 450}'), E.BAD_ARGUMENT),
    "a corner with a size": (at('{"x1": 512, "y1": 430, "w": 20, "h": 20}'), E.BAD_ARGUMENT),
    "flat with a size": (tagged('{"name": "pick", "arguments": {"x": 512, "y": 430, "w": 20, "h": 20}}'), E.BAD_ARGUMENT),
    "three numbers": (at("[1, 2, 3]"), E.BAD_ARGUMENT),
    "two points": (at(f"[{POINT}, {POINT}]"), E.BAD_ARGUMENT),
    "two points in a tag": (at(json.dumps('<points x1="1" y1="2" x2="3" y2="4" alt="a">a</points>')), E.BAD_ARGUMENT),
    "not a number": (at("[NaN, Infinity]"), E.BAD_ARGUMENT),
    "truth for numbers": (at("[true, false]"), E.BAD_ARGUMENT),
    "huge": (at(f"[{'9' * 400}, 1]"), E.BAD_ARGUMENT),
    "another camera": (at('{"point_2d": [5, 4], "camera": "wrist"}'), E.BAD_ARGUMENT),
    "not a choice": (tagged('{"name": "turn", "arguments": {"way": "up"}}'), E.BAD_ARGUMENT),
    "a list for words": (tagged('{"name": "say", "arguments": {"text": ["a"]}}'), E.BAD_ARGUMENT),
    "words for a number": (tagged('{"name": "push", "arguments": {"at": [1, 2], "distance": "far"}}'), E.BAD_ARGUMENT),
    "not found": (at('{"label": "red cube", "point_2d": [-1, -1]}'), E.BAD_ARGUMENT),
    "a box that was not found": (at('{"label": "red cube", "bbox_2d": [-1, -1, -1, -1]}'), E.BAD_ARGUMENT),
    "a wrong call before a good one": (tagged('{"name": "pick", "arguments": {}}') + tagged('{"name": "done"}'), E.BAD_ARGUMENT),
    "a broken call before a good one": (tagged('{"name": "pick" "arguments"}') + tagged('{"name": "done"}'), E.BROKEN),
}  # fmt: skip


@pytest.mark.parametrize(("text", "call", "notes"), READABLE.values(), ids=READABLE)
def test_what_was_plainly_meant_is_read(specs, text, call, notes):
    decision = parse(text, specs, QWEN3, SIZES, max_calls=1)
    assert decision.error is None, decision.detail
    assert decision.calls == (call,)
    assert set(notes) <= set(decision.notes)
    assert decision.raw == text
    if not notes:
        assert set(decision.notes) <= {"point in another shape"}


@pytest.mark.parametrize(("text", "error"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_a_named_error(specs, text, error):
    decision = parse(text, specs, QWEN3, SIZES, max_calls=1)
    assert decision.error is error
    assert decision.calls == ()
    assert len(decision.detail) > 10
    assert "\n" not in decision.detail


def test_the_errors_teach(specs):
    def detail(text):
        return parse(text, specs, QWEN3, SIZES, max_calls=1).detail

    assert "pick, place, push, turn, say, done" in detail(UNREADABLE["unknown skill"][0])
    assert "0 to 1000" in detail(UNREADABLE["far outside"][0])
    assert '{"label": "...", "point_2d": [x, y]}' in detail(UNREADABLE["a label alone"][0])
    assert "'left' or 'right'" in detail(UNREADABLE["not a choice"][0])
    assert "shown: front" in detail(UNREADABLE["another camera"][0])
    assert "no place in the image" in detail(UNREADABLE["not found"][0])


def test_what_a_model_said_can_always_be_written():
    assert Completion("a\ud83d b\ude42").text == "a\ufffd b\ufffd"
    for text in ("", "plain", "\ufeff红\0", "\U0001f642"):
        assert Completion(text).text == text


def test_thoughts_are_kept(specs):
    text = f"<think>It is red.</think>\nI pick it.\n{tagged(CALL)}"
    assert parse(text, specs, QWEN3, SIZES).thought == "It is red.\nI pick it."


def test_a_cut_answer(specs):
    def read(text):
        return parse(text, specs, QWEN3, SIZES, finish="length")

    assert read("I think that the").error is E.TRUNCATED
    assert read("<think>I think that the").error is E.TRUNCATED
    assert read(f"{tagged(CALL)}\nAnd now").calls == (PICK,)
    assert read(f"I think of {CALL}").error is E.TRUNCATED  # JSON in prose that was cut may not be the call
    assert read(CALL).calls == (PICK,)  # an answer that begins with it has no prose
    assert read(f"<think>{tagged(CALL)}").error is E.TRUNCATED
    assert read("<tool_call>").error is E.TRUNCATED


def test_a_plan_is_read_as_far_as_it_can_be(specs):
    def read(text, **options):
        decision = parse(text, specs, QWEN3, SIZES, max_calls=16, **options)
        return decision.calls, decision.notes

    turn = tagged('{"name": "turn", "arguments": {"way": "left"}}')
    two = (PICK, SkillCall("turn", {"way": "left"}))
    assert read(tagged(CALL) + tagged('{"name": "done"}') + turn) == ((PICK, DONE), (NOTE_AFTER_END,))
    assert read(tagged(CALL) + turn + tagged('{"name": "fly"}')) == (two, (NOTE_PARTIAL,))
    for finish in ("stop", "length"):
        assert read(tagged(CALL) + turn + tagged(CALL)[:40], finish=finish)[0] == two
        bare = f'[{CALL}, {{"name": "turn", "arguments": {{"way": "left"}}}}, {{"name": "pick", "argum'
        assert read(bare, finish=finish)[0] == two
        assert read(f'{{"plan": {bare}', finish=finish)[0] == two
        assert read(f"```json\n{bare}", finish=finish)[0] == two
    inside = '{"name": "pick", "arguments": {"name": "done", "arguments": {}}, "more": ['
    assert read(inside) == ((), ()), "a part of an unfinished call is no call"


def test_a_plan_without_end_is_an_error(specs):
    assert parse(tagged(CALL) * 17, specs, QWEN3, SIZES, max_calls=16).error is E.TOO_MANY


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
def test_a_missing_end_of_thought_makes_no_difference(specs, family):
    """The opening tag may stand in the prompt, and is not always seen."""
    for body in (render(Decision((PICK,)), family, SIZES), CALL, XML, "I see it."):
        seen, unseen = (
            parse(f"{head}It is red.\n{body}", specs, family, SIZES, max_calls=1) for head in ("<think>", "")
        )
        assert (seen.calls, seen.error) == (unseen.calls, unseen.error)


def test_a_plan_may_have_many_calls(specs):
    text = tagged(CALL) + tagged('{"name": "done"}')
    assert parse(text, specs, QWEN3, SIZES).calls == (PICK, DONE)
    assert parse(text, specs, QWEN3, SIZES, max_calls=2).calls == (PICK, DONE)


def test_cameras(specs):
    named = parse(at('{"point_2d": [512, 430], "camera": "Wrist"}'), specs, QWEN3, TWO)
    assert named.calls[0].args["at"].camera == "wrist"
    for point in ("[512, 430]", POINT, f"[{POINT}]", '"(512, 430)"'):
        beside = tagged(f'{{"name": "pick", "arguments": {{"at": {point}, "camera": "wrist"}}}}')
        decision = parse(beside, specs, QWEN3, TWO)
        assert (decision.calls[0].args["at"].camera, decision.notes[0]) == ("wrist", NOTE_CAMERA_BESIDE)
    assert parse(beside.replace("wrist", "roof"), specs, QWEN3, TWO).error is E.BAD_ARGUMENT
    silent = parse(at("[512, 430]"), specs, QWEN3, TWO)
    assert silent.calls[0].args["at"].camera == "front"
    assert silent.notes == (NOTE_CAMERA,)


def test_pixels_of_the_resized_image(specs):
    family = family_named("qwen2_5_vl")  # 480 x 640 is resized to 476 x 644
    point = parse(at("[322, 238]"), specs, family, SIZES).calls[0].args["at"]
    assert (point.u, point.v) == (0.5, 0.5)
    assert "0 to 644" in parse(at("[700, 1]"), specs, family, SIZES).detail


# --- thousands of broken answers

NOISE = (
    "<tool_call>", "</tool_call>", "<think>", "</think>", "```json", "```", "{", "}", "[", "]", '"', "'", ",", ":", "：", "，", "“", "”",
    "【", "】", "\\", "\\u12", "\n", "\0", "null", "NaN", "-1", "1e999", "99999", "512", "<function=pick>", "</function>",
    "<parameter=at>", "</parameter>", '"name"', '"arguments"', '"at"', '"point_2d"', "pick", "done", "红", "🙂", "\ud800",
    '{"name": "done"}', "<points x1=", "<|im_end|>", "<|image_pad|>",
)  # fmt: skip


def mutated(rng, text, pool):
    """The text with one thing broken."""
    i, j = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    change = rng.choice(
        (
            lambda: text[:i] + text[j:] if j - i < 40 else text[:i] + text[i + 5 :],
            lambda: text[:i],
            lambda: text[i:],
            lambda: text[:i] + rng.choice(NOISE) + text[i:],
            lambda: text[:j] + text[i:j] + text[j:],
            lambda: text[:i] + text[i:j][::-1] + text[j:],
            lambda: text.replace(rng.choice('"{}[],:<>/'), rng.choice(NOISE), rng.randint(1, 3)),
            lambda: text + rng.choice(pool),
            lambda: text[:i] + rng.choice(pool) + text[j:],
            lambda: re.sub(r"\d+", lambda _: str(rng.choice([0, 7, 512, 1003, 4096, -5, 0.3])), text, count=1),
            lambda: text.upper() if rng.random() < 0.3 else text.replace("\n", ""),
        )
    )
    return change()


def mutations(rng, text, pool):
    """A broken relative of a text."""
    for _ in range(rng.randint(1, 4)):
        text = mutated(rng, text, pool)
    return text


def corpus(family, size=1500):
    rng = random.Random(f"answers of {family.name}")
    calls = [
        PICK,
        DONE,
        SkillCall("say", {"text": "I see it"}),
        SkillCall("push", {"at": PICK.args["at"], "distance": 0.1}),
    ]
    good = [render(Decision((call,), "I see."), family, SIZES) for call in calls]
    pool = good + [text for text, *_ in READABLE.values()] + [text for text, _ in UNREADABLE.values()]
    return [mutations(rng, rng.choice(pool), pool) for _ in range(size)]


def numbers_in(text):
    return {float(number) for number in re.findall(r"[-+]?\d{1,9}(?:\.\d*)?(?:[eE][-+]?\d{1,3})?", text)}


def written(value, numbers, full, clamp):
    """Whether a fraction follows from the numbers in a text: one of them, or the middle of two, perhaps moved to the border."""
    middles = numbers | {(a + b) / 2 for a in numbers for b in numbers}
    near = [min(max(number / full, 0.0), 1.0) if clamp else number / full for number in middles]
    return any(abs(value - fraction) < 1e-9 for fraction in near)


def assert_nothing_invented(decision, text, specs, family):
    names = {spec.name: spec for spec in specs}
    assert (decision.error is None) == bool(decision.calls)
    assert len(decision.calls) <= 1
    spoken = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    full = family.codec.span(SIZES["front"])
    for call in decision.calls:
        spec = names[call.name]
        assert call.name in spoken.lower()
        assert set(call.args) <= {param.name for param in spec.params}
        assert {param.name for param in spec.params if param.required} <= set(call.args)
        for value in call.args.values():
            if isinstance(value, ImagePoint):
                assert 0 <= value.u <= 1
                assert 0 <= value.v <= 1
                numbers = numbers_in(text)
                assert written(value.u, numbers, full[0], NOTE_CLAMPED in decision.notes)
                assert written(value.v, numbers, full[1], NOTE_CLAMPED in decision.notes)
            elif isinstance(value, float):
                assert value in numbers_in(text)


@pytest.mark.parametrize("family", MODEL_FAMILIES, ids=lambda family: family.name)
def test_broken_answers_neither_crash_nor_act(specs, family):
    texts = corpus(family)
    assert len(set(texts)) > 1000
    errors = set()
    for text in texts:
        decision = parse(text, specs, family, SIZES, max_calls=1)
        assert_nothing_invented(decision, text, specs, family)
        errors.add(decision.error)
    assert errors == {None, *FormatError} - {E.TOO_MANY}


@pytest.mark.parametrize(
    "text",
    ["{" * 50_000, "[" * 50_000, '{"a":' * 9_000, "<tool_call>" * 5_000, "<think>" * 5_000, '"' * 50_000, "<function=" * 5_000,
     '<tool_call>{"name": "' + "a" * 90_000, "{'" * 20_000, "<parameter=a>" * 5_000, "<tool_call><function=pick>" + "<parameter=a>" * 3_000,
     '{"a":"<' * 9_000, "<parameter=a></parameter>" * 2_000, '{"<": 1}' * 6_000],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_hostile_answers_are_read_quickly(specs, text):
    began = time.perf_counter()
    assert parse(text, specs, QWEN3, SIZES).error is not None
    assert time.perf_counter() - began < 2.0


def test_decode_is_what_the_tests_assume():
    assert decode(QWEN3.codec, (512, 430), SIZES["front"]) == (0.512, 0.43)
