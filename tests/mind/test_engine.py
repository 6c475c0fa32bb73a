"""The engine changes no answer: it generates token for token what transformers' own ``generate`` does, fused or not."""

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

from qwenarm.mind.backends.local import QwenVL, make_engine
from qwenarm.mind.constrained import lark
from qwenarm.mind.families import Sampling
from qwenarm.mind.inference import engine
from qwenarm.mind.inference.answer import GeneratedAnswer
from qwenarm.mind.inference.engine import sampling_probabilities
from qwenarm.mind.inference.fused.token_guesser import TokenGuesser
from qwenarm.mind.parsing.parse import NOTE_AFTER_END, parse
from qwenarm.mind.prompt.messages import to_prompt
from qwenarm.mind.prompt.presets import BUNDLED_PRESET

KINDS = ("qwen2_5_vl", "qwen3_vl", "qwen3_5", "bundled")
ENGINES = {True: "fused", False: "plain"}
WAYS = [
    (kind, constrained, fused)
    for kind in KINDS
    for constrained in (True, False)
    for fused in ((True, False) if kind != "qwen3_5" else (False,))
]
"""(kind, constrained, fused); the fused engine does not support Qwen3.5."""
PAIRWISE = [
    *(("qwen2_5_vl", True, True), ("qwen2_5_vl", False, False), ("qwen3_vl", True, False), ("qwen3_vl", False, True)),
    *(("qwen3_5", True, False), ("qwen3_5", False, False), ("bundled", True, True), ("bundled", False, False)),
]
"""Every kind of model and every pair of (constrained, fused)."""
WORDS = ("put it", "put the red cube in the blue bowl, then the green ball next to the tray", "sort")


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
    """QwenVL by kind, with the grammar and without, fused and not."""
    folder = tmp_path_factory.mktemp("engine")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(lark, "PROSE_CHARS", 12)  # a random model babbles up to the bound, and prose is slow
    source = {kind: kind if kind == "bundled" else str(save_tiny(folder / kind, kind)) for kind in KINDS}
    yield {way: QwenVL(source[way[0]], device="cpu", constrained=way[1], fused=way[2]) for way in WAYS}
    monkeypatch.undo()


def name_of(way):
    return f"{way[0]}-{'constrained' if way[1] else 'free'}-{ENGINES[way[2]]}"


@pytest.fixture(params=WAYS, ids=name_of)
def model(request, models):
    return models[request.param]


@pytest.fixture
def prompts(look, specs, model):
    return ask(model, look, specs)


def ask(model, look, specs, limit=24):
    """Prompts of several lengths and sizes of frames; the last is of a plan and has two frames."""
    cell, found = model.family.grid, []
    for seed, (words, size) in enumerate(zip(WORDS, [(2, 3), (4, 4), (2, 2)], strict=True)):
        preset = replace(BUNDLED_PRESET, cameras=("front",), max_tokens=limit)
        if seed == len(WORDS) - 1:
            preset = replace(preset, altitude="plan", cameras=("front", "wrist"))
        seen = look(words, preset.cameras, (size[0] * cell, size[1] * cell), seed=seed)
        found.append(to_prompt(seen, (), specs, model.family, preset))
    return found


@pytest.fixture(scope="module")
def expected(models):
    """expected(model, prompts) -> the answers of transformers, computed once for the same words to the same weights."""
    answers = {}

    def of(model, prompts):
        key = (model.name, model.describe()["constrained"], *map(model.text_of, prompts))
        if key not in answers:
            answers[key] = [plain(model, prompt) for prompt in prompts]
        return answers[key]

    return of


def plain(model, prompt):
    """The answer of transformers: its processor, its generate, no shortcut."""
    text, images = model.text_of(prompt), [Image.fromarray(image) for image in prompt.images]
    inputs = model.encoder.processor(text=[text], images=images, return_tensors="pt")
    answer = model.request(prompt).answer
    output = model.model.generate(
        **inputs, do_sample=False, max_new_tokens=400, repetition_penalty=1.0, eos_token_id=sorted(answer.stops),
        logits_processor=LogitsProcessorList([Follow(answer)]),
    )  # fmt: skip
    tokens = output[0, inputs["input_ids"].shape[1] :].tolist()
    return tokens[:-1] if tokens[-1] in answer.stops else tokens


