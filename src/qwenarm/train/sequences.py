"""Questions become token sequences: one picture, and several independent decisions about it behind the same prefix.

The prefix (system text, tools, picture) is computed once; every decision branches off its keys and values, as if the
prompt had been cached. To the model each branch is exactly a prompt of its own, at a fraction of the cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from qwenarm.mind.families import family_named
from qwenarm.mind.prompt.messages import ASKS, render, tool_schemas, user_text
from qwenarm.mind.prompt.presets import BUNDLED
from qwenarm.train.labels import VIEWS
from qwenarm.train.questions import SOLID, Question
from qwenarm.train.tokenizer import token_id
from qwenarm.types import Decision, ImagePoint, SkillCall, SkillSpec

FAMILY = family_named("qwen3_vl")
SIZES = {VIEWS[0]: BUNDLED.frame_size}
"""A point's numbers are the same in whatever single camera."""


def answer_text(question: Question) -> str:
    """What the model should say."""
    args = {"at": ImagePoint(question.u, question.v, question.label)} if question.row >= 0 else {}
    return render(Decision(calls=(SkillCall(question.skill, args),)), FAMILY, SIZES)


def prompt_text(
    tokenizer: PreTrainedTokenizerFast, question: Question, specs: Sequence[SkillSpec], camera: str = VIEWS[0]
) -> str:
    """The prompt as the chat template writes it, with one placeholder for the picture: the same as
    mind.language.to_prompt.
    """
    words = user_text(question.instruction, question.history, question.holding)
    messages = [
        {"role": "system", "content": f"{BUNDLED.system} {ASKS['step']}"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": f"{camera}:"},
                {"type": "image"},
                {"type": "text", "text": "\n" + words},
            ],
        },
    ]
    tools: list[Any] = list(tool_schemas(specs, (camera,), BUNDLED.tool_docs))
    text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    return text


@dataclass
class Batch:
    """N branches of up to L tokens, padded at the end; (N, L) each.

    ids; label: the next token to predict or -100; number: the position 0..999 to predict or -1; row: the object whose
    cells the attention should find or -1. picture (N,): which picture's prefix the branch goes on from."""

    ids: torch.Tensor
    label: torch.Tensor
    number: torch.Tensor
    row: torch.Tensor
    picture: torch.Tensor
    told: torch.Tensor
    bound: torch.Tensor
    """(N, L, L): in a rule of sorting, from every named place to the value that belongs there."""
    held: torch.Tensor
    """(N, L, L): from the answer's label to what the history says is held."""

    def to(self, device: str) -> Batch:
        """The same on another device."""
        return Batch(*(getattr(self, f.name).to(device) for f in fields(self)))


