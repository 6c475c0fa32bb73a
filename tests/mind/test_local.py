"""Real transformers code on tiny random checkpoints of every family."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.backends import local
from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.constrained import lark
from qwenarm.mind.inference.answer import GeneratedAnswer
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.prompt.messages import to_prompt
from qwenarm.mind.prompt.presets import BUNDLED_PRESET

TASKS = ("put it", "put the red cube in the blue bowl, then the green ball next to the tray", "stack them")


@pytest.fixture(scope="module")
def model(tiny):
    """Answers freely: a random model varies more when it may say anything."""
    return QwenVL(str(tiny), device="cpu", constrained=False)


@pytest.fixture
def prompts(look, specs, model):
    """Three prompts of different lengths, pictures and sizes; the last has two pictures."""
    sizes, presets = (
        [(64, 96), (96, 64), (64, 64)],
        [BUNDLED_PRESET, BUNDLED_PRESET, replace(BUNDLED_PRESET, cameras=("front", "wrist"))],
    )
    return [
        replace(
            to_prompt(look(words, preset.cameras, size, seed=seed), (), specs, model.family, preset),
            max_tokens=8 + 4 * seed,
        )
        for seed, (words, size, preset) in enumerate(zip(TASKS, sizes, presets, strict=True))
    ]


def told(completions):
    return [(c.text, c.tokens_in, c.tokens_out, c.finish) for c in completions]


def test_batched_and_single_answers_agree(model, prompts):
    together = model.generate(prompts)
    alone = [model.generate([prompt])[0] for prompt in prompts]
    assert told(together) == told(alone)
    assert len({completion.text for completion in together}) > 1


def test_any_batch_size_gives_the_same(tiny, model, prompts):
    other = QwenVL(str(tiny), device="cpu", batch=2, constrained=False)
    assert told(other.generate(prompts)) == told(model.generate(prompts))


def test_counts_and_times(model, prompts):
    for prompt, completion in zip(prompts, model.generate(prompts), strict=True):
        assert completion.tokens_in > 50
        assert 0 < completion.tokens_out <= prompt.max_tokens
        assert completion.finish in ("stop", "length")
        assert completion.seconds > 0
    assert model.generate([]) == []


def test_an_answer_ends_at_the_stop_token(model):
    stop = model.encoder.processor.tokenizer.eos_token_id
    for limit, used, finish in ((10, 3, "stop"), (2, 2, "length")):
        answer = GeneratedAnswer(limit, {stop})
        for token in (300, 301, stop):
            if not answer.finish:
                answer.take(token)
        assert (answer.tokens, answer.tokens_used, answer.finish) == ([300, 301], used, finish)


def test_tokens_of_the_picture_and_the_text(model, prompts):
    text = model.text_of(prompts[0])
    assert text.count("<|image_pad|>") == 1
    words = len(model.encoder.processor.tokenizer(text)["input_ids"])
    assert model.generate(prompts[:1])[0].tokens_in == words - 1 + 2 * 3  # 64 x 96 pixels are 2 x 3 cells of 32


def test_the_prompt_is_what_the_template_makes_of_it(model, prompts):
    text = model.text_of(prompts[0])
    assert text.startswith("<|im_start|>system\nYou control a robot arm. Answer with one call.\n\n# Tools\n<tools>\n{")
    assert text.endswith(
        "<|im_start|>user\nfront:<|vision_start|><|image_pad|><|vision_end|>\nTask: put it\nHistory: none\nHand: empty"
        "<|im_end|>\n<|im_start|>assistant\n"
    )


def test_samples_repeat_with_the_seed(tiny, prompts):
    def draw(seed):
        model = QwenVL(str(tiny), device="cpu", temperature=1.0, seed=seed, constrained=False)
        return told(model.generate(prompts))

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_what_is_drawn_from_can_be_chosen(tiny):
    drawn = QwenVL(str(tiny), device="cpu", temperature=0.5, top_p=0.9, top_k=7).describe()["sampling"]
    assert (drawn["temperature"], drawn["top_p"], drawn["top_k"]) == (0.5, 0.9, 7)
    for option, value in {"temperature": -1.0, "top_p": 0.0, "top_k": -1}.items():
        with pytest.raises(BadInput, match=option):
            QwenVL(str(tiny), device="cpu", **{option: value})


def test_an_answer_is_told_while_it_is_written_and_is_no_other(model, prompts, monkeypatch):
    monkeypatch.setattr("qwenarm.mind.backends.local.STREAM_PERIOD_S", 0.0)
    silent, texts = told(model.generate(prompts[2:])), list[str]()
    monkeypatch.setattr(model, "on_text", texts.append)
    assert told(model.generate(prompts[2:])) == silent
    answer = silent[0][0]
    assert texts[-1] == answer and len(texts) > 3
    assert all(answer.startswith(text.rstrip("\ufffd")) for text in texts)
    count = len(texts)
    model.generate(prompts)
    assert len(texts) == count  # answers of a batch are told to nobody


def test_threads_are_given_back(model, tiny, prompts):
    before = torch.get_num_threads()
    assert model.threads == 1
    QwenVL(str(tiny), device="cpu", threads=2).generate(prompts[:1])
    assert torch.get_num_threads() == before


def test_memory_is_given_back_after_many_answers(model, prompts, monkeypatch):
    trims = []
    monkeypatch.setattr(local, "ANSWERS_BETWEEN_TRIMS", 2)
    monkeypatch.setattr(local, "trim_heap", lambda: trims.append(1))
    model._answers = 0
    for count in (1, 1, 1):
        model.generate(prompts[:count])
    assert len(trims) == 1


def test_what_is_described(model):
    facts = model.describe()
    assert facts["family"] == "qwen3_vl"
    assert facts["dtype"] == "float32"
    assert facts["parameters"] > 10_000
    assert facts["constrained"] is False
    assert len(facts["sha256"]) == 64


def test_an_unknown_dtype(tiny):
    with pytest.raises(BadInput, match="bfloat16"):
        QwenVL(str(tiny), dtype="float7")


def test_nothing_is_printed(tiny, prompts, capfd):
    QwenVL(str(tiny), device="cpu").generate(prompts)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("kind", "dialect"), [("qwen2_5_vl", "json"), ("qwen3_5", "xml")])
def test_the_other_families(save_tiny, tmp_path, look, specs, kind, dialect):
    model = QwenVL(str(save_tiny(tmp_path / kind, kind)), device="cpu", constrained=False)
    assert (model.family.name, model.family.dialect) == (kind, dialect)
    observations = [look(words, size=(model.family.grid * 2, model.family.grid * 3)) for words in TASKS]
    asked = [replace(to_prompt(o, (), specs, model.family, BUNDLED_PRESET), max_tokens=6) for o in observations]
    assert all('"name": "pick"' in model.text_of(prompt) for prompt in asked)  # tools, whatever the template knows
    together = model.generate(asked)
    assert told(together) == told([model.generate([prompt])[0] for prompt in asked])


def test_pixels_are_counted_as_the_processor_resizes(save_tiny, tmp_path):
    model = QwenVL(str(save_tiny(tmp_path / "limits", "qwen2_5_vl")), device="cpu")
    size = (28 * 60, 28 * 80)  # more than this checkpoint's 2**20 pixels
    grid = model.encoder.processor.image_processor(images=[np.zeros((*size, 3), np.uint8)])["image_grid_thw"][0]
    assert model.family.codec.span(size) == (int(grid[2]) * 14, int(grid[1]) * 14)


def test_a_thinking_template(save_tiny, tmp_path, look, specs):
    folder = str(save_tiny(tmp_path / "thinking", opening="<think>\\n"))
    model = QwenVL(folder, device="cpu", constrained=False)
    assert model.thinking
    assert model.opening == "<think>\n"
    completion = model.generate([replace(to_prompt(look(), (), specs, model.family, BUNDLED_PRESET), max_tokens=4)])[0]
    assert completion.text.startswith("<think>\n")
    assert parse(completion.text, specs, model.family, {"front": (64, 96)}, finish=completion.finish).error is not None


@pytest.mark.parametrize("wanted", [None, True, False])
def test_answers_are_constrained_where_they_can_be(tiny, prompts, monkeypatch, wanted):
    model = QwenVL(str(tiny), device="cpu", constrained=wanted)
    assert model.describe()["constrained"] is (wanted is not False)
    free = replace(prompts[0], tools=())
    assert not model.generate([free])[0].text.startswith("<tool_call>")
    monkeypatch.setattr(lark, "available", lambda: False)
    if wanted:
        with pytest.raises(ModelUnavailable, match="llguidance"):
            QwenVL(str(tiny), device="cpu", constrained=True)
    else:
        assert QwenVL(str(tiny), device="cpu", constrained=wanted).describe()["constrained"] is False


def test_a_template_that_shuts_the_thoughts(save_tiny, tmp_path):
    model = QwenVL(str(save_tiny(tmp_path / "shut", opening="<think>\\n\\n</think>\\n\\n")), device="cpu")
    assert not model.thinking


@pytest.fixture(scope="module")
def damaged(tiny, tmp_path_factory):
    """A checkpoint whose output layer is NaN."""
    folder = shutil.copytree(tiny, tmp_path_factory.mktemp("damaged") / "qwen3_vl")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"].fill_(torch.nan)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("options", [{}, {"fused": False}, {"constrained": False}, {"temperature": 1.0}], ids=str)
@pytest.mark.parametrize("count", [1, 2])
def test_logits_that_are_no_numbers_are_an_error_and_no_decision(damaged, prompts, options, count):
    model = QwenVL(str(damaged), device="cpu", **options)
    with pytest.raises(ModelUnavailable, match="NaN"):
        model.generate(prompts[:count])