def written(model, prompts):
    requests = [model.request(prompt) for prompt in prompts]
    model.engine.generate(requests)
    assert all(request.answer.finish for request in requests)
    return [request.answer.tokens for request in requests]


def test_answers_are_those_of_transformers_alone_and_in_a_batch(model, prompts, expected):
    answers = expected(model, prompts)
    assert [written(model, [prompt])[0] for prompt in prompts] == answers
    assert written(model, prompts) == answers
    assert written(model, [*prompts[::-1], prompts[1]]) == [*answers[::-1], answers[1]]


def test_constrained_answers_can_be_read(model, prompts, specs):
    if not model.describe()["constrained"]:
        pytest.skip("answers are free")
    for prompt, completion in zip(prompts, model.generate(prompts), strict=True):
        sizes = {name: image.shape[:2] for name, image in zip(("front", "wrist"), prompt.images, strict=False)}
        decision = parse(completion.text, specs, model.family, sizes, max_calls=prompt.max_calls)
        assert decision.calls
        assert set(decision.notes) <= {NOTE_AFTER_END}  # random weights go on behind done


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
        assert [completion.text] == [model.opening + model.encoder.processor.tokenizer.decode(plain(model, prompt))]


@pytest.fixture
def widths(monkeypatch):
    """How many tokens a model is shown in each forward pass from now on: widths(model) -> a list that grows."""

    def watch(model):
        passes, forward = [], model.engine.forward

        def counting(ids, *rest, **more):
            passes.append(ids.shape[1])
            return forward(ids, *rest, **more)

        for name in ("new_cache", "copy_cache"):
            setattr(counting, name, getattr(forward, name))
        monkeypatch.setattr(model.engine, "forward", counting)
        return passes

    return watch


@pytest.mark.parametrize("fused", [True, False])
def test_the_prefix_is_read_once_and_forced_tokens_take_no_step(models, look, specs, widths, fused):
    model = models["bundled", True, fused]
    first, second = ask(model, look, specs)[:2]
    written(model, [first])
    passes = widths(model)
    tokens = written(model, [second])[0]
    ids = model.request(second).ids
    prefix = ids.index(model.engine.image_token)
    assert prefix > 20
    assert max(passes) < len(ids) - prefix / 2
    assert len(passes) < 0.6 * len(tokens)


@pytest.mark.parametrize(
    ("lengths", "width"), [([9], 9), ([9, 9, 9], 9), ([1] * 39 + [8], 1), ([1, 8], 8), ([1] * 4 + [6] * 12, 6)]
)
def test_a_step_is_as_wide_as_pays(models, lengths, width):
    assert models["bundled", True, False].engine._width(lengths) == width


@pytest.mark.parametrize(
    ("kind", "constrained"), [("qwen2_5_vl", False), ("qwen3_vl", False), ("bundled", False), ("bundled", True)]
)
def test_guesses_save_steps_and_change_nothing(models, look, specs, widths, expected, monkeypatch, kind, constrained):
    model = models[kind, constrained, True]
    moving = [spec for spec in specs if spec.name in ("pick", "place", "push")]  # "done" is too short to be guessed
    prompts = ask(model, look, moving)
    answers, steps = expected(model, prompts), []
    written(model, prompts)  # so that their prefixes are cached
    for guesser in (TokenGuesser(), Right(model, prompts, answers), Wrong()):
        monkeypatch.setattr(model.engine, "guesser", guesser)
        passes = widths(model)
        assert [written(model, [prompt])[0] for prompt in prompts] == answers
        steps.append(len(passes))
    assert steps[1] < 0.6 * steps[2]
    assert steps[0] <= steps[2]


