"""Writes answers with a Qwen-VL model of transformers: prefill, choose, append, until every answer has ended.

Four things spare work, and none of them changes an answer (tests/mind/test_engine.py holds it against transformers'
own ``generate`` under the same grammar):

* The tokens up to the first frame (system text, tools) are the same at every decision. Their keys and values are kept,
  by their token ids, and every batch goes on from them.
* What a grammar leaves no choice about is appended together with the choice before it, in one step.
* What followed the same tokens in earlier answers (``drafts.py``) is appended as a guess. It stands as far as the model
  chooses the same; the rest is taken back. For greedy answers to one prompt in fp32.
* Rows of a batch may differ in length everywhere: the gaps lie behind the common prefix or in front of a step's tokens,
  and are masked; positions count without them.

Sums come out differently in the last bits for another number of rows or another length. So that an answer does not hang
on its neighbours or on guesses, a row in whose choice the best two are closer than that (``CLOSE``) is given up and
written once more, alone and without guesses. This makes greedy answers in fp32 independent of the batch and of what
came before; coarser numbers differ by too much for it.

Layers of linear attention (Qwen3.5) carry a state through every token, gaps included. Such models therefore answer in
groups of prompts of the same length, and take as many tokens a step as the row with the fewest has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from qwenarm.mind.families import GREEDY, Sampling
from qwenarm.mind.inference.answer import Answer
from qwenarm.mind.inference.fused.decoder import Lean
from qwenarm.mind.inference.fused.speculative import Drafts
from qwenarm.mind.inference.preprocessing import positions
from qwenarm.mind.inference.transformers_forward import Whole

CLOSE = 1e-4
"""Logits nearer to each other than this are a close call in a batch or beside a guess. They differ by up to 2e-5
between batches of the bundled model (benchmarks/evaluation.py measures it)."""
RECENT = 64
"""Of so many last tokens of a prompt, those with the task, a guess is made rather than of others."""
PREFIXES = 4
"""So many constant prefixes are kept: one per altitude and set of skills or cameras in use."""


@dataclass
class Asked:
    """One prompt as the model takes it, and the answer that is written to it.

    ids: the prompt's tokens, one placeholder per visual token. pixels: (patches, values of one moment) float32 of all
    frames, or None. grids: (frames, 3) int64, patches in time, height and width. source: of random numbers, if any are
    drawn.
    """

    ids: list[int]
    answer: Answer
    pixels: torch.Tensor | None = None
    grids: torch.Tensor | None = None
    source: torch.Generator | None = None
    close: bool = False
    """A choice was too close to be made in a batch or beside a guess."""

    @property
    def going(self) -> bool:
        return not self.answer.finish and not self.close

    @property
    def said(self) -> list[int]:
        """The prompt and its answer so far."""
        return [*self.ids, *self.answer.tokens]


@dataclass
class _Batch:
    """Rows that are written together. mask (rows, length) bool: which slots of the cache count; None if all do.
    position (rows,) int64: of the next token. queues: tokens that the model has not seen yet. draft: what the only row
    was guessed to go on with when the model was last shown it.
    """

    rows: list[Asked]
    cache: Any
    mask: torch.Tensor | None
    position: np.ndarray
    queues: list[list[int]]
    draft: list[int] = field(default_factory=list)


class Engine:
    """One model of transformers. Not for several threads at once."""

    def __init__(self, model: Any, sampling: Sampling = GREEDY) -> None:
        self.model, self.sampling = model, sampling
        self.device = model.device
        text = model.config.get_text_config()
        self.hybrid = "linear_attention" in (getattr(text, "layer_types", None) or ())
        self.image, self.merge = model.config.image_token_id, model.config.vision_config.spatial_merge_size
        self.passes = Lean(model) if Lean.fits(model) else Whole(model)
        self.drafts = Drafts()
        self._guesses = self.passes.goes_back and model.dtype == torch.float32 and sampling.temperature <= 0
        self._bits = torch.ones((), dtype=torch.int32) << torch.arange(32, dtype=torch.int32, device=self.device)
        self._prefixes: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    @torch.inference_mode()
    def write(self, asked: Sequence[Asked]) -> None:
        """Writes all the answers, each to its end."""
        groups: dict[tuple[Any, ...], list[Asked]] = {}
        for one in asked:
            one.answer.begin()
            constant = one.ids.index(self.image) if self.image in one.ids else 0
            groups.setdefault((constant, *one.ids[:constant], len(one.said) * self.hybrid), []).append(one)
        for (constant, *_), rows in groups.items():
            going = [row for row in rows if row.going]
            self._write(going, constant, guessing=self._guesses and len(going) == 1)
            for row in [row for row in rows if row.close]:
                row.close = False
                row.answer.restart()
                self._write([row], constant, guessing=False)
        for one in asked:
            if self.image not in one.answer.tokens:  # a guess must not look like a frame
                self.drafts.learn(one.said[-len(one.answer.tokens) - 2 :])

    def _write(self, rows: list[Asked], constant: int, guessing: bool) -> None:
        """rows: prompts with the same first ``constant`` tokens."""
        if not rows:
            return
        told = set(rows[0].ids[-RECENT:])
        batch, logits = self._prefill(rows, constant, self.drafts.guess(rows[0].said, told) if guessing else [])
        careful = guessing or (len(rows) > 1 and self.model.dtype == torch.float32)
        while True:
            self._advance(batch, logits, careful)
            self._drop_finished(batch)
            if not batch.rows:
                return
            logits = self._step(batch, self.drafts.guess(rows[0].said, told) if guessing else [])

    def _advance(self, batch: _Batch, logits: torch.Tensor, careful: bool) -> None:
        """Lets rows choose that have nothing queued, and goes on as far as the draft comes true. logits (rows, 1 +
        drafted, vocabulary).
        """
        draft, right = batch.draft, 0
        while True:
            for place, token, close in self._choose(logits[:, right], batch, careful):
                row = batch.rows[place]
                row.close = close
                batch.queues[place] = row.answer.take(token)
            if not draft:
                return
            known = batch.queues[0]
            same = _alike(known, draft[right:])
            right += same
            batch.queues[0] = known[same:]
            if same < len(known) or not batch.rows[0].going:
                break
        batch.cache.forget(len(draft) - right)
        batch.position = batch.position - (len(draft) - right)

    def _prefill(self, rows: list[Asked], constant: int, draft: list[int]) -> tuple[_Batch, torch.Tensor]:
        shown = [[*row.said, *draft] for row in rows]
        longest = max(map(len, shown))
        ids = np.zeros((len(rows), longest), np.int64)
        mask = np.zeros((len(rows), longest), bool)
        position = np.zeros((3, len(rows), longest), np.int64)
        for place, (row, own) in enumerate(zip(rows, shown, strict=True)):
            frames = [] if row.grids is None else row.grids.tolist()
            stands = positions(own, self.image, frames, self.merge)
            for part in (slice(0, constant), slice(constant - len(own), None)):  # the gap lies between the two
                ids[place, part] = own[part]
                mask[place, part] = True
                position[:, place, part] = stands[:, part]
        grids = [row.grids for row in rows if row.grids is not None]
        pixels = [row.pixels for row in rows if row.pixels is not None]
        batch = _Batch(
            rows,
            self._cache(rows[0].ids[:constant], len(rows), longest - constant),
            None if mask.all() else self._there(mask),
            position.max(axis=(0, 2)) + 1,
            [[] for _ in rows],
            draft,
        )
        sent = self._there(np.stack([ids, *position])[:, :, constant:])
        logits = self.passes.forward(
            sent[0],
            sent[1:],
            batch.mask,
            batch.cache,
            torch.cat(pixels).to(self.device, self.model.dtype) if pixels else None,
            torch.cat(grids) if grids else None,
            1 + len(draft),
        )
        return batch, logits

    def _step(self, batch: _Batch, draft: list[int]) -> torch.Tensor:
        """Lets the model see queued tokens, and the draft of the only row; the logits (rows, 1 + drafted, vocabulary)
        behind the last one of each row.
        """
        batch.draft = draft
        batch.queues[0] += draft
        lengths = [len(queue) for queue in batch.queues]
        width = min(lengths) if self.hybrid else max(lengths)
        ids = np.zeros((len(lengths), width), np.int64)
        mask = np.zeros((len(lengths), width), bool)
        for place, queue in enumerate(batch.queues):
            seen = queue[:width]
            ids[place, width - len(seen) :] = seen
            mask[place, width - len(seen) :] = True
            batch.queues[place] = queue[width:]
        count = mask.cumsum(axis=1)
        sent = self._there(np.stack([ids, batch.position[:, None] + count - 1, mask]))  # in one copy
        batch.position = batch.position + count[:, -1]
        if batch.mask is None and not mask.all():
            batch.mask = sent.new_ones(len(lengths), batch.cache.get_seq_length(), dtype=torch.bool)
        if batch.mask is not None:
            batch.mask = torch.cat([batch.mask, sent[2].bool()], dim=1)
        position = sent[1].expand(3, -1, -1)
        return self.passes.forward(sent[0], position, batch.mask, batch.cache, wanted=1 + len(draft))

    def _there(self, values: np.ndarray) -> torch.Tensor:
        """On the model's device."""
        return torch.from_numpy(values).to(self.device)

    def _cache(self, prefix: list[int], rows: int, slots: int) -> Any:
        """A cache for that many rows that has seen the prefix already, with room for so many tokens more."""
        if not prefix:
            return self.passes.new_cache(rows)
        key = tuple(prefix)
        if key not in self._prefixes:
            self._prefixes[key] = self._seen(prefix)
            if len(self._prefixes) > PREFIXES:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(key)
        return self.passes.copy(self._prefixes[key], rows, slots)

    def _seen(self, prefix: list[int]) -> Any:
        cache = self.passes.new_cache()
        places = torch.arange(len(prefix), device=self.device).expand(3, 1, -1)
        self.passes.forward(torch.tensor([prefix], device=self.device), places, None, cache)
        return cache

    def _drop_finished(self, batch: _Batch) -> None:
        going = [place for place, row in enumerate(batch.rows) if row.going]
        if len(going) == len(batch.rows):
            return
        batch.rows = [batch.rows[place] for place in going]
        batch.queues = [batch.queues[place] for place in going]
        if going:
            index = torch.tensor(going, device=self.device)
            batch.cache.reorder_cache(index)
            batch.position = batch.position[going]
            batch.mask = None if batch.mask is None else batch.mask[index]

    def _choose(self, logits: torch.Tensor, batch: _Batch, careful: bool) -> list[tuple[int, int, bool]]:
        """(row, token, was it a close call) for every row that has nothing queued. logits: (rows, vocabulary)."""
        places = [place for place, queue in enumerate(batch.queues) if not queue]
        answers = [batch.rows[place].answer for place in places]
        bits = np.full((len(places), -(-logits.shape[1] // 32)), -1, np.int32)
        for row, answer in zip(bits, answers, strict=True):
            answer.allow(row)
        waiting = logits if len(places) == len(logits) else logits[places]
        logits = waiting.float().masked_fill(self._forbidden(bits, logits.shape[1]), -torch.inf)
        close = [False] * len(places)
        if self.sampling.temperature <= 0 and careful:
            best, order = logits.topk(2, dim=1)
            near = best[:, 0] - best[:, 1] < CLOSE
            tokens, close = torch.stack([order[:, 0], near.long()]).tolist()  # fetched at once
        elif self.sampling.temperature <= 0:
            tokens = logits.argmax(dim=1).tolist()
        else:
            odds = _odds(logits, self.sampling).cpu()
            sources = [batch.rows[place].source for place in places]
            tokens = [
                int(torch.multinomial(row, 1, generator=source)) for row, source in zip(odds, sources, strict=True)
            ]
        return list(zip(places, tokens, map(bool, close), strict=True))

    def _forbidden(self, bits: np.ndarray, size: int) -> torch.Tensor:
        """(rows, words) int32, a bit for each token that is allowed, the lowest first -> (rows, size) bool."""
        return ((self._there(bits)[:, :, None] & self._bits) == 0).flatten(1)[:, :size]


def _alike(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens are the same at the beginning of both."""
    return next(
        (at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other),
        min(len(first), len(second)),
    )


def _odds(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """(rows, vocabulary) logits -> probabilities, after temperature, then top_k, then top_p, as transformers does."""
    logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[1]:
        least = logits.topk(sampling.top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = logits.sort(dim=1, descending=True)
        before = ordered.softmax(dim=1).cumsum(dim=1) - ordered.softmax(dim=1)
        logits = logits.masked_fill((before >= sampling.top_p).scatter(1, order, before >= sampling.top_p), -torch.inf)
    return logits.softmax(dim=1)
