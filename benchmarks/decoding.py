"""How fast the bundled model decides on a CPU, against transformers' plain ``generate``, and what the cost grows with.

Plain: the same weights loaded as transformers loads them, its processor, its ``generate``, greedy, on the same prompts.
Goal: at least 3 times as many decisions a second. All variants take turns on every prompt, one thread each, and the
figures are medians of processor time, so that other work on the machine disturbs them little; wall times stand in the
JSON beside them. Once with the model's own short prompt; and once as a real Qwen is asked: with the prompt for any
Qwen-VL, most of it constant, and an answer that leaves as little open as in Qwen3's vocabulary (weights that were not
trained on it babble there, so length and pace of the answer are fixed for both).

The engine guesses from the answers that it wrote before (drafts.py). Therefore, with the model's own prompt, it has
answered 16 other first looks, and nothing is timed that was answered before; as a real Qwen it has answered nothing.

Also: the agent's own share of a decision, without model and physics, goal < 10 ms at 256 x 256.
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
from qwenarm.mind.backends.local import QwenVL
from qwenarm.mind.checkpoints.load import load_model
from qwenarm.mind.constrained.lark import available
from qwenarm.mind.inference.answer import Answer
from qwenarm.mind.inference.engine import Asked
from qwenarm.mind.inference.fused.speculative import Drafts
from qwenarm.mind.prompt.messages import parse, to_prompt
from qwenarm.mind.prompt.presets import QWEN, Preset
from qwenarm.mind.vlm_policy import VlmPolicy
from qwenarm.skills import specs
from qwenarm.types import Completion, Decision, Observation, Prompt, RunConfig, SkillCall, SkillResult, Turn

RESULTS = Path(__file__).parent / "results"
GOAL = 3.0
TOGETHER = 16
OVERHEAD_GOAL_MS = 10.0
SQUARE = (256, 256)
CAMERAS = ("front", "overhead", "wrist", "wide")

FORCED_HEAD = 5
RUNS = (1, 11, 1, 1, 1, 8, 1, 1, 3, 1, 1, 5)
"""The call "pick the red cube at [512, 430]" in Qwen3's vocabulary: so many tokens lead to its first config, and so
many are known at each config, itself included (tests/mind/test_golden.py)."""

Times = dict[str, dict[str, list[float]]]


class Paced(Answer):
    """An answer of that pace, whatever the model chooses."""

    def __init__(self, runs: Sequence[int] = RUNS) -> None:
        super().__init__(limit=FORCED_HEAD + sum(runs), stops=())
        self.runs = runs

    def begin(self) -> list[int]:
        self.tokens, self._left = [1] * FORCED_HEAD, list(self.runs)
        return list(self.tokens)

    def take(self, token: int) -> list[int]:
        known = [token] + [1] * (self._left.pop(0) - 1)
        self.tokens += known
        self.finish = "" if self._left else "stop"
        return known


class Plain:
    """The bundled checkpoint as transformers alone runs it."""

    def __init__(self, like: QwenVL) -> None:
        self.like, self.model = like, load_model(like.checkpoint, like.plan)
        like.processor.tokenizer.padding_side = "left"

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """The answers, without the token that ends them."""
        answers = self._write(prompts, max_new_tokens=prompts[0].max_tokens)
        return [text.partition("<|im_end|>")[0] for text in self.like.processor.tokenizer.batch_decode(answers)]

    def generate_paced(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """Answers of the length of a ``Paced`` one and the token that ends it."""
        length = FORCED_HEAD + sum(RUNS) + 1
        return self._write(prompts, min_new_tokens=length, max_new_tokens=length)

    @torch.inference_mode()
    def _write(self, prompts: Sequence[Prompt], **length: int) -> torch.Tensor:
        texts = [self.like.text_of(prompt) for prompt in prompts]
        images = [[Image.fromarray(image) for image in prompt.images] for prompt in prompts]
        inputs = self.like.processor(text=texts, images=images, padding=True, return_tensors="pt")
        output = self.model.generate(**inputs, do_sample=False, **length)
        return output[:, inputs["input_ids"].shape[1] :]


def looks(model: QwenVL, preset: Preset, count: int) -> list[Observation]:
    """The first looks of so many episodes of ``put``."""
    policy, env, found = VlmPolicy(model, specs(), preset), make_env(RunConfig("put")), []
    for seed in range(count):
        env.reset(seed=seed)
        found.append(observe(env, policy))
    env.close()
    return found


def asked_of(model: QwenVL, observations: Sequence[Observation], preset: Preset, **more: Any) -> list[Prompt]:
    """The prompts of these observations."""
    offered = preset.offered(specs())[: more.get("tools")]
    return [to_prompt(seen, more.get("history", ()), offered, model.family, preset) for seen in observations]


def in_turn(
    variants: Mapping[str, Callable[[Any], Any]], inputs: Sequence[Any], rounds: int = 1, warm: Any = None
) -> Times:
    """Lets every variant work on every input, one after the other; ms of processor and wall time. warm: what they work
    on before, by default the first input.
    """
    times: Times = {name: {"cpu": [], "wall": []} for name in variants}
    for work in variants.values():
        work(inputs[0] if warm is None else warm)
    for _ in range(rounds):
        for given in inputs:
            for name, work in variants.items():
                cpu, wall = time.process_time(), time.perf_counter()
                work(given)
                times[name]["cpu"].append((time.process_time() - cpu) * 1e3)
                times[name]["wall"].append((time.perf_counter() - wall) * 1e3)
    return times


def medians(times: Times, share: int = 1) -> dict[str, dict[str, float]]:
    """Median ms, divided among so many decisions."""
    return {
        name: {clock: statistics.median(values) / share for clock, values in clocks.items()}
        for name, clocks in times.items()
    }


def against_plain(model: QwenVL, free: QwenVL, plain: Plain, rounds: int) -> dict[str, Any]:
    """Decisions one by one and sixteen together, and how many answers are the same."""
    prompts = asked_of(model, looks(model, model.preset, TOGETHER * (rounds + 1)), model.preset)
    first, others = prompts[:TOGETHER], prompts[TOGETHER:]
    works = {"plain": plain.generate, "free": free.generate, "constrained": model.generate}
    texts = {name: [text_of(work([prompt])[0]) for prompt in first] for name, work in works.items()}
    alone = medians(in_turn(works, [[prompt] for prompt in others], warm=first[:1]))
    batches = [others[start : start + TOGETHER] for start in range(0, len(others), TOGETHER)]
    together = medians(in_turn(works, batches), TOGETHER)
    same = {name: sum(map(str.__eq__, texts["plain"], texts[name])) for name in ("free", "constrained")}
    return {"alone": alone, f"batch of {TOGETHER}": together, f"of {TOGETHER} answers the same as plain": same}


def text_of(answer: str | Completion) -> str:
    """An answer's text, whoever wrote it."""
    return answer if isinstance(answer, str) else answer.text


