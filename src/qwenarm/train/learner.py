"""The model in training: one optimiser step, its saved state, its checkpoints.

The model computes in bfloat16, which is four times as fast as float32 on a CPU that supports it; the optimisers keep
its weights in float32 (the masters). A moving average of the masters is exported, so a checkpoint is good at any
time.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from transformers import Qwen3VLForConditionalGeneration

from qwenarm.errors import BadInput
from qwenarm.mind.checkpoints.load import quiet
from qwenarm.train.batches import IGNORED_LABEL, Batch, Reader
from qwenarm.train.losses import CellHeads, attention_loss, coordinate_loss
from qwenarm.train.small_model import load_trainable, smooth_numbers

LINK_HEADS: Mapping[str, tuple[int, slice]] = {
    "cells": (3, slice(0, 2)), "named": (3, slice(2, 4)), "bound": (1, slice(0, 2)), "held": (1, slice(2, 4)),
    "noted": (2, slice(3, 4)), "beside": (2, slice(1, 3)), "same_place": (2, slice(0, 1)),
}  # fmt: skip
"""The layer, and those of its heads whose attention is supervised, for each kind of link (``links.py``)."""
WORDS_WEIGHT, COORDINATES_WEIGHT, LINKS_WEIGHT, CELLS_WEIGHT = 4.0, 0.5, 0.3, 0.3
"""Weights of the losses. Most words of an answer are a fixed frame that is learned early; without a high weight their
mean would hide the few words that matter."""
HEADS_ALONE_STEPS = 60
"""Number of steps in which new cell heads learn alone, to spare the vision tower the gradients of untrained heads."""
AVERAGE_HALF_LIFE_STEPS = 60
DECAY_SHARE = 0.25
"""Share of the steps, at the end, in which the learning rate falls to zero."""
WARM_UP_SHARE = 0.1
"""The learning rate rises over this share of the steps at most: a short run must get there too."""
MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Hyperparameters.

    Attributes:
        lr: Peak learning rate.
        steps: Number of steps of the whole run.
        optimizer: "muon" or "adamw".
        supervise: Whether attention and visual tokens are supervised, besides answers.
        warm_up_steps: Number of steps in which the learning rate rises; of a short run only a tenth of the steps.
        typing_errors: Share of the decisions of a step whose task is read with new typing errors.
        eye_steps: Number of first steps in which only the vision tower learns, from what visual tokens show. They take
            less than half the time of the others.
        fresh: Whether to start from random weights.
        seed: Seed of the weights and of the order of the data.
    """

    lr: float = 8e-4
    steps: int = 1000
    optimizer: str = "muon"
    supervise: bool = True
    warm_up_steps: int = 40
    typing_errors: float = 0.0
    eye_steps: int = 0
    fresh: bool = False
    seed: int = 0


def learning_rate(settings: Settings, step: int) -> float:
    """Returns the learning rate at a step, counted from 0: warm-up, constant, linear decay."""
    left = (settings.steps - step) / max(1.0, DECAY_SHARE * settings.steps)
    warm_up = min(settings.warm_up_steps, WARM_UP_SHARE * settings.steps)
    return settings.lr * min(1.0, (step + 1) / max(1.0, warm_up), left)


