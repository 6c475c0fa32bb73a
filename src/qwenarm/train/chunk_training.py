"""Trains a chunk head and a language model for it, on a CPU, from what ``qwenarm collect --altitude chunk`` recorded.
The vision tower stays as it is, so that each picture goes through it once.

L1 on normalised actions and on the aim; and in the layer and heads that learn to find what a word means, attention of
the placeholders to the cells of the first picture that show the aim. Exactly resumable.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from qwenarm.errors import BadInput
from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.chunks import (
    CHUNK_FOLDER,
    FORMAT_FILE,
    ChunkFormat,
    ChunkHead,
    ChunkModel,
    ChunkTokens,
    chunk_forward,
    chunk_prompt,
    chunk_tokens,
    holding,
    save_chunk_head,
    see,
)
from qwenarm.mind.inference.preprocessing import PromptEncoder
from qwenarm.mind.prompt.presets import CHUNK_ALTITUDE
from qwenarm.train.batches import Example, Reader
from qwenarm.train.chunk_data import CHUNK_ACTIONS, CHUNK_CAMERAS, CONVENTIONS
from qwenarm.train.dataset import Shard, read_shards
from qwenarm.train.learner import LINK_HEADS, Learner, Settings
from qwenarm.train.losses import attention_loss
from qwenarm.train.sft import CHECKPOINT_FOLDER, MICRO_BATCH, STATE_FILE, Tell, learn_and_save

AIM_WEIGHT, LOOK_WEIGHT = 1.0, 0.1
"""Weights of the losses beside that of the actions."""
QUANTILES = (0.01, 0.99)
MIN_RANGE = 1e-3
"""Numbers that vary less (m, rad) are normalised as if they varied so much."""
LOOK_REACH_CELLS = 0.75
"""How far the middle of a supervised cell may be from the aim, in cells."""
LOG_STEPS = 10
HELD_OUT_SAMPLES = 128


@dataclass(frozen=True)
class ChunkOptions:
    """Options of ``train_chunks``.

    Attributes:
        data: Folders written by ``qwenarm collect --altitude chunk``.
        out: Folder for state, log and checkpoint. An interrupted run continues from there.
        model: The checkpoint to start from; its own chunk head goes on learning.
        held_out: Folders with other seeds, never learned from.
        batch: Samples per step.
        every: Steps between saved states, checkpoints and looks at held-out samples.
        settings: Hyperparameters.
    """

    data: tuple[Path, ...]
    out: Path
    model: str = "bundled"
    held_out: tuple[Path, ...] = ()
    batch: int = 32
    every: int = 100
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class ChunkBatch:
    """B samples.

    Attributes:
        tokens: The prompts.
        seen: What the vision tower makes of their pictures, see ``see``.
        state: (B, size).
        actions: (B, CHUNK_ACTIONS, 7), normalised.
        aim: (B, 3), normalised like the state; NaN where there is none.
        looks: (B, L, L) bool: which cells show the aim.
    """

    tokens: ChunkTokens
    seen: torch.Tensor
    state: torch.Tensor
    actions: torch.Tensor
    aim: torch.Tensor
    looks: torch.Tensor


def measured_format(shards: Sequence[Shard]) -> ChunkFormat:
    """The conventions with the quantiles of some data."""
    lines = [line for shard in shards for line in shard.lines]
    if not lines:
        raise BadInput("These archives have no samples: the oracle succeeded in none of their episodes.")
    moves = np.array([line["actions"] for line in lines])[..., :-1]
    low, high = _quantiles(moves.reshape(-1, moves.shape[-1]))
    state_low, state_high = _quantiles(np.array([line["state"] for line in lines]))
    conventions = asdict(replace(CONVENTIONS, low=low, high=high))
    return ChunkFormat(CHUNK_ACTIONS, state_low, state_high, conventions)


def _quantiles(values: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low, high = np.quantile(values, QUANTILES, axis=0)
    middle, half = (low + high) / 2, np.maximum(high - low, MIN_RANGE) / 2
    return tuple((middle - half).round(6).tolist()), tuple((middle + half).round(6).tolist())


def _normalised(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Maps low to -1 and high to 1."""
    return 2 * (values - low) / (high - low) - 1


