"""Prompts in Qwen3's own vocabulary and layout: the documented ids, every byte of a prompt with tools and frames."""

import json
from dataclasses import replace

import jinja2
import pytest
from benchmarks.decoding import CHOICE_RUNS, FORCED_HEAD
from transformers import PreTrainedTokenizerFast

from qwenarm import skills
from qwenarm.mind.constrained.lark import Grammars
from qwenarm.mind.families import family_named, family_of
from qwenarm.mind.inference.answer import GeneratedAnswer
from qwenarm.mind.prompt import qwen_vocabulary
from qwenarm.mind.prompt.chat_templates import family_template
from qwenarm.mind.prompt.messages import render, to_prompt
from qwenarm.mind.prompt.presets import BUNDLED_PRESET, QWEN_PRESET
from qwenarm.types import Decision, ImagePoint, SkillCall

IDS = {
    "<|endoftext|>": 151643,
    "<|im_start|>": 151644,
    "<|im_end|>": 151645,
    "<|vision_start|>": 151652,
    "<|vision_end|>": 151653,
    "<|image_pad|>": 151655,
    "<|video_pad|>": 151656,
    "<tool_call>": 151657,
    "</tool_call>": 151658,
    "<think>": 151667,
    "</think>": 151668,
}
"""Source: tokenizer_config.json of the published checkpoints."""
TOOLS_IDS = [
    2, 13852, 271, 2610, 1231, 1618, 825, 476, 803, 5746, 311, 7789, 448, 279, 1196, 3239, 382, 2610, 525, 3897, 448,
    729, 32628, 2878, 366, 15918, 1472, 15918, 29, 11874, 9492, 510, 27, 15918, 397, 4913,
]  # fmt: skip
"""The head of the tools' section as real Qwen3 reads it. Source: github.com/hiyouga/LlamaFactory issue 8352."""
CAMERAS = ("front", "wrist")


@pytest.fixture(scope="module")
def words():
    tokens = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_object=qwen_vocabulary.tokenizer(), **tokens)


def layout(name):
    return family_template(family_named(name.removesuffix("_thinking")), thinking=name.endswith("_thinking"))


def written(prompt, name, **options):
    environment = jinja2.Environment(autoescape=False)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)  # as transformers does
    tools = list(prompt.tools) or None
    template = environment.from_string(layout(name))
    return template.render(messages=list(prompt.messages), tools=tools, add_generation_prompt=True, **options)


@pytest.fixture
def prompt(look, specs):
    preset = replace(BUNDLED_PRESET, cameras=CAMERAS, tool_docs=False)
    return to_prompt(look(cameras=CAMERAS, size=(448, 448)), (), specs[:1], family_named("qwen3_vl"), preset)


TEXT = """\
<|im_start|>system
You control a robot arm. Answer with one call.

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{"type": "function", "function": {"name": "pick", "parameters": {"type": "object", "properties": {"at": {"type": \
"object", "properties": {"label": {"type": "string"}, "point_2d": {"type": "array", "items": {"type": "integer"}}, \
"camera": {"type": "string", "enum": ["front", "wrist"]}}, "required": ["label", "point_2d", "camera"]}}, "required": \
["at"]}}}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
<|im_start|>user
front:<|vision_start|><|image_pad|><|vision_end|>
wrist:<|vision_start|><|image_pad|><|vision_end|>
Task: put the red cube in the blue bowl
History: none
Hand: empty<|im_end|>
<|im_start|>assistant
"""


def test_the_vocabulary_has_the_published_size(words):
    assert words.convert_tokens_to_ids("<|endoftext|>") == 151643  # after 151,643 ranks from 0
    assert len(words) == 151669


@pytest.mark.parametrize(("token", "number"), IDS.items())
def test_special_tokens_have_the_documented_ids(words, token, number):
    assert words(token)["input_ids"] == [number]


def test_the_head_of_the_tools_is_read_as_documented(words):
    head = TEXT[TEXT.index("# Tools") : TEXT.index('type": "function", "function')]
    assert words(head)["input_ids"] == TOOLS_IDS


def test_every_byte_of_a_prompt_with_tools_and_two_frames(prompt):
    assert written(prompt, "qwen3_vl") == TEXT
    assert written(prompt, "qwen3_vl_thinking") == TEXT + "<think>\n"


def test_the_ids_around_the_frames(words, prompt):
    ids = words(written(prompt, "qwen3_vl"))["input_ids"]
    assert ids[:3] == [151644, 8948, 198]  # <|im_start|> system, line break
    assert ids[-3:] == [151644, 77091, 198]  # <|im_start|> assistant, line break
    frames = [index for index, number in enumerate(ids) if number == IDS["<|image_pad|>"]]
    assert len(frames) == 2
    assert all(ids[at - 1 : at + 2] == [151652, 151655, 151653] for at in frames)
    assert words.decode(ids) == TEXT


def test_a_prompt_of_the_default_preset_is_short(words, look):
    family = family_named("qwen3_vl")
    prompt = to_prompt(look(size=(480, 640)), (), skills.specs(), family, QWEN_PRESET)
    length = len(words(written(prompt, "qwen3_vl"))["input_ids"]) - 1 + 300  # 640 x 480 pixels: 300 tokens
    print(f"{length} tokens")
    assert length < 1800


def test_most_of_a_call_follows_from_what_stands_before_it(words, look):
    """The benchmark of decoding answers with the same choices."""
    family = family_named("qwen3_vl")
    prompt = to_prompt(look(size=(480, 640)), (), skills.specs(), family, QWEN_PRESET)
    call = SkillCall("pick", {"at": ImagePoint(0.512, 0.430, "red cube")})
    ids = words(render(Decision((call,)), family, {"front": (480, 640)}))["input_ids"]
    answer = GeneratedAnswer(256, {151645}, Grammars(words, 151936, [151645], family).matcher(prompt, thinking=False))
    head, runs = answer.begin(), []
    while not answer.finish:
        runs.append(len(answer.take(ids[len(answer.tokens)])))
    assert answer.tokens == ids
    assert len(runs) <= 0.3 * len(ids)
    assert (len(head), tuple(runs)) == (FORCED_HEAD, CHOICE_RUNS)


@pytest.mark.parametrize(
    ("name", "kind", "dialect", "switch"),
    [
        ("qwen2_5_vl", "qwen2_5_vl", "json", False),
        ("qwen3_vl", "qwen3_vl", "json", False),
        ("qwen3_vl_thinking", "qwen3_vl_moe", "json", False),
        ("qwen3_5", "qwen3_5", "xml", True),
        ("qwen3_5", "qwen3_5_moe", "xml", True),
    ],
)
def test_the_templates_tell_dialect_and_switch(name, kind, dialect, switch):
    family = family_of(kind, layout(name))
    assert (family.dialect, family.thinking_switch) == (dialect, switch)


def test_the_switch_opens_or_shuts_the_thought(prompt):
    assert written(prompt, "qwen3_5", enable_thinking=True).endswith("assistant\n<think>\n")
    assert written(prompt, "qwen3_5", enable_thinking=False).endswith("assistant\n<think>\n\n</think>\n\n")
