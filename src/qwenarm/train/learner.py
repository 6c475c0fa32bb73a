"""The model that learns: what one step is, what its losses are, and how its state is kept and made a checkpoint of."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

from qwenarm.errors import BadInput
from qwenarm.mind.prompt.presets import BUNDLED
from qwenarm.train.architecture import TEXT, EyeHeads, make_model
from qwenarm.train.labels import Pictures, cells, patches
from qwenarm.train.questions import Question
from qwenarm.train.sequences import Batch, Sequencer, read_branches
from qwenarm.train.tokenizer import bundled_tokenizer, save_processor, special_ids

if TYPE_CHECKING:
    from qwenarm.train.config import Config

LOOKING_LAYER, LOOKING_HEADS, HOP_LAYER = 3, 2, 1
"""The layer, and how many of its heads, whose attention is told where to look."""
WORDS_WEIGHT = 4.0
"""Most words of an answer are its skeleton, soon known; the few that decide would drown in their mean."""
HEADS_ALONE = 200
"""So many steps a trained eye is kept from its new heads, which know nothing yet."""
BELL = 12.0
"""Width of the target around a position, in thousandths of the picture."""


class Learner:
    """Model, heads, optimiser and the step count: all that a resumed run needs.

    The model computes in bfloat16; the optimiser keeps float32 masters of its weights.
    """

    def __init__(self, config: Config) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer, specs = bundled_tokenizer()
        self.sequencer = Sequencer(self.tokenizer, specs)
        self.model: Any = make_model(len(self.tokenizer), special_ids(self.tokenizer))
        self.heads = EyeHeads(TEXT["hidden_size"]).to(self.device)
        self.numbers = torch.tensor(self.sequencer.numbers, device=self.device)
        smooth_numbers(self.model.get_input_embeddings(), self.numbers.cpu())
        self.model = self.model.to(self.device, torch.bfloat16)
        self.named = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.masters = {name: p.detach().float().clone().requires_grad_() for name, p in self.named.items()}
        eye = [m for name, m in self.masters.items() if ".visual." in name]
        rest = [m for name, m in self.masters.items() if ".visual." not in name] + list(self.heads.parameters())
        self.optimizer = torch.optim.AdamW(
            [{"params": eye}, {"params": rest}], lr=config.lr, betas=(0.9, 0.98), weight_decay=0.01
        )
        self.step = 0

    @property
    def total(self) -> int:
        return self.config.eye_steps + self.config.reader_steps

    def learn(self, pictures: Pictures, questions: list[list[Question]] | None) -> dict[str, float]:
        """One step on one batch; questions None: the eye alone. Returns the measures of this batch."""
        loss, report = self.losses(pictures, questions)
        loss.backward()
        for name, p in self.named.items():
            self.masters[name].grad, p.grad = (None if p.grad is None else p.grad.float()), None
        self._average()
        nn.utils.clip_grad_norm_(list(self.masters.values()), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.publish()
        self.step += 1
        return {**report, "loss": float(loss.detach())}

    def publish(self) -> None:
        """Copies the masters into the bfloat16 model."""
        with torch.no_grad():
            for name, p in self.named.items():
                p.copy_(self.masters[name])

    def _rate(self) -> float:
        """Warm-up and half a cosine, once for the eye and once for the reader."""
        eye = self.config.eye_steps
        done, of = (self.step, eye) if self.step < eye else (self.step - eye, self.config.reader_steps)
        floor = 0.3 if self.step < eye else 0.02
        return (
            self.config.lr
            * min(1.0, (done + 1) / 100)
            * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done / of))))
        )

    def _average(self) -> None:
        if dist.is_initialized():
            grads = [p.grad for g in self.optimizer.param_groups for p in g["params"] if p.grad is not None]
            flat = torch.cat([g.flatten() for g in grads])
            dist.all_reduce(flat)
            flat /= dist.get_world_size()
            for g, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
                g.copy_(part.view_as(g))

    def losses(
        self, pictures: Pictures, questions: list[list[Question]] | None
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of a batch, and what to log of it."""
        b, h, w, _ = pictures.rgb.shape
        grid = torch.tensor([[1, h // 16, w // 16]] * b, device=self.device)
        seen = self.model.model.visual(patches(pictures.rgb).to(self.device, torch.bfloat16), grid_thw=grid)
        truth = {name: value.to(self.device) for name, value in cells(pictures).items()}
        tokens = seen.pooler_output.view(b, -1, seen.pooler_output.shape[-1]).float()
        if self.config.start and self.step < HEADS_ALONE:
            tokens = tokens.detach()
        eye, report = self.heads.loss(tokens, truth)
        if questions is None:
            return eye, report
        reading, more = self._reading(self.sequencer.batch(questions).to(self.device), seen, pictures)
        return reading + 0.3 * eye, report | more

    def _reading(self, batch: Batch, seen: Any, pictures: Pictures) -> tuple[torch.Tensor, dict[str, float]]:
        table = self.model.get_input_embeddings().weight
        out = read_branches(self.model.model.language_model, table, self.sequencer, batch, seen, pictures.camera)
        is_number = batch.number >= 0
        is_word = (batch.label >= 0) & ~is_number
        words = (out.last_hidden_state[is_word] @ table.T).float()
        numbers = (out.last_hidden_state[is_number] @ table.T).float().log_softmax(-1)[:, self.numbers]
        truth = batch.number[is_number]
        distance = torch.arange(1000, device=self.device)[None] - truth[:, None]
        bell = torch.exp(-0.5 * (distance / BELL) ** 2)
        number_loss = -(bell / bell.sum(-1, keepdim=True) * numbers).sum(-1).mean()
        word_loss = F.cross_entropy(words, batch.label[is_word])
        attention = out.attentions[LOOKING_LAYER]
        look_loss, mass = self._looking(attention, batch, pictures)
        tell_loss, told = told_where(attention[:, LOOKING_HEADS:], batch.told)
        hops = out.attentions[HOP_LAYER]
        bind_loss, bound = told_where(hops[:, :LOOKING_HEADS], batch.bound)
        hold_loss, held = told_where(hops[:, LOOKING_HEADS:], batch.held)
        error = (numbers.argmax(-1) - truth).abs().float()
        report = {
            "words": float(word_loss.detach()), "numbers": float(number_loss.detach()),
            "looking": mass, "telling": told, "binding": bound, "holding": held,
            "point_median": float(error.median()), "point_p90": float(error.quantile(0.9)),
            "words_right": float((words.argmax(-1) == batch.label[is_word]).float().mean()),
        }  # fmt: skip
        free = (batch.row >= 0)[is_word]
        if free.any():
            report["chosen_right"] = float((words.argmax(-1) == batch.label[is_word])[free].float().mean())
        return WORDS_WEIGHT * word_loss + 0.5 * number_loss + 0.3 * (
            look_loss + tell_loss + bind_loss + hold_loss
        ), report

    def _looking(self, attention: torch.Tensor, batch: Batch, pictures: Pictures) -> tuple[torch.Tensor, float]:
        """Where an answer points, the first heads should look at the object's cells. attention (N, heads, L, prefix +
        L).
        """
        which, at = (batch.row >= 0).nonzero(as_tuple=True)
        owner = torch.from_numpy(pictures.owner.reshape(len(pictures.owner), -1)).to(self.device)
        its_cells = (owner[batch.picture[which]] == batch.row[which, at][:, None]).float()
        start = self.sequencer.start
        looks = attention[which, :LOOKING_HEADS, at, start : start + self.sequencer.cells].float()
        mass = (looks * its_cells[:, None]).sum(-1)[its_cells.any(-1)]
        return -(mass + 1e-4).log().mean(), float(mass.detach().mean())

    def save(self, path: Path) -> None:
        """Replaces the saved state in one move, so that no crash leaves half of one."""
        state = {
            "masters": self.masters,
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        part = path.with_suffix(f".part{os.getpid()}")
        torch.save(state, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Takes up a saved state. Raises BadInput if it is not one of this recipe's."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            with torch.no_grad():
                for name, master in self.masters.items():
                    master.copy_(state["masters"][name])
            self.heads.load_state_dict(state["heads"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError, ValueError, OSError) as error:
            raise BadInput(
                f"{path} is no state of this recipe ({error}); delete it or choose another --out."
            ) from error
        self.step = int(state["step"])
        self.publish()

    def begin_with(self, folder: Path) -> None:
        """Takes the weights of a checkpoint. Raises BadInput if it has another shape."""
        with safe_open(folder / "model.safetensors", "pt", device=str(self.device)) as weights, torch.no_grad():
            names = set(weights.keys())
            for name, master in self.masters.items():
                if name not in names or weights.get_slice(name).get_shape() != list(master.shape):
                    raise BadInput(f"The checkpoint {folder} has not the shape of the bundled model (see {name}).")
                master.copy_(weights.get_tensor(name))
        self.publish()

    def export(self, folder: Path) -> None:
        """Writes a checkpoint as those of the Hub: config, float16 weights, tokenizer, template, image settings."""
        model: Any = make_model(len(self.tokenizer), special_ids(self.tokenizer))
        model.load_state_dict({name: m.detach().cpu() for name, m in self.masters.items()}, strict=False)
        model.set_attn_implementation("sdpa")
        model.to(torch.float16).save_pretrained(folder)
        save_processor(self.tokenizer, folder)
        (folder / "qwenarm.json").write_text(json.dumps({"preset": BUNDLED.name}))


def told_where(attention: torch.Tensor, links: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Loss and mean of the attention (N, heads, L, prefix + L) that falls where ``links`` (N, L, L) say it should."""
    which, at = links.any(-1).nonzero(as_tuple=True)
    if not len(which):
        return attention.new_zeros((), dtype=torch.float32), 1.0
    looks = attention[which, :, at, -links.shape[1] :].float()
    mass = (looks * links[which, at][:, None]).sum(-1)
    return -(mass + 1e-4).log().mean(), float(mass.detach().mean())


def smooth_numbers(embedding: nn.Module, numbers: torch.Tensor) -> None:
    """Starts the embeddings of 0..999 as waves of many lengths: neighbours are alike, and a position is easy to read
    off.
    """
    weight = embedding.weight
    assert isinstance(weight, torch.Tensor)
    half = weight.shape[1] // 2
    waves = torch.exp(torch.linspace(0.0, math.log(60.0), half))
    phase = 2 * math.pi * torch.rand(half, generator=torch.Generator().manual_seed(0))
    angle = 2 * math.pi * torch.arange(1000)[:, None] / 1000 * waves + phase
    with torch.no_grad():
        weight[numbers] = torch.cat([angle.cos(), angle.sin()], 1) * 0.03 / waves.repeat(2) ** 0.3