class ChunkReader:
    """Makes tensors of samples, with prompts exactly as they are when the model acts."""

    def __init__(self, encoder: PromptEncoder, form: ChunkFormat) -> None:
        self.encoder, self.form = encoder, form
        self._seen: dict[str, torch.Tensor] = {}
        self._grid = encoder.fast_processor.pixels([np.zeros((*CONVENTIONS.image_size, 3), np.uint8)])[1]

    def seen(self, model: Any, examples: Sequence[Example]) -> torch.Tensor:
        """What the vision tower of ``model`` makes of the pictures, kept in memory: about 50 kB each."""
        for shard, line in examples:
            if fresh := [name for name in line["images"] if name not in self._seen]:
                pixels, grids = self.encoder.fast_processor.pixels(shard.pictures(fresh))
                self._seen.update(zip(fresh, see(model, pixels, grids).clone(), strict=True))
        return torch.stack([self._seen[name] for _, line in examples for name in line["images"]])

    def batch(self, model: Any, examples: Sequence[Example]) -> ChunkBatch:
        form, lines = self.form, [line for _, line in examples]
        grids = self._grid.expand(len(CHUNK_CAMERAS) * len(lines), -1)
        prompts = [
            chunk_prompt(line["instruction"], CHUNK_CAMERAS, holding(form.conventions, line["state"])) for line in lines
        ]
        tokens = chunk_tokens(self.encoder, prompts, grids, form.actions)
        actions = np.array([line["actions"] for line in lines], np.float32)
        low, high = (np.array(form.conventions[name], np.float32) for name in ("low", "high"))
        actions[..., :-1] = _normalised(actions[..., :-1], low, high)
        aims = np.array([line["aim"] or [np.nan] * 5 for line in lines], np.float32)
        low, high = np.array(form.state_low[:3], np.float32), np.array(form.state_high[:3], np.float32)
        aim = _normalised(aims[:, :3], low, high)
        return ChunkBatch(
            tokens, self.seen(model, examples), torch.tensor([line["state"] for line in lines]),
            torch.from_numpy(actions), torch.from_numpy(aim), self._looks(tokens, grids, aims[:, 3:]),
        )  # fmt: skip

    def _looks(self, tokens: ChunkTokens, grids: torch.Tensor, aims: np.ndarray) -> torch.Tensor:
        merge = self.encoder.fast_processor.images.merge_size
        _, rows, columns = (grids[0] // merge).tolist()
        v, u = np.divmod(np.arange(rows * columns), columns)
        looks = torch.zeros(*tokens.ids.shape, tokens.ids.shape[1], dtype=torch.bool)
        for number, aim in enumerate(aims):
            near = np.maximum(abs(u + 0.5 - aim[0] * columns), abs(v + 0.5 - aim[1] * rows)) <= LOOK_REACH_CELLS
            cells = tokens.pictures[number][0] + torch.from_numpy(np.flatnonzero(near))
            looks[number, :, cells] = tokens.slots[number][:, None]
        return looks


class ChunkLearner(Learner):
    """The backbone with its head in training.

    Args:
        folder: The checkpoint to start from.
        reader: Made for it.
        settings: Hyperparameters.
    """

    def __init__(self, folder: Path, reader: ChunkReader, settings: Settings) -> None:
        self.chunks = reader
        super().__init__(folder, Reader(reader.encoder, {}), settings)
        self.model.chunk_head.float()  # its sums are small, and differences of places matter
        self.use(self.masters)

    def load_model(self) -> Any:
        model: Any = super().load_model()
        head = ChunkHead(model.config.text_config.hidden_size, self.chunks.form)
        if (self.folder / CHUNK_FOLDER / FORMAT_FILE).is_file():
            before = ChunkModel(str(self.folder))
            head.load_state_dict(before.head.state_dict())
            model.load_state_dict(before.model.state_dict())
        model.chunk_head = head
        self.vision = {name: value.clone() for name, value in model.model.visual.state_dict().items()}
        model.model.visual.requires_grad_(False)
        return model

    def losses(self, batch: ChunkBatch) -> tuple[torch.Tensor, dict[str, float]]:  # type: ignore[override]
        """Returns the loss, and its parts by name."""
        head = self.model.chunk_head
        actions, aim, attentions = chunk_forward(
            self.model, head, batch.tokens, batch.seen, batch.state, attention=True
        )
        known = ~batch.aim.isnan().any(1)
        layer, heads = LINK_HEADS["cells"]
        missed, seen = attention_loss(attentions[layer][:, heads], batch.looks)
        wrong = F.l1_loss(actions, batch.actions)
        aside = F.l1_loss(aim[known], batch.aim[known]) if known.any() else aim.sum() * 0
        report = {"actions": float(wrong.detach()), "aim": float(aside.detach()), "cells": seen}
        return wrong + AIM_WEIGHT * aside + LOOK_WEIGHT * missed, report

    def export(self, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
        """Writes the checkpoint that it started from, with the averaged weights, or others, in its folder ``chunk``."""
        weights = weights or self.average
        folder.mkdir(parents=True, exist_ok=True)
        for file in self.folder.iterdir():
            if file.is_file():
                shutil.copy(file, folder / file.name)
        head, language = (
            {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
            for prefix in ("chunk_head.", "model.language_model.")
        )
        save_chunk_head(folder, self.chunks.form, head, language, self.vision)


def train_chunks(options: ChunkOptions, tell: Tell | None = None) -> Path:
    """Trains to the last step, continuing an earlier run. Returns the checkpoint's folder.

    Raises BadInput or ModelUnavailable for options that cannot work.
    """
    torch.set_num_threads(1)
    checkpoint, state = locate(options.model), options.out / STATE_FILE
    shards = read_shards(options.data, [CHUNK_ALTITUDE])
    had, own = checkpoint.folder / CHUNK_FOLDER / FORMAT_FILE, options.out / FORMAT_FILE
    options.out.mkdir(parents=True, exist_ok=True)
    if not own.is_file():  # a head keeps the normalisation that it has learned with
        form = ChunkFormat.read(had, options.model) if had.is_file() else measured_format(shards)
        own.write_text(form.to_json(), encoding="utf-8")
    reader = ChunkReader(PromptEncoder(checkpoint), ChunkFormat.read(own, str(options.out)))
    learner = ChunkLearner(checkpoint.folder, reader, options.settings)
    if state.exists():
        learner.load(state)
    examples = [(shard, line) for shard in shards for line in shard.lines]
    held_out = read_shards(options.held_out, [CHUNK_ALTITUDE]) if options.held_out else []
    watched = [(shard, line) for shard in held_out for line in shard.lines]

    def learn() -> dict[str, float]:
        rng = np.random.default_rng([options.settings.seed, learner.step])
        drawn = [examples[i] for i in rng.choice(len(examples), min(len(examples), options.batch), replace=False)]
        return learner.learn(_batches(learner, drawn))  # type: ignore[arg-type]  # of its own kind of batches

    look = partial(held_out_losses, learner, watched) if watched else None
    learn_and_save(learner, learn, options.out, options.every, look, tell, LOG_STEPS)
    return options.out / CHECKPOINT_FOLDER


@torch.no_grad()
def held_out_losses(learner: ChunkLearner, examples: Sequence[Example]) -> dict[str, float]:
    """Returns the losses of the averaged weights on some samples, always the same."""
    chosen = np.random.default_rng(0).permutation(len(examples))[:HELD_OUT_SAMPLES]
    learner.use(learner.average)
    found = [learner.losses(batch)[1] for batch in _batches(learner, [examples[i] for i in chosen])]
    learner.use(learner.masters)
    return {name: round(float(np.mean([report[name] for report in found])), 4) for name in found[0]}


def _batches(learner: ChunkLearner, examples: Sequence[Example]) -> list[ChunkBatch]:
    groups = [examples[start : start + MICRO_BATCH] for start in range(0, len(examples), MICRO_BATCH)]
    return [learner.chunks.batch(learner.model, group) for group in groups]