class Sequencer:
    """Knows the tokenizer, the constant prefix, and where in an answer a position is told."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, specs: Sequence[SkillSpec]) -> None:
        self.tokenizer, self.specs = tokenizer, specs
        self.image, self.vision_end = (token_id(tokenizer, t) for t in ("<|image_pad|>", "<|vision_end|>"))
        opening, history = '", "arguments": {"at": {"label": "', "\nHistory:"
        self.skeleton_label, self.skeleton_history = (token_id(tokenizer, t) for t in (opening, history))
        self.numbers = [token_id(tokenizer, str(n)) for n in range(1000)]
        self.number_of = {token: n for n, token in enumerate(self.numbers)}
        probes = [prompt_text(tokenizer, Question("x", "none", False, "done"), specs, camera) for camera in VIEWS]
        before = [ids[: ids.index(self.image)] for ids in tokenizer(probes)["input_ids"]]
        probe, start = probes[0], len(before[0])
        self.rows, self.cols = BUNDLED.frame_size[0] // 32, BUNDLED.frame_size[1] // 32
        cells = self.rows * self.cols
        self.heads = torch.tensor([ids + [self.image] * cells + [self.vision_end] for ids in before])
        self.cut = probe[: probe.index("<|vision_end|>") + len("<|vision_end|>")]
        grid = np.stack(np.meshgrid(np.arange(self.rows), np.arange(self.cols), indexing="ij"), -1).reshape(-1, 2)
        text = np.tile(np.arange(start), (3, 1))
        picture = start + np.stack([np.zeros(cells, int), grid[:, 0], grid[:, 1]])
        self.next_position = start + max(self.rows, self.cols)
        self.head_position = np.concatenate([text, picture, np.full((3, 1), self.next_position)], 1)
        self.start, self.cells = start, cells

    def branch(self, question: Question) -> tuple[list[int], list[int], list[int], list[int]]:
        """ids, next-token labels, numbers and rows of one decision (what follows the picture; whose it was does not
        matter here).
        """
        ask = prompt_text(self.tokenizer, question, self.specs).removeprefix(self.cut)
        q = self.tokenizer(ask)["input_ids"]
        a = self.tokenizer(answer_text(question) + "<|im_end|>")["input_ids"]
        ids = q + a
        label = [-100] * (len(q) - 1) + a + [-100]
        number, row = [-1] * len(ids), [-1] * len(ids)
        seen = 0
        for i, target in enumerate(label):
            value = self.number_of.get(target, -1)
            if value >= 0 and question.row >= 0:
                number[i], row[i] = value, question.row
                seen += 1
        if question.row >= 0 and seen != 2:
            raise ValueError(f"An answer has {seen} numbers, not 2: {answer_text(question)}")
        if question.free:
            first = next(i for i, n in enumerate(number) if n >= 0)
            for i in range(first - 1, len(q) - 1, -1):  # the tokens that predict the label
                row[i] = question.row
        return ids, label, number, row

    def _told(self, ids: list[int], question: Question) -> list[tuple[int, int]]:
        """(position that predicts a word of the answer's label, position in the task where this very label has it)."""
        if not question.label:
            return []
        first, task = ids.index(self.skeleton_label), ids[: ids.index(self.skeleton_history)]
        return [(first + k, at) for k, at in self._named(question.label, task)]

    def _named(self, label: str, ids: list[int]) -> list[tuple[int, int]]:
        """(which word of the label, position) wherever the ids spell it."""
        words = [self._word(word) for word in label.split()]
        found = [i for i in range(len(ids)) if ids[i : i + len(words)] == words]
        return [(k, i + k) for i in found for k in range(len(words))]

    def batch(self, questions: Sequence[Sequence[Question]]) -> Batch:
        """questions: for each picture its decisions."""
        picture = [i for i, asked in enumerate(questions) for _ in asked]
        branches = [self.branch(question) for asked in questions for question in asked]
        length = max(len(branch[0]) for branch in branches)
        columns: list[torch.Tensor] = []
        for part, filler in enumerate((0, -100, -1, -1)):
            column = np.full((len(branches), length), filler)
            for i, branch in enumerate(branches):
                column[i, : len(branch[part])] = branch[part]
            columns.append(torch.from_numpy(column))
        links = np.zeros((3, len(branches), length, length), bool)
        flat = [question for asked in questions for question in asked]
        for i, (branch, question) in enumerate(zip(branches, flat, strict=True)):
            told = self._told(branch[0], question)
            for kind, pairs in enumerate((told, *self._hops(branch[0], question))):
                for at, place in pairs:
                    links[kind, i, at, place] = True
        ids, label, number, row = columns
        return Batch(ids, label, number, row, torch.tensor(picture), *torch.from_numpy(links))

    def _hops(self, ids: list[int], question: Question) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The two steps by which a rule is looked up: place -> value it belongs to, answer -> value of what is held."""
        if not question.rule:
            return [], []
        history, answer = ids.index(self.skeleton_history), ids.index(self.skeleton_label)
        bound: list[tuple[int, int]] = []
        for value, label in question.rule:
            forms = {self._word(value), self._word(f"{value}s")} if value in SOLID else {self._word(value)}
            for k, at in self._named(label, ids[:history]):
                values = [i for i in range(at - k + 1) if ids[i] in forms]
                bound += [(at, values[-1])] if values else []
        picked = [i for i in range(history, answer) if ids[i] == self._word(question.decides)]
        return bound, [(answer + k, picked[-1]) for k in range(len(question.label.split()))]

    def _word(self, word: str) -> int:
        return token_id(self.tokenizer, f"Ġ{word}")


def read_branches(
    language: nn.Module,
    table: torch.Tensor,
    sequencer: Sequencer,
    batch: Batch,
    seen: Any,
    camera: np.ndarray,
    attentions: bool = True,
) -> Any:
    """The language model's output for every branch: each picture's prefix once, then all its branches upon its keys and
    values.

    language: Qwen3-VL's text model; table: (vocabulary, width) embeddings; seen: the vision tower's output for the
    pictures; camera (B,): which of VIEWS took each."""
    device, pictures = table.device, len(camera)
    head = sequencer.heads[camera.tolist()].to(device)
    is_image = head == sequencer.image
    embeds = F.embedding(head, table).masked_scatter(is_image[..., None], seen.pooler_output)
    position = torch.from_numpy(sequencer.head_position).to(device)[:, None].expand(-1, pictures, -1)
    prefix = language(
        inputs_embeds=embeds, position_ids=position, visual_pos_masks=is_image,
        deepstack_visual_embeds=seen.deepstack_features, use_cache=True,
    )  # fmt: skip
    prefix.past_key_values.batch_select_indices(batch.picture)
    after = sequencer.next_position + 1 + torch.arange(batch.ids.shape[1], device=device)
    return language(
        inputs_embeds=F.embedding(batch.ids, table), position_ids=after.expand(3, len(batch.ids), -1),
        past_key_values=prefix.past_key_values, output_attentions=attentions, use_cache=True,
    )  # fmt: skip