def test_a_guess_never_looks_like_an_image(models, look, specs, monkeypatch):
    model = models["bundled", False, True]
    for token, learned in ((model.engine.image_token, False), (7, True)):
        guesser = TokenGuesser()
        monkeypatch.setattr(model.engine, "guesser", guesser)
        request = model.request(ask(model, look, specs)[0])
        request.answer = Saying(token)
        model.engine.generate([request])
        assert bool(guesser.guess([*request.ids, token][-2:])) == learned


class Saying(GeneratedAnswer):
    """Says one token three times."""

    def __init__(self, token):
        super().__init__(limit=3, stops=())
        self.token = token

    def take(self, token):
        self.tokens, self.finish = [self.token] * 3, "stop"
        return self.tokens


class Right(TokenGuesser):
    """Knows the answers."""

    def __init__(self, model, prompts, answers):
        self.said = [[*model.request(prompt).ids, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        self.turn = 0

    def learn(self, tokens):
        self.turn += 1

    def guess(self, tokens, preferred=()):
        return self.said[self.turn][len(tokens) :][:4]


class Wrong(TokenGuesser):
    """Always guesses the same, which is hardly ever right."""

    def guess(self, tokens, preferred=()):
        return [7, 8, 9]


def test_another_prefix_changes_nothing(models, look, specs):
    model = models["qwen3_5", False, False]
    prompt = ask(model, look, specs)[0]
    alone = written(model, [prompt])
    for number in range(engine.MAX_CACHED_PREFIXES + 2):
        system, user = prompt.messages
        other = replace(prompt, messages=({**system, "content": f"System {number}."}, user))
        written(model, [other])
    assert written(model, [prompt]) == alone


@pytest.mark.parametrize("model", PAIRWISE, indirect=True, ids=name_of)
def test_a_close_call_in_a_batch_is_made_alone(model, prompts, widths, monkeypatch):
    """Where every choice counts as close, each row is generated once more by itself, with the same answer."""
    passes = widths(model)
    alone = [written(model, [prompt])[0] for prompt in prompts]
    steps_alone = len(passes)
    monkeypatch.setattr(engine, "MAX_CLOSE_CALL_LOGIT_GAP", float("inf"))
    assert written(model, prompts) == alone
    assert len(passes) - steps_alone > len(prompts)


def test_samples_do_not_depend_on_the_batch_or_on_what_came_before(tiny, look, specs):
    def draw(batch, seed=0, way=1):
        model = QwenVL(str(tiny), device="cpu", temperature=1.0, seed=seed, batch=batch, constrained=False)
        return [completion.text for completion in model.generate(ask(model, look, specs)[::way])][::way]

    assert draw(1) == draw(4) == draw(3, way=-1)
    assert draw(4) != draw(4, seed=5)


def test_the_likeliest_of_one_is_greedy(models, look, specs, monkeypatch):
    model = models["qwen3_vl", False, False]
    prompts = ask(model, look, specs)
    greedy = written(model, prompts)
    monkeypatch.setattr(model, "engine", make_engine(model.model, Sampling(temperature=2.0, top_k=1), fused=False))
    assert written(model, prompts) == greedy


@pytest.mark.parametrize("sampling", [Sampling(0.7), Sampling(0.7, 0.8, 20), Sampling(1.0, 0.5), Sampling(2.0, 1.0, 3)])
def test_odds_are_those_of_transformers(sampling):
    logits = torch.randn(5, 100, generator=torch.Generator().manual_seed(0)) * 3
    expected = TemperatureLogitsWarper(sampling.temperature)(None, logits)
    expected = TopKLogitsWarper(sampling.top_k)(None, expected) if sampling.top_k else expected
    expected = TopPLogitsWarper(sampling.top_p)(None, expected) if sampling.top_p < 1 else expected
    torch.testing.assert_close(sampling_probabilities(logits, sampling), expected.softmax(dim=1))
