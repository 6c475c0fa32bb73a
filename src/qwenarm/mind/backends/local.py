"""Qwen-VL checkpoints on this machine, through transformers: bundled, from a folder, or from the Hub."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.checkpoints.adapter import adapter_sha256, merge_adapter
from qwenarm.mind.checkpoints.load import Checkpoint, load_model, locate, plan_for, quiet
from qwenarm.mind.checkpoints.memory import Load
from qwenarm.mind.checkpoints.placement import is_out_of_memory, out_of_memory
from qwenarm.mind.constrained import lark as grammar
from qwenarm.mind.inference.answer import Answer
from qwenarm.mind.inference.engine import Asked, Engine
from qwenarm.mind.inference.preprocessing import Asker
from qwenarm.types import Completion, Prompt

SMALL = 256 << 20  # bytes of weights up to which a second CPU thread costs more in hand-overs than it brings


class QwenVL:
    """One loaded checkpoint. Greedy, unless it thinks or a temperature is given; then the seed makes the samples
    repeatable: each depends on it and on the prompt, not on what is answered before or in the same batch.

    device, dtype: by default what is there and fits (``fitting.choose``): CUDA in bf16 or 4-bit, Apple's GPU in fp16, a
    CPU in fp32 (bf16 for more than 2 GiB of weights). batch: prompts answered together. threads: of the CPU, by default
    one for a small model and torch's choice for others. thinking: lets models think that can choose (Qwen3.5); others
    do as they were trained. constrained: answers can only be calls that the prompt's tools allow; by default wherever
    llguidance is installed (extra ``constrained``). adapter: the folder of a LoRA adapter that is merged in. Raises
    ModelUnavailable when the checkpoint or the adapter is missing, broken, of another architecture or too large,
    BadInput for a device that is not there and for numbers that make no sense.
    """

    def __init__(
        self,
        source: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        batch: int = 16,
        threads: int | None = None,
        thinking: bool = False,
        constrained: bool | None = None,
        temperature: float | None = None,
        seed: int = 0,
        adapter: str = "",
    ) -> None:
        if batch < 1 or (threads is not None and threads < 1) or not 0 <= (temperature or 0.0) < math.inf:
            raise BadInput("batch and threads of a model are at least 1, its temperature at least 0 and finite.")
        checkpoint = locate(source)
        self.name, self.checkpoint = source, checkpoint
        self.preset = checkpoint.preset
        frames = (self.preset.fitted(checkpoint.family).frame_size,) * len(self.preset.cameras)
        self.plan = plan_for(checkpoint, Load(frames=frames, answer=self.preset.max_tokens), device, dtype)
        self.device, self.dtype = self.plan.device, getattr(torch, self.plan.dtype)
        self.threads = threads or _default_threads(self.device, checkpoint)
        self.batch, self.seed = batch, seed
        self.asker = Asker(checkpoint, thinking)
        self.processor, self.family, self.opening = self.asker.processor, self.asker.family, self.asker.opening
        self.thinking = _leaves_thinking_open(self.opening) or (thinking and self.family.thinking_switch)
        if thinking and not self.thinking:
            raise BadInput(f"{source!r} ({self.family.title}) cannot be told to think; take one named Thinking.")
        self.sampling = self.family.sampling(self.thinking, temperature)
        self.model, self.adapter = load_model(checkpoint, self.plan), adapter
        if adapter:
            self.model = merge_adapter(self.model, source, adapter)
        self._parameters = sum(weight.numel() for weight in self.model.parameters())
        self._stops = _stop_ids(self.model, self.processor.tokenizer)
        self.engine = Engine(self.model, self.sampling)
        self._grammars = self._make_grammars(constrained)

    def describe(self) -> Mapping[str, Any]:
        return {
            "model": self.name,
            "family": self.family.name,
            "model_type": self.checkpoint.model_type,
            "revision": self.checkpoint.revision,
            "sha256": self.checkpoint.sha256,
            "files": self.checkpoint.files,
            "parameters": self._parameters,
            "device": self.device,
            "dtype": self.plan.name,
            "threads": self.threads,
            "sampling": asdict(self.sampling),
            "seed": self.seed,
            "thinking": self.thinking,
            "constrained": self._grammars is not None,
            **({"adapter": adapter_sha256(self.adapter)} if self.adapter else {}),
        }

    def text_of(self, prompt: Prompt) -> str:
        """The prompt as the checkpoint's chat template writes it, images as one placeholder each."""
        return self.asker.text(prompt)

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        done: list[Completion] = []
        for start in range(0, len(prompts), self.batch):
            done += self._generate(prompts[start : start + self.batch])
        return done

    def _generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        began = perf_counter()
        asked = [self._asked(prompt) for prompt in prompts]
        lengths = [len(one.ids) for one in asked]
        try:
            with quiet(), _cpu_threads(self.threads):
                self.engine.write(asked)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            message = out_of_memory(self.name, self.checkpoint.weights, self.plan, len(prompts))
            raise ModelUnavailable(message) from error
        seconds = (perf_counter() - began) / len(prompts)
        return [self._completion(one.answer, length, seconds) for one, length in zip(asked, lengths, strict=True)]

    def _asked(self, prompt: Prompt) -> Asked:
        """The prompt as tokens and pixels, with an answer that is still to be written."""
        ids, pixels, grids = self.asker.read(prompt)
        source = self._source(ids, pixels) if self.sampling.temperature > 0 else None
        return Asked(ids, self._answer(prompt), pixels, grids, source)

    def _source(self, ids: Sequence[int], pixels: torch.Tensor | None) -> torch.Generator:
        """Of a prompt's random numbers."""
        seen = hashlib.sha256(repr((self.seed, *ids)).encode() + (b"" if pixels is None else pixels.numpy().tobytes()))
        return torch.Generator().manual_seed(int.from_bytes(seen.digest()[:7]))

    def _answer(self, prompt: Prompt) -> Answer:
        """What the answer may be: calls if the prompt has tools, and frames to point into; else anything."""
        if self._grammars is None or not prompt.tools or not prompt.images:
            return Answer(prompt.max_tokens, self._stops)
        end = self.processor.tokenizer.convert_tokens_to_ids(grammar.THOUGHT_END) if self.thinking else None
        return Answer(prompt.max_tokens, self._stops, self._grammars.matcher(prompt, self.thinking), end)

    def _make_grammars(self, wanted: bool | None) -> grammar.Grammars | None:
        """None if answers are free: because that is wished, or because the means are missing and nobody insisted."""
        tokenizer = self.processor.tokenizer
        missing = "" if grammar.available() else "llguidance; install it with `pip install 'qwenarm[constrained]'`"
        if self.thinking and grammar.THOUGHT_END not in tokenizer.get_vocab():
            missing = f"a token {grammar.THOUGHT_END} in the checkpoint's vocabulary"
        if wanted and missing:
            raise ModelUnavailable(f"Constrained answers need {missing}.")
        if missing or wanted is False:
            return None
        return grammar.Grammars(tokenizer, self.model.get_output_embeddings().out_features, self._stops, self.family)

    def _completion(self, answer: Answer, tokens_in: int, seconds: float) -> Completion:
        text = self.opening + self.processor.tokenizer.decode(answer.tokens, skip_special_tokens=False)
        return Completion(text, seconds, tokens_in, answer.spent, answer.finish)


def _default_threads(device: str, checkpoint: Checkpoint) -> int:
    return 1 if device == "cpu" and checkpoint.weight_bytes < SMALL else torch.get_num_threads()


@contextmanager
def _cpu_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _stop_ids(model: Any, tokenizer: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    ids = set(ends) if isinstance(ends, list) else {ends}
    return {token for token in ids | {tokenizer.eos_token_id} if token is not None}


def _leaves_thinking_open(opening: str) -> bool:
    return opening.rfind("<think>") > opening.rfind("</think>")
