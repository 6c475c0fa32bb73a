"""Qwen-VL checkpoints on this machine, through transformers: bundled, from a folder, or from the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
from PIL import Image

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.checkpoints import Checkpoint, load_model, load_processor, locate, quiet
from qwenarm.mind.coordinates import ResizedPixels
from qwenarm.mind.families import Family
from qwenarm.mind.language import with_tools_in_text
from qwenarm.types import Completion, Prompt

SMALL = 256 << 20  # bytes of weights up to which a second CPU thread costs more in hand-overs than it brings
LARGE = 2 << 30  # bytes of weights from which a CPU keeps them in bf16: in fp32 they would crowd the memory out


class QwenVL:
    """One loaded checkpoint. Greedy unless a temperature is given; then the seed makes the samples repeatable.

    device, dtype: by default what is there: CUDA in bf16, Apple's GPU in fp16, a CPU in fp32 (bf16 above 2 GiB of
    weights). batch: prompts answered together. threads: of the CPU, by default one for a small model and torch's choice
    for others. thinking: lets models think that can choose (Qwen3.5); others do as they were trained. Raises
    ModelUnavailable when the checkpoint is missing, broken or of another architecture.
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
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        checkpoint = locate(source)
        self.name, self.checkpoint = source, checkpoint
        self.preset = checkpoint.preset
        self.device = device or _device()
        self.dtype = _dtype(dtype) if dtype else _default_dtype(self.device, checkpoint)
        self.threads = threads or _default_threads(self.device, checkpoint)
        self.batch, self.temperature, self.seed, self._drawn = batch, temperature, seed, 0
        self.processor = load_processor(checkpoint)
        self.family = _with_limits_of(self.processor, checkpoint.family)
        self.model = load_model(checkpoint, self.device, self.dtype)
        self._template = {"enable_thinking": thinking} if self.family.thinking_switch else {}
        self._stops = _stop_ids(self.model, self.processor.tokenizer)
        self.opening = _opening(self.processor, self._template)
        self.thinking = _leaves_thinking_open(self.opening) or (thinking and self.family.thinking_switch)

    def describe(self) -> Mapping[str, Any]:
        return {
            "model": self.name,
            "family": self.family.name,
            "model_type": self.checkpoint.model_type,
            "revision": self.checkpoint.revision,
            "sha256": self.checkpoint.sha256,
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "device": self.device,
            "dtype": str(self.dtype).removeprefix("torch."),
            "threads": self.threads,
            "temperature": self.temperature,
            "seed": self.seed,
            "thinking": self.thinking,
        }

    def text_of(self, prompt: Prompt) -> str:
        """The prompt as the checkpoint's chat template writes it, images as one placeholder each."""
        if prompt.tools and "tools" not in str(self.processor.chat_template):
            # Qwen2.5-VL's template knows no tools: they go into the system text
            prompt = with_tools_in_text(prompt, self.family)
        return self.processor.apply_chat_template(
            list(prompt.messages),
            tools=list(prompt.tools) or None,
            add_generation_prompt=True,
            tokenize=False,
            **self._template,
        )

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        done: list[Completion] = []
        for start in range(0, len(prompts), self.batch):
            done += self._generate(prompts[start : start + self.batch])
        return done

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Prompt]) -> list[Completion]:
        began = perf_counter()
        inputs = self._inputs(prompts)
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        try:
            with quiet(), _cpu_threads(self.threads), self._seeded():
                longest = max(prompt.max_tokens for prompt in prompts)
                output = self.model.generate(**inputs, **self._sampling(), max_new_tokens=longest)
        except torch.OutOfMemoryError as error:
            raise ModelUnavailable(
                f"{self.name!r} ran out of memory on {self.device} with {len(prompts)} prompts; use a smaller batch."
            ) from error
        answers = output[:, inputs["input_ids"].shape[1] :].tolist()
        seconds = (perf_counter() - began) / len(prompts)
        rows = zip(prompts, answers, lengths, strict=True)
        return [self._completion(answer, prompt.max_tokens, length, seconds) for prompt, answer, length in rows]

    def _inputs(self, prompts: Sequence[Prompt]) -> Any:
        images = [Image.fromarray(image) for prompt in prompts for image in prompt.images]
        inputs = self.processor(
            text=[self.text_of(prompt) for prompt in prompts],
            images=images or None,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        return inputs.to(self.device, dtype=self.dtype)  # casts floating tensors only

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Samples that depend on the seed and on how many batches were drawn before, and on no other use of torch."""
        if self.temperature <= 0:
            yield
            return
        with torch.random.fork_rng():
            torch.manual_seed(self.seed + self._drawn)
            self._drawn += 1
            yield

    def _sampling(self) -> dict[str, Any]:
        ends = {"eos_token_id": sorted(self._stops), "pad_token_id": self.processor.tokenizer.pad_token_id}
        if self.temperature > 0:
            return {**ends, "do_sample": True, "temperature": self.temperature}
        return {**ends, "do_sample": False, "temperature": None, "top_p": None, "top_k": None}

    def _completion(self, answer: list[int], limit: int, tokens_in: int, seconds: float) -> Completion:
        """Up to the first stop token. Another prompt of the batch may have had more room, hence the limit."""
        stop = next((place for place, token in enumerate(answer[:limit]) if token in self._stops), None)
        kept = answer[:limit] if stop is None else answer[:stop]
        text = self.opening + self.processor.tokenizer.decode(kept, skip_special_tokens=False)
        count = len(kept) + (stop is not None)
        return Completion(text, seconds, tokens_in, count, "length" if stop is None else "stop")


def _with_limits_of(processor: Any, family: Family) -> Family:
    """The family, counting pixels as this checkpoint's processor resizes them."""
    if not isinstance(family.codec, ResizedPixels):
        return family
    size = processor.image_processor.size
    limits = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    return replace(family, codec=replace(family.codec, **limits))


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise BadInput(f"There is no dtype {name!r}. Valid: float32, bfloat16, float16.")
    return dtype


def _default_dtype(device: str, checkpoint: Checkpoint) -> torch.dtype:
    if device.startswith("cuda"):
        return torch.bfloat16
    if device.startswith("mps"):
        return torch.float16
    return torch.bfloat16 if checkpoint.weight_bytes > LARGE else torch.float32


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


def _opening(processor: Any, template: Mapping[str, Any]) -> str:
    """What the template writes at the head of every answer, such as "<think>\\n" of a thinking model; "" for most."""
    turn = "<|im_start|>assistant\n"
    text = processor.apply_chat_template(
        [{"role": "user", "content": "?"}], add_generation_prompt=True, tokenize=False, **template
    )
    return text.rpartition(turn)[2] if turn in text else ""
