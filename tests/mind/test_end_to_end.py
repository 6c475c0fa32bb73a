"""Every family from messages to Decision, through transformers' own classes: random weights, Qwen's layouts."""

from dataclasses import replace

import numpy as np
import pytest

from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.families import family_named
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.prompt import qwen_vocabulary
from qwenarm.mind.prompt.chat_templates import family_template
from qwenarm.mind.prompt.messages import render
from qwenarm.mind.prompt.presets import QWEN_PRESET
from qwenarm.mind.vlm_policy import VlmPolicy
from qwenarm.types import Decision, FormatError, ImagePoint, SkillCall

WALKS = [
    ("qwen2_5_vl", "qwen2_5_vl", False, ""),
    ("qwen3_vl", "qwen3_vl", False, ""),
    ("qwen3_vl", "qwen3_vl_thinking", False, "<think>\n"),
    ("qwen3_vl_moe", "qwen3_vl", False, ""),
    ("qwen3_vl_moe", "qwen3_vl_thinking", False, "<think>\n"),
    ("qwen3_5", "qwen3_5", True, "<think>\n"),
    ("qwen3_5", "qwen3_5", False, "<think>\n\n</think>\n\n"),
    ("qwen3_5_moe", "qwen3_5", True, "<think>\n"),
    ("qwen3_5_moe", "qwen3_5", False, "<think>\n\n</think>\n\n"),
]


@pytest.mark.parametrize(("kind", "layout", "thinking", "opening"), WALKS)
def test_from_messages_to_decision(save_tiny, tmp_path, look, specs, kind, layout, thinking, opening):
    folder = save_tiny(tmp_path / kind, kind)
    (folder / "chat_template.jinja").write_text(
        family_template(family_named(layout.removesuffix("_thinking")), layout.endswith("_thinking"))
    )
    model = QwenVL(str(folder), device="cpu", thinking=thinking)
    assert model.thinking == (opening == "<think>\n")
    preset = replace(QWEN_PRESET, frame_size=(2 * model.family.grid, 3 * model.family.grid))
    policy = VlmPolicy(model, specs, preset)
    observation = look(size=policy.frame_size)

    deciding = policy.decide(observation, ())
    prompt = next(deciding)
    text = model.text_of(prompt)
    assert text.endswith(f"<|im_start|>assistant\n{opening}")
    assert text.count("<|image_pad|>") == 1
    assert '"name": "pick"' in text  # tools, whatever the template knows of them
    (completion,) = model.generate([replace(prompt, max_tokens=12)])
    assert completion.text.startswith(opening)
    with pytest.raises(StopIteration) as ended:
        deciding.send(completion)
    decision = ended.value.value
    assert isinstance(decision, Decision)
    assert (decision.error is None) == bool(decision.calls)
    assert decision.raw == completion.text


@pytest.mark.parametrize(("kind", "layout", "thinking", "opening"), WALKS[::2])
def test_a_good_answer_survives_the_way_through_the_tokenizer(kind, layout, thinking, opening, specs):
    family = {"qwen2_5_vl": "qwen2_5_vl", "qwen3_5": "qwen3_5", "qwen3_5_moe": "qwen3_5"}.get(kind, "qwen3_vl")
    row, sizes, words = family_named(family), {"front": (448, 448)}, qwen_vocabulary.tokenizer()
    call = SkillCall("pick", {"at": ImagePoint(0.5, 0.25, "red cube")})
    said = f"{opening}It is red.\n</think>\n\n" if opening == "<think>\n" else opening
    answer = said + render(Decision((call,)), row, sizes)
    read = parse(words.decode(words.encode(answer).ids, skip_special_tokens=False), specs, row, sizes, max_calls=1)
    assert read.error is None
    assert read.calls == (call,)


def test_thinking_alone_is_no_call(specs):
    read = parse("<think>\nI shall pick it", specs, family_named("qwen3_5"), {"front": (64, 64)}, finish="length")
    assert read.error is FormatError.TRUNCATED


def test_frames_on_the_grid_reach_the_model_as_they_are(save_tiny, tmp_path):
    for kind in ("qwen2_5_vl", "qwen3_vl"):
        model = QwenVL(str(save_tiny(tmp_path / kind, kind)), device="cpu")
        side = model.family.grid * 8
        grid = model.encoder.processor.image_processor(images=[np.zeros((side, side, 3), np.uint8)])["image_grid_thw"][
            0
        ]
        assert int(grid[1]) * model.family.grid // 2 == side
