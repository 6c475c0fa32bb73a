"""The engine's shortcuts change no answer: it writes token for token what transformers' own ``generate`` writes."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.constrained import lark as grammar
from qwenarm.mind.families import Sampling
from qwenarm.mind.inference import engine
from qwenarm.mind.inference.answer import Answer
from qwenarm.mind.inference.engine import Engine, _odds
from qwenarm.mind.inference.fused.speculative import Drafts
from qwenarm.mind.prompt.messages import parse, to_prompt
from qwenarm.mind.prompt.presets import BUNDLED

KINDS = ("qwen2_5_vl", "qwen3_vl", "qwen3_5", "bundled")
WORDS = ("put it", "put the red cube in the blue bowl, then the green ball next to the tray", "stack them", "sort")


class Follow(LogitsProcessor):
    """The grammar, one token at a time, for one row: what is forced is the only token allowed."""

    def __init__(self, answer):
        self.answer, self.forced = answer, None

    def __call__(self, ids, scores):
        if self.forced is None:
            self.forced = self.answer.begin()
        elif self.forced:
            self.forced.pop(0)
        else:
            self.forced = self.answer.take(int(ids[0, -1]))[1:]
        if self.forced:
            return self._only(scores, self.forced[0])
        if self.answer.finish:
            return self._only(scores, min(self.answer.stops))
        bits = torch.full((-(-scores.shape[1] // 32),), -1, dtype=torch.int32).numpy()
        self.answer.allow(bits)
        words = torch.arange(scores.shape[1])
        allowed = (torch.from_numpy(bits)[words // 32] >> (words % 32)) & 1
        return scores.masked_fill(allowed == 0, -torch.inf)

    def _only(self, scores, token):
        return torch.full_like(scores, -torch.inf).index_fill(1, torch.tensor([token]), 0.0)


@pytest.fixture(scope="module")
def models(save_tiny, tmp_path_factory):
    """QwenVL by kind, with the grammar and without."""
    folder = tmp_path_factory.mktemp("engine")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(grammar, "PROSE_CHARS", 12)  # a random model babbles up to the bound, and prose is slow
    source = {kind: kind if kind == "bundled" else str(save_tiny(folder / kind, kind)) for kind in KINDS}
    opened = {(kind, True): QwenVL(source[kind], device="cpu", constrained=True) for kind in KINDS}
    yield opened | {(kind, False): QwenVL(source[kind], device="cpu", constrained=False) for kind in KINDS}
    monkeypatch.undo()


@pytest.fixture(params=[(kind, constrained) for kind in KINDS for constrained in (True, False)], ids=str)
def model(request, models):
    return models[request.param]


@pytest.fixture
def prompts(look, specs, model):
    return ask(model, look, specs)


def ask(model, look, specs, limit=24):
    """Prompts of several lengths and sizes of frames; the last has two frames, the third is of a plan."""
    cell, found = model.family.grid, []
    for seed, (words, size) in enumerate(zip(WORDS, [(2, 3), (3, 2), (4, 4), (2, 2)], strict=True)):
        preset = replace(BUNDLED, cameras=("front", "wrist") if seed == 3 else ("front",), max_tokens=limit)
        preset = replace(preset, altitude="plan" if seed == 2 else "step")
        seen = look(words, preset.cameras, (size[0] * cell, size[1] * cell), seed=seed)
        found.append(to_prompt(seen, (), specs, model.family, preset))
    return found


def plain(model, prompt):
    """The answer of transformers: its processor, its generate, no shortcut."""
    text, images = model.text_of(prompt), [Image.fromarray(image) for image in prompt.images]
    inputs = model.processor(text=[text], images=images, return_tensors="pt")
    answer = model._answer(prompt)
    output = model.model.generate(
        **inputs, do_sample=False, max_new_tokens=400, repetition_penalty=1.0, eos_token_id=sorted(model._stops),
        logits_processor=LogitsProcessorList([Follow(answer)]),
    )  # fmt: skip
    tokens = output[0, inputs["input_ids"].shape[1] :].tolist()
    return tokens[:-1] if tokens[-1] in model._stops else tokens


def written(model, prompts):
    asked = [model._asked(prompt) for prompt in prompts]
    model.engine.write(asked)
    assert all(one.answer.finish for one in asked)
    return [one.answer.tokens for one in asked]


def test_token_for_token_as_without_shortcuts(model, prompts):
    assert [written(model, [prompt])[0] for prompt in prompts] == [plain(model, prompt) for prompt in prompts]


def test_a_batch_changes_nothing(model, prompts):
    alone = [written(model, [prompt])[0] for prompt in prompts]
    assert written(model, prompts) == alone
    assert written(model, [*prompts[::-1], prompts[1]]) == [*alone[::-1], alone[1]]


@pytest.mark.parametrize("kind", KINDS)
def test_constrained_answers_can_be_read(models, look, specs, kind):
    model = models[kind, True]
    for prompt, completion in zip(prompts := ask(model, look, specs), model.generate(prompts), strict=True):
        sizes = {name: image.shape[:2] for name, image in zip(("front", "wrist"), prompt.images, strict=False)}
        decision = parse(completion.text, specs, model.family, sizes, max_calls=prompt.max_calls)
        assert decision.calls
        assert decision.notes == ()


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def test_a_thought_ends_in_time(save_tiny, tmp_path, look, specs, kind):
    model = QwenVL(str(save_tiny(tmp_path / kind, kind, opening="<think>\\n")), device="cpu", temperature=0)
    for limit in (1, 12):
        prompt = ask(model, look, specs, limit)[0]
        completion = model.generate([prompt])[0]
        thought, _, call = completion.text.partition("</think>")
        assert thought.startswith("<think>\n")
        assert call.startswith("\n\n<tool_call>\n")
        sizes = {"front": prompt.images[0].shape[:2]}
        assert parse(completion.text, specs, model.family, sizes, max_calls=1).calls
        assert [completion.text] == [model.opening + model.processor.tokenizer.decode(plain(model, prompt))]


@pytest.fixture
def seen(monkeypatch):
    """The tokens of every row that a model is shown, forward pass by forward pass."""
    passes = []

    def watch(model):
        forward = model.engine.passes.forward

        def counting(ids, *rest, **more):
            passes.append(ids.tolist())
            return forward(ids, *rest, **more)

        monkeypatch.setattr(model.engine.passes, "forward", counting)
        return passes

    return watch


def test_the_prefix_is_read_once_and_forced_tokens_take_no_step(models, look, specs, seen):
    model = models["bundled", True]
    first, second = ask(model, look, specs)[:2]
    written(model, [first])
    model.engine.drafts = Drafts()
    passes = seen(model)
    tokens = written(model, [second])[0]
    ids = model._asked(second).ids
    constant = ids.index(model.engine.image)
    assert constant > 20
    assert len(passes[0][0]) == len(ids) - constant + 3  # <tool_call>, a line break and the head of the JSON
    assert len(passes) < len(tokens) / 2


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl", "bundled"])
def test_guesses_save_steps_and_change_nothing(models, look, specs, seen, kind, constrained):
    model = models[kind, constrained]
    prompts = ask(model, look, specs)
    expected = [plain(model, prompt) for prompt in prompts]
    lengths = []
    for guesses in (Drafts(), Right(model, prompts, expected), Wrong()):
        model.engine.drafts = guesses
        passes = seen(model)
        assert [written(model, [prompt])[0] for prompt in prompts] == expected
        lengths.append(len(passes))
    model.engine.drafts = Drafts()
    assert lengths[1] < 0.6 * lengths[2]
    assert lengths[0] <= lengths[2]


def test_a_guess_never_looks_like_a_frame(models, look, specs):
    model = models["bundled", False]
    model.engine.drafts = Drafts()
    for token, learned in ((model.engine.image, False), (7, True)):
        asked = model._asked(ask(model, look, specs)[0])
        asked.answer = Saying(token)
        model.engine.write([asked])
        assert bool(model.engine.drafts._next) == learned
    model.engine.drafts = Drafts()


class Saying(Answer):
    """Says one token three times."""

    def __init__(self, token):
        super().__init__(limit=3, stops=())
        self.token = token

    def take(self, token):
        self.tokens, self.finish = [self.token] * 3, "stop"
        return self.tokens


class Right(Drafts):
    """Knows the answers."""

    def __init__(self, model, prompts, answers):
        self.said = [[*model._asked(prompt).ids, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        self.turn = 0

    def learn(self, tokens):
        self.turn += 1

    def guess(self, tokens, told=()):
        return self.said[self.turn][len(tokens) :][:4]


class Wrong(Drafts):
    """Always guesses the same, which is hardly ever right."""

    def guess(self, tokens, told=()):
        return [7, 8, 9]


def test_prefixes_are_forgotten_in_turn(models, look, specs):
    model = models["qwen3_5", False]
    prompt = ask(model, look, specs)[0]
    alone = written(model, [prompt])
    for number in range(6):
        system, user = prompt.messages
        other = replace(prompt, messages=({**system, "content": f"System {number}."}, user))
        written(model, [other])
    assert len(model.engine._prefixes) == 4
    assert written(model, [prompt]) == alone


@pytest.mark.parametrize("constrained", [True, False])
def test_a_close_call_in_a_batch_is_made_alone(models, look, specs, monkeypatch, constrained):
    """However close is called close, also where every choice is: then each row is written once more, as if alone."""
    for kind in KINDS:
        model = models[kind, constrained]
        prompts = ask(model, look, specs)
        alone = [written(model, [prompt])[0] for prompt in prompts]
        begun = []
        write = model.engine._write
        monkeypatch.setattr(
            model.engine,
            "_write",
            lambda rows, *rest, w=write, b=begun, **more: (b.append(len(rows)), w(rows, *rest, **more)),
        )
        monkeypatch.setattr(engine, "CLOSE", float("inf"))
        assert written(model, prompts) == alone
        assert begun.count(1) >= sum(size for size in begun if size > 1)


def test_samples_do_not_depend_on_the_batch_or_on_what_came_before(tiny, look, specs):
    def draw(batch, seed=0, way=1):
        model = QwenVL(str(tiny), device="cpu", temperature=1.0, seed=seed, batch=batch, constrained=False)
        return [completion.text for completion in model.generate(ask(model, look, specs)[::way])][::way]

    assert draw(1) == draw(4) == draw(3, way=-1)
    assert draw(4) != draw(4, seed=5)


def test_the_likeliest_of_one_is_greedy(models, look, specs):
    model = models["qwen3_vl", False]
    prompts = ask(model, look, specs)
    greedy = written(model, prompts)
    narrow = Engine(model.model, Sampling(temperature=2.0, top_k=1))
    asked = [model._asked(prompt) for prompt in prompts]
    narrow.write(asked)
    assert [one.answer.tokens for one in asked] == greedy


@pytest.mark.parametrize("sampling", [Sampling(0.7), Sampling(0.7, 0.8, 20), Sampling(1.0, 0.5), Sampling(2.0, 1.0, 3)])
def test_odds_are_those_of_transformers(sampling):
    logits = torch.randn(5, 100, generator=torch.Generator().manual_seed(0)) * 3
    expected = TemperatureLogitsWarper(sampling.temperature)(None, logits)
    expected = TopKLogitsWarper(sampling.top_k)(None, expected) if sampling.top_k else expected
    expected = TopPLogitsWarper(sampling.top_p)(None, expected) if sampling.top_p < 1 else expected
    torch.testing.assert_close(_odds(logits, sampling), expected.softmax(dim=1))