def as_qwen_is_asked(model: QwenVL, plain: Plain, rounds: int) -> dict[str, Any]:
    """The prompt for any Qwen-VL with one frame, and answers of Qwen3's pace."""
    preset = replace(QWEN, frame_size=SQUARE)
    prompts = asked_of(model, looks(model, preset, 4), preset)
    works = {"plain": plain.generate_paced, "engine": writes(model, Paced)}
    alone = medians(in_turn(works, [[prompt] for prompt in prompts], rounds))
    together = medians(in_turn(works, [prompts], rounds), len(prompts))
    return {"alone": alone, "batch of 4": together, "tokens": len(model._asked(prompts[0]).ids)}


def writes(model: QwenVL, answer: Callable[[], Answer]) -> Callable[[Sequence[Prompt]], None]:
    """Lets the engine answer prompts, each with such an answer."""

    def write(prompts: Sequence[Prompt]) -> None:
        asked, model.engine.drafts = [model._asked(prompt) for prompt in prompts], Drafts()
        model.engine.write([Asked(one.ids, answer(), one.pixels, one.grids) for one in asked])

    return write


def turns(seen: Observation, count: int) -> tuple[Turn, ...]:
    """So many calls that went well."""
    call, done = SkillCall("say", {"text": "now the red cube"}), SkillResult(True)
    return tuple(Turn(index, seen, Decision((call,)), (done,)) for index in range(count))


