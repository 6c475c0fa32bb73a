"""How fast the bundled model decides on a CPU, compared with transformers' plain ``generate``.

"Plain" is the same weights in transformers, with its processor and its greedy ``generate``, on the same prompts.
Goal: at least 3 times as many decisions per second. All variants take turns on every prompt, with one thread each.
Figures are medians of CPU time, which is hardly affected by other load; wall times are in the JSON.

There are two measurements: one with the model's own short prompt, and one like a real Qwen, with the long prompt for
any Qwen-VL and an answer with as many choices as in Qwen3's vocabulary. (Weights that were not trained on that
prompt babble, so there the length and the choices of the answer are fixed for every variant.)

The fused engine guesses from its earlier answers. With the model's own prompt it has answered 16 other first looks
before, and no timed prompt twice; like a real Qwen it has answered nothing before.

A third figure is the agent's own share of a decision, without model and physics; goal: below 10 ms at 256 x 256.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from qwenarm.episode.rollout import observe
from qwenarm.factory import make_env
from qwenarm.mind.backends.local import QwenVL, make_engine
from qwenarm.mind.checkpoints.model import load_model
from qwenarm.mind.constrained.lark import available
from qwenarm.mind.inference.answer import GeneratedAnswer
from qwenarm.mind.inference.engine import GenerationRequest
from qwenarm.mind.inference.preprocessing import PromptEncoder
from qwenarm.mind.parsing.parse import parse
from qwenarm.mind.prompt.messages import to_prompt
from qwenarm.mind.prompt.presets import QWEN_PRESET, Preset
from qwenarm.mind.vlm_policy import VlmPolicy
from qwenarm.skills import specs
from qwenarm.types import Completion, Observation, Prompt, RunConfig

RESULTS_FOLDER = Path(__file__).parent / "results"
SPEEDUP_GOAL = 3.0
BATCH_SIZE = 16
OVERHEAD_GOAL_MS = 10.0
SQUARE_SIZE_PX = (256, 256)

FORCED_HEAD = 5
CHOICE_RUNS = (1, 11, 1, 1, 1, 8, 1, 1, 3, 1, 1, 5)
"""The call "pick the red cube at [512, 430]" in Qwen3's vocabulary: the number of tokens before the first choice, then
the number that each choice determines, including itself (tests/mind/test_golden.py)."""

Times = dict[str, dict[str, list[float]]]


class PacedAnswer(GeneratedAnswer):
    """An answer with these choices, whatever the model chooses."""

    def __init__(self) -> None:
        super().__init__(limit=FORCED_HEAD + sum(CHOICE_RUNS), stops=())

    def begin(self) -> list[int]:
        self.tokens, self._left = [1] * FORCED_HEAD, list(CHOICE_RUNS)
        return list(self.tokens)

    def take(self, token: int) -> list[int]:
        known = [token] + [1] * (self._left.pop(0) - 1)
        self.tokens += known
        self.finish = "" if self._left else "stop"
        return known


class PlainGenerate:
    """A checkpoint run by transformers alone."""

    def __init__(self, like: QwenVL) -> None:
        assert isinstance(like.encoder, PromptEncoder), "a model with eyes"
        self.like, self.model, self.processor = like, load_model(like.checkpoint, like.plan), like.encoder.processor
        like.tokenizer.padding_side = "left"

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """Returns the answers without their final token."""
        answers = self._generate(prompts, max_new_tokens=prompts[0].max_tokens)
        return [text.partition("<|im_end|>")[0] for text in self.like.tokenizer.batch_decode(answers)]

    def generate_paced(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """Returns answers of the length of a ``PacedAnswer`` with its final token."""
        length = FORCED_HEAD + sum(CHOICE_RUNS) + 1
        return self._generate(prompts, min_new_tokens=length, max_new_tokens=length)

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Prompt], **length: int) -> torch.Tensor:
        texts = [self.like.text_of(prompt) for prompt in prompts]
        images = [[Image.fromarray(image) for image in prompt.images] for prompt in prompts]
        inputs = self.processor(text=texts, images=images, padding=True, return_tensors="pt").to(self.model.device)
        output = self.model.generate(**inputs, do_sample=False, **length)
        return output[:, inputs["input_ids"].shape[1] :]


def first_looks(model: QwenVL, preset: Preset, count: int) -> list[Observation]:
    """Returns the first observations of ``count`` episodes of ``put``."""
    policy, env, looks = VlmPolicy(model, specs(), preset), make_env(RunConfig("put")), []
    for seed in range(count):
        env.reset(seed=seed)
        looks.append(observe(env, policy))
    env.close()
    return looks


def prompts_of(model: QwenVL, looks: Sequence[Observation], preset: Preset) -> list[Prompt]:
    """Returns the prompts for these observations."""
    return [to_prompt(look, (), preset.offered(specs()), model.family, preset) for look in looks]


def take_turns(
    variants: Mapping[str, Callable[[Any], Any]], inputs: Sequence[Any], rounds: int = 1, warm_up: Any = None
) -> Times:
    """Returns milliseconds of CPU and wall time of each variant for each input. The variants take turns."""
    times: Times = {name: {"cpu": [], "wall": []} for name in variants}
    for work in variants.values():
        work(inputs[0] if warm_up is None else warm_up)
    for _ in range(rounds):
        for given in inputs:
            for name, work in variants.items():
                cpu, wall = time.process_time(), time.perf_counter()
                work(given)
                times[name]["cpu"].append((time.process_time() - cpu) * 1e3)
                times[name]["wall"].append((time.perf_counter() - wall) * 1e3)
    return times


def medians(times: Times, decisions: int = 1) -> dict[str, dict[str, float]]:
    """Returns median milliseconds per decision."""
    return {
        name: {clock: statistics.median(values) / decisions for clock, values in clocks.items()}
        for name, clocks in times.items()
    }


def own_prompt(models: Mapping[str, QwenVL], plain: PlainGenerate, rounds: int) -> dict[str, Any]:
    """Measures single decisions and batches, and how many answers equal those of plain ``generate``."""
    first = next(iter(models.values()))
    prompts = prompts_of(first, first_looks(first, first.preset, BATCH_SIZE * (rounds + 1)), first.preset)
    warm, others = prompts[:BATCH_SIZE], prompts[BATCH_SIZE:]
    variants = {"plain": plain.generate, **{name: model.generate for name, model in models.items()}}
    texts = {name: [text_of(generate([prompt])[0]) for prompt in warm] for name, generate in variants.items()}
    alone = medians(take_turns(variants, [[prompt] for prompt in others], warm_up=warm[:1]))
    batches = [others[start : start + BATCH_SIZE] for start in range(0, len(others), BATCH_SIZE)]
    together = medians(take_turns(variants, batches), BATCH_SIZE)
    same = {name: sum(map(str.__eq__, texts["plain"], texts[name])) for name in models}
    return {"one by one": alone, f"batch of {BATCH_SIZE}": together, f"of {BATCH_SIZE} answers the same as plain": same}


def text_of(answer: str | Completion) -> str:
    """Returns the text of any variant's answer."""
    return answer if isinstance(answer, str) else answer.text


