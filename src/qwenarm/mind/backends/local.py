"""Qwen checkpoints on this machine, through transformers: bundled, from a folder, or from the Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.backends import STREAM_PERIOD_S, BackendEntry
from qwenarm.mind.checkpoints.adapter import adapter_sha256, merge_adapter
from qwenarm.mind.checkpoints.load import Checkpoint, locate, quiet
from qwenarm.mind.checkpoints.memory import Workload
from qwenarm.mind.checkpoints.model import load_model, plan_for
from qwenarm.mind.checkpoints.placement import is_out_of_memory, out_of_memory
from qwenarm.mind.constrained import lark
from qwenarm.mind.families import GREEDY_SAMPLING, Sampling
from qwenarm.mind.inference.answer import GeneratedAnswer
from qwenarm.mind.inference.engine import Engine, GenerationRequest, NonFiniteLogits
from qwenarm.mind.inference.fused.engine import FusedEngine
from qwenarm.mind.inference.heap import trim_heap
from qwenarm.mind.inference.preprocessing import PromptEncoder, TextEncoder, first_message
from qwenarm.mind.model_spec import LOCAL_OPTIONS
from qwenarm.mind.prompt.chat_templates import without_images
from qwenarm.typed import typed_arguments
from qwenarm.types import Completion, Prompt

MAX_SINGLE_THREAD_BYTES = 256 << 20
"""Weights of up to this many bytes use one CPU thread: a second one costs more to synchronise than it brings."""
ANSWERS_BETWEEN_TRIMS = 512
"""Number of answers after which free memory is given back to the system, which takes some 20 ms."""


def make_engine(model: Any, sampling: Sampling = GREEDY_SAMPLING, fused: bool = True) -> Engine:
    """The engine for a model of transformers. fused: take the fused one where it supports the model."""
    return FusedEngine(model, sampling) if fused and FusedEngine.supports(model) else Engine(model, sampling)


class QwenVL:
    """One loaded checkpoint.

    Answers are greedy unless the model thinks or a temperature is given. Then the seed makes them repeatable: a sample
    depends on it and on the prompt, not on earlier prompts or on others of its batch.

    Args:
        source: "bundled", a folder, a GGUF file, or a Hub id.
        device, dtype: by default what is available and fits (``checkpoints.placement``): CUDA in bfloat16 or 4-bit,
            Apple's GPU in float16, a CPU in float32 (bfloat16 for more than 2 GiB of weights).
        batch: maximum number of prompts that are answered together.
        threads: of the CPU; by default one for a small model, and torch's choice for others.
        thinking: lets a model think that has the choice (Qwen3.5); others do as they were trained.
        constrained: answers can only be calls that the prompt's tools allow. By default wherever llguidance is
            installed (extra ``constrained``).
        fused: use the fused engine where it supports the model. The answers are the same, only slower without.
        temperature, top_p, top_k: of sampling; by default what suits the family.
        seed: of sampling.
        adapter: the folder of a LoRA adapter that is merged into the weights.
        images: False leaves out the pictures of every prompt. A text model (Qwen2.5, Qwen3) needs that.

    Raises:
        ModelUnavailable: the checkpoint or the adapter is missing, broken, of another architecture or too large.
        BadInput: the device does not exist, or a number is out of range.
    """

    on_text: Callable[[str], None] | None = None
    """See ``StreamingBackend``."""

    @typed_arguments
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
        fused: bool = True,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        seed: int = 0,
        adapter: str = "",
        images: bool = True,
    ) -> None:
        if batch < 1 or (threads is not None and threads < 1):
            raise BadInput("batch and threads of a model are at least 1.")
        checkpoint = locate(source)
        self.name, self.checkpoint = source, checkpoint
        self.preset = checkpoint.preset
        self.sees = images
        frames = () if not images else (self.preset.fitted(checkpoint.family).frame_size,) * len(self.preset.cameras)
        workload = Workload(frames=frames, answer_tokens=self.preset.max_tokens)
        self.plan = plan_for(checkpoint, workload, device, dtype)
        self.device, self.dtype = self.plan.device, getattr(torch, self.plan.dtype)
        self.threads = threads or _default_threads(self.device, checkpoint)
        self.batch, self.seed = batch, seed
        self._answers = 0
        blind = not (images or checkpoint.has_eyes)
        self.encoder = TextEncoder(checkpoint, thinking) if blind else PromptEncoder(checkpoint, thinking)
        self.tokenizer, self.family, self.opening = self.encoder.tokenizer, self.encoder.family, self.encoder.opening
        opens_thought = self.opening.rfind("<think>") > self.opening.rfind("</think>")
        self.thinking = opens_thought or (thinking and self.family.thinking_switch)
        if thinking and not self.thinking:
            raise BadInput(f"{source!r} ({self.family.title}) cannot be told to think; take one named Thinking.")
        drawn = self.family.sampling(self.thinking, temperature)
        self.sampling = drawn.chosen(temperature=temperature, top_p=top_p, top_k=top_k)
        self.model, self.adapter = load_model(checkpoint, self.plan), adapter
        if adapter:
            self.model = merge_adapter(self.model, source, adapter)
        self._parameters = sum(weight.numel() for weight in self.model.parameters())
        self._stops = _stop_ids(self.model, self.tokenizer)
        self.engine = make_engine(self.model, self.sampling, fused)
        self._grammars = self._make_grammars(constrained)

    def describe(self) -> Mapping[str, Any]:
        return {
            **self.checkpoint.describe(),
            "parameters": self._parameters,
            "device": self.device,
            "dtype": self.plan.name,
            "threads": self.threads,
            "sampling": asdict(self.sampling),
            "seed": self.seed,
            "thinking": self.thinking,
            "constrained": self._grammars is not None,
            "fused": isinstance(self.engine, FusedEngine),
            **({} if self.sees else {"images": False}),
            **({"adapter": adapter_sha256(self.adapter)} if self.adapter else {}),
        }

    def text_of(self, prompt: Prompt) -> str:
        """The prompt as the checkpoint's chat template writes it, with one placeholder per image."""
        return self.encoder.text(prompt if self.sees else without_images(prompt))

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        completions: list[Completion] = []
        for start in range(0, len(prompts), self.batch):
            completions += self._generate(prompts[start : start + self.batch])
        self._answers += len(completions)
        if self._answers >= ANSWERS_BETWEEN_TRIMS:
            self._answers = 0
            trim_heap()
        return completions

    def _generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        began = perf_counter()
        requests = [self.request(prompt) for prompt in prompts]
        lengths = [len(request.ids) for request in requests]
        if self.on_text is not None and len(requests) == 1:
            requests[0].answer.on_tokens = self._teller(self.on_text)
        try:
            with quiet(), _cpu_threads(self.threads):
                self.engine.generate(requests)
        except NonFiniteLogits as error:
            raise ModelUnavailable(
                f"{self.name!r} computes NaN or infinity instead of logits in {self.plan.name}: its weights are "
                "damaged, or it needs a dtype of wider range (as in #dtype=float32)."
            ) from error
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            message = out_of_memory(self.name, self.checkpoint.weights, self.plan, len(prompts))
            raise ModelUnavailable(message) from error
        seconds = (perf_counter() - began) / len(prompts)
        return [self._completion(one.answer, length, seconds) for one, length in zip(requests, lengths, strict=True)]

    def request(self, prompt: Prompt) -> GenerationRequest:
        """The prompt as the engine takes it, with an answer that is still to be generated."""
        ids, pixels, grids = self.encoder.encode(prompt if self.sees else without_images(prompt))
        generator = self._generator(ids, pixels) if self.sampling.temperature > 0 else None
        prefix = first_message(ids, self.tokenizer) if pixels is None else 0
        return GenerationRequest(ids, self._answer(prompt), pixels, grids, generator, prefix)

    def _generator(self, ids: Sequence[int], pixels: torch.Tensor | None) -> torch.Generator:
        """Returns the generator of random numbers for a prompt, which depends on its content and on the seed alone."""
        image = b"" if pixels is None else pixels.numpy().tobytes()
        digest = hashlib.sha256(repr((self.seed, *ids)).encode() + image).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7]))

    def _answer(self, prompt: Prompt) -> GeneratedAnswer:
        """What the answer may be: calls if the prompt has tools, and images to point into; else anything."""
        if self._grammars is None or not prompt.tools or not prompt.images:
            return GeneratedAnswer(prompt.max_tokens, self._stops)
        end = self.tokenizer.convert_tokens_to_ids(lark.THOUGHT_END) if self.thinking else None
        return GeneratedAnswer(prompt.max_tokens, self._stops, self._grammars.matcher(prompt, self.thinking), end)

    def _make_grammars(self, wanted: bool | None) -> lark.Grammars | None:
        """Returns the grammars, or None if answers are free: by the user's choice, or because something is missing."""
        tokenizer = self.tokenizer
        missing = "" if lark.available() else "llguidance; install it with `pip install 'qwenarm[constrained]'`"
        if self.thinking and lark.THOUGHT_END not in tokenizer.get_vocab():
            missing = f"a token {lark.THOUGHT_END} in the checkpoint's vocabulary"
        if wanted and missing:
            raise ModelUnavailable(f"Constrained answers need {missing}.")
        if missing or wanted is False:
            return None
        return lark.Grammars(tokenizer, self.model.get_output_embeddings().out_features, self._stops, self.family)

    def _completion(self, answer: GeneratedAnswer, tokens_in: int, seconds: float) -> Completion:
        return Completion(self._text(answer.tokens), seconds, tokens_in, answer.tokens_used, answer.finish)

    def _text(self, tokens: Sequence[int]) -> str:
        return self.opening + self.tokenizer.decode(tokens, skip_special_tokens=False)

    def _teller(self, on_text: Callable[[str], None]) -> Callable[[Sequence[int]], None]:
        """Passes the text of an answer on, not more often than anybody can read."""
        last = perf_counter()

        def told(tokens: Sequence[int]) -> None:
            nonlocal last
            if perf_counter() - last >= STREAM_PERIOD_S:
                on_text(self._text(tokens))
                last = perf_counter()

        return told


def _default_threads(device: str, checkpoint: Checkpoint) -> int:
    small = device == "cpu" and checkpoint.weight_bytes < MAX_SINGLE_THREAD_BYTES
    return 1 if small else torch.get_num_threads()


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


MODEL_NAMES = {
    "bundled": "the small model that ships with qwenarm; knows only this project's world, needs no network",
    "ORG/NAME": "a Qwen2.5-VL, Qwen3-VL or Qwen3.5 checkpoint of the Hub, also ORG/NAME@REVISION; options may follow: "
    "ORG/NAME#thinking=yes,dtype=float16",
    "./folder": "a checkpoint in a folder, in the Hub's layout with safetensors; a text model is played with "
    "./folder#images=no and --policy state_text",
    "./model.gguf": "a Qwen2 or Qwen3 text model in GGUF (extra gguf), played as ./model.gguf#images=no with "
    "--policy state_text",
}
BACKEND = BackendEntry(QwenVL, LOCAL_OPTIONS)