def growth(model: QwenVL, rounds: int) -> dict[str, dict[str, float]]:
    """ms of processor time until the first token, with the prompt for any Qwen-VL, by what the prompt holds."""
    base, read = replace(QWEN, frame_size=SQUARE), writes(model, lambda: Answer(1, ()))
    wide, told = replace(base, frame_size=(480, 640)), replace(base, history=16)
    seen = looks(model, replace(base, cameras=CAMERAS), 1)
    past = {count: turns(seen[0], count) for count in (0, 4, 16)}
    cases = {"1 frame of 640 x 480": asked_of(model, looks(model, wide, 1), wide)}
    for count in (1, 2, 4):
        shown = replace(base, cameras=CAMERAS[:count])
        cases[f"{count} frames of 256 x 256"] = asked_of(model, seen, shown)
    cases |= {f"{count} tools": asked_of(model, seen, base, tools=count) for count in (1, 5, 9)}
    cases |= {f"{count} calls of history": asked_of(model, seen, told, history=done) for count, done in past.items()}
    cases |= {f"batch of {count}": asked_of(model, seen * count, base) for count in (1, 4)}
    found = {}
    for name, prompts in cases.items():  # one after the other, so that each has its prefix at hand as in an episode
        times = in_turn({name: read}, [prompts], 3 * rounds)
        found[name] = {"tokens": len(model._asked(prompts[0]).ids), "ms": medians(times, len(prompts))[name]["cpu"]}
    return found


def overhead(model: QwenVL, rounds: int) -> dict[str, float]:
    """ms of processor time for what a decision takes beside the model, at 256 x 256."""
    preset = replace(model.preset, frame_size=SQUARE)
    policy, env = VlmPolicy(model, specs(), preset), make_env(RunConfig("put"))
    env.reset(seed=0)
    seen = observe(env, policy)
    (prompt,) = asked_of(model, [seen], preset)
    (said,) = model.generate([prompt])
    sizes = {"front": SQUARE}
    parts: dict[str, Callable[[Any], Any]] = {
        "render": lambda _: observe(env, policy),
        "messages": lambda _: asked_of(model, [seen], preset),
        "tokens, pixels, grammar": lambda _: model._asked(prompt),
        "parse": lambda _: parse(said.text, policy.specs, model.family, sizes, max_calls=1, finish=said.finish),
    }
    found = {name: clocks["cpu"] for name, clocks in medians(in_turn(parts, [None], 10 * rounds)).items()}
    env.close()
    return {**found, "all": sum(found.values())}


def tell(found: Mapping[str, Any]) -> None:
    """Prints what was found."""
    for part in ("its own prompt", "as Qwen is asked"):
        for how, rows in found[part].items():
            if isinstance(rows, dict) and "plain" in rows:
                for name, clocks in rows.items():
                    ratio = rows["plain"]["cpu"] / clocks["cpu"]
                    print(f"{part}, {how}: {name:12} {clocks['cpu']:7.1f} ms of CPU a decision, {ratio:.2f} x plain")
            else:
                print(f"{part}, {how}: {rows}")
    print(f"goal {GOAL:g} x plain")
    for name, row in found["until the first token"].items():
        print(f"{name:26} {row['tokens']:5} tokens {row['ms']:7.1f} ms")
    for name, value in found["overhead"].items():
        print(f"overhead: {name:26} {value:6.2f} ms")
    print(f"goal {OVERHEAD_GOAL_MS:g} ms")


def main() -> None:
    """Measures, prints, and writes benchmarks/results/decoding.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    torch.set_num_threads(1)
    model = QwenVL("bundled", device="cpu", threads=1)
    free = QwenVL("bundled", device="cpu", threads=1, constrained=False)
    plain = Plain(model)
    found = {
        "its own prompt": against_plain(model, free, plain, args.rounds),
        "as Qwen is asked": as_qwen_is_asked(model, plain, args.rounds),
        "until the first token": growth(model, args.rounds),
        "overhead": overhead(model, args.rounds),
        "rounds": args.rounds,
        "llguidance": available(),
        "torch": torch.__version__,
    }
    tell(found)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "decoding.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