def as_qwen_is_asked(model: QwenVL, plain: PlainGenerate, rounds: int) -> dict[str, Any]:
    """Measures the prompt for any Qwen-VL with one frame, and answers with the choices of Qwen3's vocabulary."""
    preset = replace(QWEN_PRESET, frame_size=SQUARE_SIZE_PX)
    prompts = prompts_of(model, first_looks(model, preset, 4), preset)
    variants = {"plain": plain.generate_paced, "engine": paced_engine(model)}
    alone = medians(take_turns(variants, [[prompt] for prompt in prompts], rounds))
    together = medians(take_turns(variants, [prompts], rounds), len(prompts))
    return {"one by one": alone, "batch of 4": together, "tokens": len(model.request(prompts[0]).ids)}


def paced_engine(model: QwenVL) -> Callable[[Sequence[Prompt]], None]:
    """Returns a function in which a new engine generates a ``PacedAnswer`` to each prompt."""
    engine = make_engine(model.model)

    def generate(prompts: Sequence[Prompt]) -> None:
        requests = [model.request(prompt) for prompt in prompts]
        engine.generate([GenerationRequest(one.ids, PacedAnswer(), one.pixels, one.grids) for one in requests])

    return generate


def overhead(model: QwenVL, rounds: int) -> dict[str, float]:
    """Returns milliseconds of CPU time of a decision without the model, at 256 x 256."""
    preset = replace(model.preset, frame_size=SQUARE_SIZE_PX)
    policy, env = VlmPolicy(model, specs(), preset), make_env(RunConfig("put"))
    env.reset(seed=0)
    seen = observe(env, policy)
    (prompt,) = prompts_of(model, [seen], preset)
    (said,) = model.generate([prompt])
    parts: dict[str, Callable[[Any], Any]] = {
        "render": lambda _: observe(env, policy),
        "messages": lambda _: prompts_of(model, [seen], preset),
        "tokens, pixels, grammar": lambda _: model.request(prompt),
        "parse": lambda _: parse(said.text, policy.specs, model.family, {"front": SQUARE_SIZE_PX}, finish=said.finish),
    }
    found = {name: clocks["cpu"] for name, clocks in medians(take_turns(parts, [None], 10 * rounds)).items()}
    env.close()
    return {**found, "all": sum(found.values())}


def show(found: Mapping[str, Any]) -> None:
    """Prints the results."""
    for part in ("own prompt", "as Qwen is asked"):
        for how, rows in found[part].items():
            if isinstance(rows, dict) and "plain" in rows:
                for name, clocks in rows.items():
                    ratio = rows["plain"]["cpu"] / clocks["cpu"]
                    print(f"{part}, {how}: {name:12} {clocks['cpu']:7.1f} ms of CPU a decision, {ratio:.2f} x plain")
            else:
                print(f"{part}, {how}: {rows}")
    print(f"goal {SPEEDUP_GOAL:g} x plain")
    for name, value in found["overhead"].items():
        print(f"overhead: {name:26} {value:6.2f} ms")
    print(f"goal {OVERHEAD_GOAL_MS:g} ms")


def main() -> None:
    """Measures, prints, and writes benchmarks/results/decoding.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    torch.set_num_threads(1)
    ways = {"free": {"constrained": False}, "not fused": {"fused": False}, "engine": {}}
    models = {name: QwenVL("bundled", device="cpu", threads=1, **options) for name, options in ways.items()}
    plain = PlainGenerate(models["engine"])
    found = {
        "own prompt": own_prompt(models, plain, args.rounds),
        "as Qwen is asked": as_qwen_is_asked(models["engine"], plain, args.rounds),
        "overhead": overhead(models["engine"], args.rounds),
        "rounds": args.rounds,
        "llguidance": available(),
        "torch": torch.__version__,
    }
    show(found)
    (RESULTS_FOLDER / "decoding.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
