"""Generates answers with a Qwen-VL model of transformers: reads the prompts, then chooses tokens until all are done.

The engine does what transformers' own ``generate`` does under the same grammar, token for token
(tests/mind/test_engine.py compares the two), with less work:

* **Prefix cache.** The tokens before the first image (system text and tools; without images, the system message) are
  the same at every decision. Their keys and values are computed once, kept under their token ids, and copied for every
  batch that starts with them.
* **Forced tokens.** Where the grammar allows exactly one token, nothing has to be chosen. Such tokens are queued after
  the choice that led to them, and the model reads the whole queue in one forward pass, if that pays (``_width``).
* **Gaps.** Rows of a batch have prompts and queues of different lengths, but a tensor is rectangular. Shorter rows are
  padded: between the shared prefix and the rest of the prompt, and in front of the queued tokens of a step. A mask
  hides these gaps from attention, and positions are counted without them, so that a row computes what it would alone:

      prefix  prompt     step 1   step 2          # . is a gap
      ppppp   ..aaaa     a        aaaa
      ppppp   bbbbbb     b        ...b

Floating-point sums depend on the shape of a batch in their last bits. If the two best tokens of a row are nearly
equally likely (``MAX_CLOSE_CALL_LOGIT_GAP``), that could change the answer. Such a row leaves the batch and is
generated again by itself. So a greedy answer in float32 never depends on what else is in its batch. In lower precisions
the differences are too large for this, and the answer may depend on the batch.

Layers of linear attention (Qwen3.5) have no mask: every token, also one in a gap, changes their state. Prompts for such
models are grouped by length, and each step takes only as many queued tokens as the row with the shortest queue has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from qwenarm.mind.families import GREEDY_SAMPLING, Sampling
from qwenarm.mind.inference.answer import GeneratedAnswer
from qwenarm.mind.inference.preprocessing import mrope_positions
from qwenarm.mind.inference.transformers_forward import ForwardPass, TransformersForward

MAX_CLOSE_CALL_LOGIT_GAP = 1e-4
"""If the two best logits differ by less than this, it is a close call. Logits of the bundled model differ by up to 2e-5
between batches (measured by benchmarks/evaluation.py)."""
PASS_OVERHEAD_TOKENS = 20
"""A pass over n tokens takes about as long as n + 20 of them: fitted to matrix products of Qwen2.5-1.5B's sizes in
bfloat16 on one core of an AMD EPYC, 1 to 400 tokens."""
MAX_CACHED_PREFIXES = 4
"""One prefix for each combination of skills, cameras and altitude in use; the least recently used one is dropped."""


class NonFiniteLogits(ArithmeticError):
    """The model has computed NaN or infinity where it should rate the next token."""


@dataclass
class GenerationRequest:
    """A prompt as the model reads it, and the answer that is generated for it.

    Attributes:
        ids: The prompt's tokens, with one placeholder per visual token.
        answer: Filled in by the engine.
        pixels: (patches of all images, values) float32, or None.
        grids: (images, 3) int64, the patches of each image in time, height and width, or None.
        generator: Source of randomness if answers are sampled.
        prefix: Without images, how many of the first tokens other prompts are likely to share.
        close_call: The row met a close call and must be generated again alone.
    """

    ids: list[int]
    answer: GeneratedAnswer
    pixels: torch.Tensor | None = None
    grids: torch.Tensor | None = None
    generator: torch.Generator | None = None
    prefix: int = 0
    close_call: bool = False

    @property
    def unfinished(self) -> bool:
        return not self.answer.finish and not self.close_call

    @property
    def tokens(self) -> list[int]:
        """The prompt and its answer so far."""
        return [*self.ids, *self.answer.tokens]


@dataclass
class DecodingBatch:
    """Rows that are generated together.

    Attributes:
        rows: The requests.
        cache: Their keys and values.
        mask: (rows, cached tokens) bool, false in gaps, or None if there are no gaps.
        next_position: (rows,) int64.
        queues: For each row, the tokens that the model has not read yet.
    """

    rows: list[GenerationRequest]
    cache: Any
    mask: torch.Tensor | None
    next_position: np.ndarray
    queues: list[list[int]]


class Engine:
    """Generates answers with one model. Not thread-safe.

    Args:
        model: A Qwen model of transformers.
        sampling: How tokens are drawn; greedy by default.
        forward: Runs the model; by default transformers' own forward pass.
    """

    def __init__(self, model: Any, sampling: Sampling = GREEDY_SAMPLING, forward: ForwardPass | None = None) -> None:
        self.model, self.sampling, self.device = model, sampling, model.device
        layer_types = getattr(model.config.get_text_config(), "layer_types", None) or ()
        self.has_linear_attention = "linear_attention" in layer_types
        vision = getattr(model.config, "vision_config", None)  # None for a model without eyes
        self.image_token, self.merge = (model.config.image_token_id, vision.spatial_merge_size) if vision else (-1, 1)
        self.forward = forward or TransformersForward(model)
        self.exact = model.dtype == torch.float32 and sampling.temperature <= 0
        """Whether answers must not depend on the batch."""
        self._bits = torch.ones((), dtype=torch.int32) << torch.arange(32, dtype=torch.int32, device=self.device)
        self._prefixes: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    @torch.inference_mode()
    def generate(self, requests: Sequence[GenerationRequest]) -> None:
        """Completes the answer of every request."""
        groups: dict[tuple[Any, ...], list[GenerationRequest]] = {}
        for request in requests:
            request.answer.begin()
            prefix = request.ids.index(self.image_token) if self.image_token in request.ids else request.prefix
            length = len(request.tokens) if self.has_linear_attention else 0
            groups.setdefault((prefix, *request.ids[:prefix], length), []).append(request)
        for (prefix, *_), rows in groups.items():
            if unfinished := [row for row in rows if row.unfinished]:
                self._generate_group(unfinished, prefix)
            for row in [row for row in rows if row.close_call]:
                row.close_call = False
                row.answer.restart()
                self._generate_rows([row], prefix)

    def _generate_group(self, rows: list[GenerationRequest], prefix: int) -> None:
        """Generates until each row is finished or has met a close call. All rows share the first ``prefix`` tokens."""
        self._generate_rows(rows, prefix, watch_close_calls=self.exact and len(rows) > 1)

    def _generate_rows(self, rows: list[GenerationRequest], prefix: int, watch_close_calls: bool = False) -> None:
        batch, logits = self._prefill(rows, [row.tokens for row in rows], prefix)
        while True:
            self._choose(batch, logits[:, -1], watch_close_calls)
            self._drop_finished(batch)
            if not batch.rows:
                return
            logits = self._step(batch)

    def _prefill(
        self, rows: list[GenerationRequest], sequences: list[list[int]], prefix: int, logits_kept: int = 1
    ) -> tuple[DecodingBatch, torch.Tensor]:
        """Lets the model read the sequences after the cached prefix, including images.

        Returns:
            The batch, and the logits (rows, logits_kept, vocabulary) of the last tokens.
        """
        longest = max(map(len, sequences))
        ids = np.zeros((len(rows), longest), np.int64)
        mask = np.zeros((len(rows), longest), bool)
        position = np.zeros((3, len(rows), longest), np.int64)
        for index, (row, own) in enumerate(zip(rows, sequences, strict=True)):
            grids = [] if row.grids is None else row.grids.tolist()
            own_position = mrope_positions(own, self.image_token, grids, self.merge)
            for part in (slice(0, prefix), slice(prefix - len(own), None)):  # the gap lies between the two
                ids[index, part] = own[part]
                mask[index, part] = True
                position[:, index, part] = own_position[:, part]
        grids = [row.grids for row in rows if row.grids is not None]
        pixels = [row.pixels for row in rows if row.pixels is not None]
        batch = DecodingBatch(
            rows,
            self._cache_behind(rows[0].ids[:prefix], len(rows), longest - prefix),
            None if mask.all() else self._to_device(mask),
            position.max(axis=(0, 2)) + 1,
            [[] for _ in rows],
        )
        sent = self._to_device(np.stack([ids, *position])[:, :, prefix:])
        logits = self.forward(
            sent[0],
            sent[1:],
            batch.mask,
            batch.cache,
            torch.cat(pixels).to(self.device, self.model.dtype) if pixels else None,
            torch.cat(grids) if grids else None,
            logits_kept,
        )
        return batch, logits

    def _step(self, batch: DecodingBatch, logits_kept: int = 1) -> torch.Tensor:
        """Lets the model read the queued tokens. Returns logits (rows, logits_kept, vocabulary) of the last ones."""
        lengths = [len(queue) for queue in batch.queues]
        width = self._width(lengths)
        ids = np.zeros((len(lengths), width), np.int64)
        mask = np.zeros((len(lengths), width), bool)
        for index, queue in enumerate(batch.queues):
            read = queue[:width]
            ids[index, width - len(read) :] = read
            mask[index, width - len(read) :] = True
            batch.queues[index] = queue[width:]
        count = mask.cumsum(axis=1)
        sent = self._to_device(np.stack([ids, batch.next_position[:, None] + count - 1, mask]))  # one copy, not three
        batch.next_position = batch.next_position + count[:, -1]
        if batch.mask is None and not mask.all():
            batch.mask = sent.new_ones(len(lengths), batch.cache.get_seq_length(), dtype=torch.bool)
        if batch.mask is not None:
            batch.mask = torch.cat([batch.mask, sent[2].bool()], dim=1)
        position = sent[1].expand(3, -1, -1)  # text has the same position in time, height and width
        return self.forward(sent[0], position, batch.mask, batch.cache, logits_kept=logits_kept)

    def _width(self, lengths: Sequence[int]) -> int:
        """Returns how many queued tokens each row reads next, given the lengths of their queues.

        A long queue makes all rows as wide. In a large batch that costs more than the passes that it saves, so the
        width is the one with the most tokens read for the time.
        """
        if self.has_linear_attention:
            return min(lengths)
        if self.device.type != "cpu":
            return max(lengths)

        def tokens_for_time(width: int) -> float:
            return sum(min(length, width) for length in lengths) / (PASS_OVERHEAD_TOKENS + len(lengths) * width)

        return max(sorted(set(lengths), reverse=True), key=tokens_for_time)

    def _to_device(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device)

    def _cache_behind(self, prefix: list[int], rows: int, room: int) -> Any:
        """Returns a cache for ``rows`` rows that already holds the prefix and has room for ``room`` more tokens."""
        if not prefix:
            return self.forward.new_cache(rows)
        key = tuple(prefix)
        if key not in self._prefixes:
            self._prefixes[key] = self._read_prefix(prefix)
            if len(self._prefixes) > MAX_CACHED_PREFIXES:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(key)
        return self.forward.copy_cache(self._prefixes[key], rows, room)

    def _read_prefix(self, prefix: list[int]) -> Any:
        cache = self.forward.new_cache()
        position = torch.arange(len(prefix), device=self.device).expand(3, 1, -1)
        self.forward(torch.tensor([prefix], device=self.device), position, None, cache)
        return cache

    def _drop_finished(self, batch: DecodingBatch) -> None:
        kept = [index for index, row in enumerate(batch.rows) if row.unfinished]
        if len(kept) == len(batch.rows):
            return
        batch.rows = [batch.rows[index] for index in kept]
        batch.queues = [batch.queues[index] for index in kept]
        if kept:
            index = torch.tensor(kept, device=self.device)
            batch.cache.reorder_cache(index)
            batch.next_position = batch.next_position[kept]
            batch.mask = None if batch.mask is None else batch.mask[index]

    def _choose(self, batch: DecodingBatch, logits: torch.Tensor, watch_close_calls: bool) -> None:
        """Chooses the next token of every row with an empty queue, from logits (rows, vocabulary) of the last token
        read.

        The token is queued with those that the grammar forces after it.
        """
        waiting = [index for index, queue in enumerate(batch.queues) if not queue]
        rows = [batch.rows[index] for index in waiting]
        bits = np.full((len(rows), -(-logits.shape[1] // 32)), -1, np.int32)
        for own_bits, row in zip(bits, rows, strict=True):
            row.answer.allow(own_bits)
        logits = (logits if len(rows) == len(logits) else logits[waiting]).float()
        logits = logits.masked_fill(self._forbidden(bits, logits.shape[1]), -torch.inf)
        tokens, close = self._draw(logits, rows, watch_close_calls)
        for index, row, token, is_close in zip(waiting, rows, tokens, close, strict=True):
            row.close_call = bool(is_close)
            batch.queues[index] = row.answer.take(token)

    def _draw(
        self, logits: torch.Tensor, rows: list[GenerationRequest], watch_close_calls: bool
    ) -> tuple[list[int], list[int]]:
        """Returns a token for each row of logits (rows, vocabulary), and whether it was a close call.

        Raises:
            NonFiniteLogits: The best logit of a row is not a number.
        """
        if self.sampling.temperature > 0:
            _check_finite(logits.amax(dim=1).isfinite().tolist())
            probabilities = sampling_probabilities(logits, self.sampling).cpu()
            drawn = [
                int(torch.multinomial(own, 1, generator=row.generator))
                for own, row in zip(probabilities, rows, strict=True)
            ]
            return drawn, [False] * len(rows)
        if watch_close_calls:
            best, order = logits.topk(2, dim=1)
            tokens, close = order[:, 0], best[:, 0] - best[:, 1] < MAX_CLOSE_CALL_LOGIT_GAP
        else:
            tokens = logits.argmax(dim=1)
            best, close = logits.gather(1, tokens[:, None]), torch.zeros_like(tokens)
        told = torch.stack([tokens, close.long(), best[:, 0].isfinite().long()])
        chosen, close_calls, finite = told.tolist()  # one wait for the device, not three
        _check_finite(finite)
        return chosen, close_calls

    def _forbidden(self, bits: np.ndarray, vocabulary: int) -> torch.Tensor:
        """Turns (rows, words) int32 with one bit per allowed token, lowest bit first, into (rows, vocabulary) bool."""
        return ((self._to_device(bits)[:, :, None] & self._bits) == 0).flatten(1)[:, :vocabulary]


def _check_finite(rows: Sequence[int | bool]) -> None:
    """Whatever is chosen by logits that are no numbers would look like a decision, and be none."""
    if not all(rows):
        raise NonFiniteLogits


def sampling_probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Returns probabilities for logits (rows, vocabulary) after temperature, then top_k, then top_p, as in
    transformers.
    """
    logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[1]:
        least = logits.topk(sampling.top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = logits.sort(dim=1, descending=True)
        before = ordered.softmax(dim=1).cumsum(dim=1) - ordered.softmax(dim=1)
        logits = logits.masked_fill((before >= sampling.top_p).scatter(1, order, before >= sampling.top_p), -torch.inf)
    return logits.softmax(dim=1)
