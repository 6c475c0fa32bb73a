"""Steps of a few tokens recorded once as CUDA graphs, and replayed: small batches on a GPU wait for Python otherwise.

A recording is bound to its tensors. So all caches are cut out of the same memory, in few shapes (``_Shelf``), and what
changes from step to step is written into the same tensors: tokens, positions, where keys and values go, which slots
count. A step takes 1, 2, 4, 8, 16 or 32 tokens of as many rows; what it has fewer of either is filled up with tokens
whose keys go to the last slot, which never counts, and with rows that nobody reads. More tokens are several steps.
Prompts are read as ever.

No GPU was at hand when this was written. The tests run it on one that is pretended (benchmarks/pretend_gpu.py), which
captures and replays operations as a graph does; those marked ``gpu`` want a device, and so does
benchmarks/gpu_decoding.py. On a device a recording is compared with the step that it records before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.lean import Lean, LeanCache

WIDTHS = (1, 2, 4, 8, 16, 32)
BLOCK = 256
"""Caches are as long as a multiple of this many slots, so that few recordings serve prompts of all lengths."""
ROUNDING = 0.1
"""A replay may differ from the step that it records by this share at most. Another order of sums in bf16 costs some
hundredths; tensors that were mixed up cost all."""


@dataclass(frozen=True)
class _Recording:
    """The tensors that a step reads, and what makes its logits of them."""

    ids: torch.Tensor
    position: torch.Tensor
    slots: torch.Tensor
    counts: torch.Tensor
    play: Callable[[], torch.Tensor]


class _Shelf:
    """The memory of all caches: an engine has one batch at a time, so each new one is written over the last."""

    def __init__(self, model: Recorded) -> None:
        self.model = model
        self.keys = self.values = model.layers[0].qkv.weight.new_zeros(0)

    def take(self, rows: int, needed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values with room for so many rows and slots, and for the slot that never counts. Rows are rounded up
        to a power of two. What is in it is whatever was.
        """
        model = self.model
        slots = -(-(needed + 1) // BLOCK) * BLOCK
        shape = (len(model.layers), _rounded(rows), model.kept, slots, model.size)
        if prod(shape) > self.keys.numel():
            model.forget_recordings()  # they know the old memory
            self.keys = self.values = self.keys.new_zeros(0)  # which is let go first
            self.keys, self.values = (self.keys.new_zeros(prod(shape)) for _ in range(2))
        keys, values = (part[: prod(shape)].view(shape) for part in (self.keys, self.values))
        return keys, values


def _rounded(rows: int) -> int:
    return 1 << (rows - 1).bit_length()


class _ShelfCache(LeanCache):
    """Of a shelf. places (rows,): where in it the rows of the batch are; those that have left leave gaps."""

    def __init__(self, shelf: _Shelf, rows: int, needed: int) -> None:
        super().__init__(*shelf.take(rows, needed), 0)
        self.shelf, self.places = shelf, torch.arange(rows, device=self.keys.device)

    def reorder_cache(self, rows: torch.Tensor) -> None:
        """Keeps these rows, none of them named twice. They move only where half as much memory will do."""
        self.places = self.places[rows]
        if _rounded(len(rows)) < self.keys.shape[1]:
            self._move(self.length)

    def extend(self, width: int) -> None:
        if self.length + width >= self.keys.shape[3]:
            self._move(self.length + width)

    def _move(self, needed: int) -> None:
        """Into memory of another shape, which may be the same memory."""
        rows = len(self.places)
        written = [part[:, :, :, : self.length].index_select(1, self.places) for part in (self.keys, self.values)]
        self.keys, self.values = self.shelf.take(rows, needed)
        for part, old in zip((self.keys, self.values), written, strict=True):
            part[:, :rows, :, : self.length] = old
        self.places = torch.arange(rows, device=self.keys.device)


class Recorded(Lean):
    """``Lean``, with the steps recorded. For models on a CUDA device."""

    goes_back = False  # a recording wants the logits of one token

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._recordings: dict[tuple[int, ...], _Recording] = {}
        self._pool: Any = None
        self.shelf = _Shelf(self)

    def forget_recordings(self) -> None:
        self._recordings.clear()

    def copy(self, cache: LeanCache, rows: int, slots: int) -> LeanCache:
        fresh = _ShelfCache(self.shelf, rows, cache.length + slots)
        for old, new in ((cache.keys, fresh.keys), (cache.values, fresh.values)):
            new[:, :, :, : cache.length] = old[:, :, :, : cache.length]
        fresh.length = cache.length
        return fresh

    def forward(
        self,
        ids: torch.Tensor,
        position: torch.Tensor,
        mask: torch.Tensor | None,
        cache: LeanCache,
        pixels: torch.Tensor | None = None,
        grid: torch.Tensor | None = None,
        wanted: int = 1,
    ) -> torch.Tensor:
        if not isinstance(cache, _ShelfCache):
            return super().forward(ids, position, mask, cache, pixels, grid, wanted)
        rows, width = ids.shape
        if pixels is not None:  # a prompt: all its rows still stand in their places
            cache.extend(width)
            part = LeanCache(cache.keys[:, :rows], cache.values[:, :rows], cache.length)
            cache.length += width
            return super().forward(ids, position, mask, part, pixels, grid, wanted)
        if (most := WIDTHS[-1]) < width:
            first = None if mask is None else mask[:, : most - width]
            self.forward(ids[:, :most], position[:, :, :most], first, cache)
            return self.forward(ids[:, most:], position[:, :, most:], mask, cache)
        return self._replay(ids, position, mask, cache)

    def _replay(
        self, ids: torch.Tensor, position: torch.Tensor, mask: torch.Tensor | None, cache: _ShelfCache
    ) -> torch.Tensor:
        width, places = ids.shape[1], cache.places
        cache.extend(width)
        start, cache.length = cache.length, cache.length + width
        full = next(wide for wide in WIDTHS if wide >= width)
        recording = self._recording(full, cache)
        recording.ids[places, full - width :] = ids
        recording.position[:, places, full - width :] = position
        recording.slots.fill_(cache.keys.shape[3] - 1)
        recording.slots[full - width :] = torch.arange(start, cache.length, device=ids.device)
        recording.counts.zero_()
        recording.counts[places, : cache.length] = True if mask is None else mask
        return recording.play()[places]

    def _recording(self, width: int, cache: LeanCache) -> _Recording:
        key = (*cache.keys.shape, width)
        if key not in self._recordings:
            self._recordings[key] = self._record(width, LeanCache(cache.keys, cache.values, 0))
        return self._recordings[key]

    def _record(self, width: int, cache: LeanCache) -> _Recording:
        device, (_, rows, _, span, _) = cache.keys.device, cache.keys.shape
        ids = torch.zeros(rows, width, dtype=torch.long, device=device)
        position = torch.zeros(3, rows, width, dtype=torch.long, device=device)
        slots = torch.full((width,), span - 1, device=device)
        counts = torch.zeros(rows, span, dtype=torch.bool, device=device)

        def step() -> torch.Tensor:
            looks = self._looks(counts, slots, ids)
            return self._run(self.text.embed_tokens(ids), position, slots, looks, cache, span)

        return _Recording(ids, position, slots, counts, self._graph(step, device))

    def _graph(self, step: Callable[[], torch.Tensor], device: torch.device) -> Callable[[], torch.Tensor]:
        """Records a step on that GPU; what comes back replays it. Run a few times before, as torch asks for. Raises
        ModelUnavailable if a replay is not what the step computes.
        """
        with torch.cuda.device(device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):
                    step()
            torch.cuda.current_stream().wait_stream(aside)
            self._pool = self._pool or torch.cuda.graph_pool_handle()  # recordings are never played at the same time
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                logits = step()

        def play() -> torch.Tensor:
            graph.replay()
            return logits

        replayed, run = play(), step()
        if not (replayed - run).norm() <= ROUNDING * run.norm():  # which no number is, either
            raise ModelUnavailable("CUDA graphs compute something else on this device; do without them (#graphs=no).")
        return play
