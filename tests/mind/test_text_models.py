"""Qwen models without eyes answer prompts from which the pictures are left out."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.families import TEXT_MODEL_TYPES, family_of
from qwenarm.mind.open_model import open_model
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.prompt.messages import to_prompt
from qwenarm.mind.prompt.presets import BUNDLED_PRESET


@pytest.fixture(scope="module", params=TEXT_MODEL_TYPES)
def folder(request, tmp_path_factory, save_tiny):
    return save_tiny(tmp_path_factory.mktemp("text") / request.param, request.param)


@pytest.fixture
def prompts(look, specs):
    return [
        to_prompt(look(words, size=(64, 96)), (), specs, family_of("qwen3"), BUNDLED_PRESET)
        for words in ("put it", "stack")
    ]


def test_the_answer_is_that_of_transformers(folder, prompts):
    model = open_model(f"{folder}#images=no,device=cpu,constrained=no")
    assert not model.sees and model.describe()["images"] is False
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for prompt, completion in zip(prompts, model.generate(prompts), strict=True):
        text = model.text_of(prompt)
        assert "image" not in text and "Task: " in text
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            expected = plain.generate(ids, do_sample=False, max_new_tokens=prompt.max_tokens)[0, ids.shape[1] :]
        said = tokenizer(completion.text)["input_ids"] if completion.text else []
        assert completion.tokens_in == ids.shape[1] and 0 < completion.tokens_out <= len(expected)
        assert tokenizer.decode(expected).startswith(completion.text), said


def test_the_system_message_is_read_once(folder, prompts, monkeypatch):
    model = open_model(f"{folder}#images=no,device=cpu,constrained=no")
    requests = [model.request(prompt) for prompt in prompts]
    system = model.tokenizer.decode(requests[0].ids[: requests[0].prefix])
    assert system.startswith("<|im_start|>system") and system.endswith("<|im_end|>\n")
    read = []
    forward = model.engine.forward
    monkeypatch.setattr(model.engine, "forward", Counting(forward, read))
    alone = [model.generate([prompt])[0].text for prompt in prompts]
    assert read.count(requests[0].prefix) == 1
    assert sum(read) < sum(len(request.ids) for request in requests)
    assert [completion.text for completion in model.generate(prompts)] == alone


class Counting:
    """A forward pass that notes how many tokens of each row are read."""

    def __init__(self, forward, read):
        self.forward, self.read = forward, read

    def __call__(self, ids, *args, **options):
        self.read.append(ids.shape[1])
        return self.forward(ids, *args, **options)

    def __getattr__(self, name):
        return getattr(self.forward, name)


def test_a_constrained_answer_is_a_call(folder, prompts, specs):
    model = QwenVL(str(folder), device="cpu", images=False, constrained=True)
    (completion, _) = model.generate(prompts)
    decision = parse(completion.text, specs, model.family, {"front": (64, 96)})
    assert (decision.calls and not decision.error) or completion.finish == "length"


def test_it_is_refused_with_pictures(folder):
    with pytest.raises(ModelUnavailable, match=r"takes no images.*--policy state_text and #images=no"):
        open_model(f"{folder}#device=cpu")


def test_a_model_with_eyes_can_be_played_without(tiny, prompts):
    seeing, blind = (QwenVL(str(tiny), device="cpu", images=images, constrained=False) for images in (True, False))
    assert blind.generate(prompts[:1])[0].tokens_in < seeing.generate(prompts[:1])[0].tokens_in
