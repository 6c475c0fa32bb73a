"""LoRA fine-tuning of a real Qwen-VL on demonstrations, with transformers' Trainer and peft (extra ``train``).

The code that acts also turns training prompts into tokens, so there is no second chat template to keep in sync. On
several GPUs: ``accelerate launch -m qwenarm train sft --lora ...``. If the GPU is too small for the weights, they
are held in 4-bit (QLoRA), as in ``qwenarm run``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.checkpoints.memory import Workload
from qwenarm.mind.checkpoints.model import load_model, plan_for
from qwenarm.mind.inference.preprocessing import PromptEncoder
from qwenarm.mind.inference.transformers_forward import repeat_in_time
from qwenarm.train.batches import IGNORED_LABEL, Example, Reader
from qwenarm.train.dataset import read_shards

LORA_RANK, LORA_ALPHA, LORA_DROPOUT = 16, 32, 0.05
"""Hyperparameters of the adapter, with usual values for fine-tuning."""
LANGUAGE_LINEARS = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
"""The modules that get adapters: the projections of the language model. The vision tower is frozen."""
CHECKPOINT_COUNT = 10
"""Number of times that the state of a run is saved."""


class Decisions(torch.utils.data.Dataset):
    """Demonstrations by index."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]


class Collator:
    """Turns demonstrations into the arguments of a transformers model."""

    def __init__(self, reader: Reader, vision: Any, pad: int) -> None:
        self.reader, self.vision, self.pad = reader, vision, pad

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        read = [self.reader.tokens(example) for example in examples]
        length = max(len(tokens.ids) for tokens in read)
        ids = torch.full((len(read), length), self.pad)
        labels = torch.full((len(read), length), IGNORED_LABEL)
        mask = torch.zeros((len(read), length), dtype=torch.long)
        for i, tokens in enumerate(read):
            size = len(tokens.ids)
            ids[i, :size], mask[i, :size] = torch.tensor(tokens.ids), 1
            labels[i, tokens.answer : size] = ids[i, tokens.answer : size]
        frames = [picture for shard, line in examples for picture in shard.pictures(line["images"])]
        pixels, grids = self.reader.encoder.fast_processor.pixels(frames)
        return {
            "input_ids": ids, "attention_mask": mask, "labels": labels,
            "mm_token_type_ids": (ids == self.reader.image).long(),
            "pixel_values": repeat_in_time(pixels, self.vision), "image_grid_thw": grids,
        }  # fmt: skip


def train_adapter(
    model: str, data: Sequence[Path], out: Path, *, steps: int, batch: int, lr: float, seed: int = 0
) -> Path:
    """Trains an adapter, continuing an earlier run in ``out``.

    Args:
        model: A Hub id or a folder.
        data: Folders of demonstrations, collected for that model.
        out: Folder for states, and for the finished adapter.
        steps: Number of optimiser steps.
        batch: Decisions per step.
        lr: Learning rate.
        seed: Seed of the order of the decisions and of the adapter's initial weights.

    Returns:
        The adapter's folder, for ``--model MODEL#adapter=FOLDER``.

    Raises:
        BadInput: The data was collected for another kind of prompts.
        ModelUnavailable: peft is not installed, or the model cannot be loaded.
    """
    try:
        from peft import LoraConfig, get_peft_model
        from transformers import Trainer, TrainingArguments
        from transformers.trainer_utils import get_last_checkpoint
    except ImportError as error:
        raise ModelUnavailable(f"--lora needs {error.name}; install it with: pip install 'qwenarm[train]'") from error
    checkpoint, shards = locate(model), read_shards(data)
    kinds = {(shard.head["preset"], shard.head["family"]) for shard in shards}
    if kinds != {(checkpoint.preset.name, checkpoint.family.name)}:
        raise BadInput(
            f"The data was collected for other prompts than those of {model!r}; use `collect --model {model}`."
        )
    reader = Reader(PromptEncoder(checkpoint), {})
    plan = plan_for(
        checkpoint, Workload(frames=(checkpoint.preset.fitted(checkpoint.family).frame_size,), answer_tokens=0)
    )
    base = load_model(checkpoint, plan)
    if plan.device != "cpu":
        base.gradient_checkpointing_enable()
    adapter = LoraConfig(r=LORA_RANK, lora_alpha=LORA_ALPHA, lora_dropout=LORA_DROPOUT, target_modules=LANGUAGE_LINEARS)
    torch.manual_seed(seed)
    arguments = TrainingArguments(
        str(out), max_steps=steps, per_device_train_batch_size=1, gradient_accumulation_steps=batch,
        learning_rate=lr, lr_scheduler_type="cosine", warmup_steps=min(100, steps // 10), seed=seed, data_seed=seed,
        bf16=plan.dtype == "bfloat16" and plan.device != "cpu", use_cpu=plan.device == "cpu",
        save_steps=max(1, steps // CHECKPOINT_COUNT), save_total_limit=2, logging_steps=max(1, steps // 100),
        remove_unused_columns=False, report_to=[],
    )  # fmt: skip
    pad = reader.tokenizer.pad_token_id or 0
    trainer = Trainer(
        get_peft_model(base, adapter), arguments, Collator(reader, base.config.vision_config, pad),
        Decisions([(shard, line) for shard in shards for line in shard.lines]),
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(out)) if out.is_dir() else None)
    trainer.save_model(str(out / "adapter"))
    return out / "adapter"