class Learner:
    """Model, heads, optimisers and step count: everything that a resumed run needs.

    Args:
        folder: The checkpoint to start from.
        reader: Made for that checkpoint.
        settings: Hyperparameters.

    Attributes:
        misses: For each batch of the last step (B,) float32: how likely a sampled answer differs from the example's.
        sampling: State of whoever draws the examples, changed in place by it. It is saved and loaded with the rest.
    """

    def __init__(self, folder: Path, reader: Reader, settings: Settings) -> None:
        if not reader.numbers:
            raise BadInput(f"{folder} does not write every number from 0 to 999 as one token. Train it with --lora.")
        torch.manual_seed(settings.seed)
        self.folder, self.reader, self.settings, self.step = folder, reader, settings, 0
        self.misses: list[torch.Tensor] = []
        self.sampling: dict[str, torch.Tensor] = {}
        self.numbers = torch.tensor(sorted(reader.numbers, key=reader.numbers.__getitem__))
        self.model: Any = self.load_model()
        width = self.model.config.text_config.hidden_size
        self.heads = CellHeads(width, reader.values)
        learned = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.masters = {name: p.detach().clone().requires_grad_() for name, p in learned.items()}
        self.average = {name: p.detach().clone() for name, p in self.masters.items()}
        self.weights = learned
        for weight in self.model.parameters():  # not the buffers: rotation frequencies would lose precision
            weight.data = weight.data.to(torch.bfloat16)
        self.optimizers = self._optimizers()

    def load_model(self) -> Any:
        """Returns the model to train, in float32."""
        model: Any = load_trainable(self.folder, self.settings.fresh)
        if self.settings.fresh:
            smooth_numbers(model.get_input_embeddings().weight, self.numbers)
        return model

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        """Returns AdamW for everything, or Muon for hidden matrices and AdamW for the rest."""
        hidden = {n: m for n, m in self.masters.items() if m.ndim == 2 and "embed" not in n}
        if self.settings.optimizer != "muon":
            hidden = {}
        rest = [m for name, m in self.masters.items() if name not in hidden] + list(self.heads.parameters())
        lr = self.settings.lr
        adamw = torch.optim.AdamW(rest, lr, betas=(0.9, 0.98), weight_decay=0.01)
        if not hidden:
            return [adamw]
        return [adamw, torch.optim.Muon(hidden.values(), lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")]

    def learn(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Makes one step on the mean loss of the batches. Returns their measures."""
        report: defaultdict[str, float] = defaultdict(float)
        self.misses.clear()
        for batch in batches:
            loss, measures = self.losses(batch)
            (loss / len(batches)).backward()
            self.gather_gradients()
            for name, value in measures.items():
                report[name] += value / len(batches)
        self.take_step()
        return dict(report)

    def take_step(self) -> None:
        """Makes one step along the gradients gathered since the last one."""
        self._average_over_processes()
        nn.utils.clip_grad_norm_(list(self.masters.values()), MAX_GRADIENT_NORM)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.settings, self.step)
            optimizer.step()
            optimizer.zero_grad()
        self.skip_step()
        kept = 0.5 ** (1 / min(AVERAGE_HALF_LIFE_STEPS, 1 + self.step / 4))
        with torch.no_grad():
            for name, average in self.average.items():
                average.lerp_(self.masters[name], 1 - kept)
        self.use(self.masters)

    def skip_step(self) -> None:
        """Counts a step for the schedule without changing weights."""
        self.step += 1

    def use(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Copies these weights (the masters or the average) into the bfloat16 model."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(weights[name])

    def gather_gradients(self) -> None:
        """Adds the model's gradients to the masters', in float32."""
        for name, weight in self.weights.items():
            if weight.grad is not None:
                master, gradient = self.masters[name], weight.grad.float()
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)
                weight.grad = None

    def _average_over_processes(self) -> None:
        if not dist.is_initialized():
            return
        gradients = [p.grad for p in (*self.masters.values(), *self.heads.parameters()) if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def losses(self, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Returns the loss of a batch and its measures: single losses, and correct attention by kind of link."""
        if self.step < self.settings.eye_steps:
            seen = self._eye_loss(self.see(batch)[1], batch)
            return CELLS_WEIGHT * seen, {"eye": float(seen.detach())}
        hidden, attentions, eye = self.forward(batch)
        answer, coordinate = batch.labels != IGNORED_LABEL, self.coordinates(batch)
        logits = self.logits(hidden[answer])
        target, number = batch.labels[answer], coordinate[answer]
        words = F.cross_entropy(logits[~number], target[~number], reduction="none")
        loss, report = WORDS_WEIGHT * words.mean(), {"words": float(words.detach().mean())}
        surprise = torch.zeros(answer.shape).index_put((answer & ~coordinate).nonzero(as_tuple=True), words.detach())
        if number.any():
            truth = torch.searchsorted(self.numbers.sort().values, target[number])
            truth = self.numbers.argsort()[truth]
            told = logits[number].log_softmax(-1)[:, self.numbers]
            points = coordinate_loss(told, truth)
            loss, report["coordinates"] = loss + COORDINATES_WEIGHT * points.mean(), float(points.detach().mean())
            surprise[coordinate & answer] = points.detach()
        self.misses.append(1 - (-surprise.sum(1)).exp())
        if self.settings.supervise:
            for kind, (layer, heads) in LINK_HEADS.items():
                missed, report[kind] = attention_loss(attentions[layer][:, heads], batch.links[kind])
                loss = loss + LINKS_WEIGHT * missed
            seen = self._eye_loss(eye, batch)
            loss, report["eye"] = loss + CELLS_WEIGHT * seen, float(seen.detach())
        return loss, report

    def _eye_loss(self, eye: torch.Tensor, batch: Batch) -> torch.Tensor:
        return self.heads.loss(eye.detach() if self.step < HEADS_ALONE_STEPS else eye, batch.cells)

    def coordinates(self, batch: Batch) -> torch.Tensor:
        """Returns (B, L) bool: which tokens predict a coordinate."""
        return torch.isin(batch.labels, self.numbers) & batch.links["cells"].any(-1)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Maps hidden states (..., width) to logits (..., vocabulary), float32."""
        return self.model.lm_head(hidden).float()

    def forward(self, batch: Batch) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], torch.Tensor]:
        """Returns the last hidden states (B, L, width), attention (B, heads, L, L) by layer, and the visual tokens of
        the first images (B, cells, width), float32.
        """
        inner = self.model.model
        seen, eye = self.see(batch)
        is_image = batch.ids == self.reader.image
        embeds = self.model.get_input_embeddings()(batch.ids)
        out = inner.language_model(
            inputs_embeds=embeds.masked_scatter(is_image[..., None], seen.pooler_output),
            position_ids=batch.positions, visual_pos_masks=is_image,
            deepstack_visual_embeds=seen.deepstack_features, output_attentions=True, use_cache=False,
        )  # fmt: skip
        return out.last_hidden_state, out.attentions, eye

    def see(self, batch: Batch) -> tuple[Any, torch.Tensor]:
        """Returns what the vision tower says, and the visual tokens of the first images (B, cells, width), float32."""
        visual = self.model.model.visual
        seen = visual(batch.pixels.to(visual.dtype), grid_thw=batch.grids)
        width = seen.pooler_output.shape[-1]
        return seen, seen.pooler_output.view(len(batch.grids), -1, width)[batch.first_picture].float()

    def save(self, path: Path) -> None:
        """Replaces the saved state atomically."""
        state = {
            "masters": self.masters, "average": self.average, "heads": self.heads.state_dict(), "step": self.step,
            "sampling": self.sampling,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }  # fmt: skip
        part = path.with_suffix(f".part{os.getpid()}")
        torch.save(state, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Continues from a saved state. Raises BadInput if it does not fit the model and the settings."""
        try:
            state = torch.load(path, weights_only=True)
            with torch.no_grad():
                for name, master in self.masters.items():
                    master.copy_(state["masters"][name])
                    self.average[name].copy_(state["average"][name])
            self.heads.load_state_dict(state["heads"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.step = int(state["step"])
            for name, saved in state["sampling"].items():
                if name in self.sampling and self.sampling[name].shape == saved.shape:
                    self.sampling[name].copy_(saved)
        except (RuntimeError, KeyError, ValueError, OSError) as error:
            raise BadInput(
                f"{path} does not fit this model and these settings ({error}); use another --out."
            ) from error
        self.use(self.masters)

    def export(self, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
        """Writes the averaged weights, or others, as a float16 checkpoint in the Hub's layout."""
        model: Any = Qwen3VLForConditionalGeneration(self.model.config)
        # Not strict: the output layer shares its weights with the embedding.
        model.load_state_dict(weights or self.average, strict=False)
        model.tie_weights()
        with quiet():
            model.to(torch.float16).save_pretrained(folder)
        for file in self.folder.iterdir():
            if file.is_file() and not (folder / file.name).exists():
                shutil.copy(file, folder / file.name)
