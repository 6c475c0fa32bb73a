"""Steps of a few tokens recorded once as CUDA graphs, and replayed: small batches on a GPU wait for Python otherwise.

A recording is bound to its tensors, so caches are kept by shape and used again, and all that changes from step to step
is written into the same tensors: tokens, positions, where keys and values go, what may be looked at. A step takes 1, 2,
4, 8 or 16 tokens; what it has fewer is filled up in front with tokens whose keys go to the last slot, which never
counts. Prompts are read as ever.

No GPU was at hand when this was written. The tests hold all but the recording itself against transformers on a CPU,
where each step is run instead of replayed, and see to it that a step has no operation that a graph cannot hold; those
marked ``gpu`` want a device, and so does benchmarks/gpu_decoding.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from qwenarm.mind.lean import Lean, LeanCache

WIDTHS = (1, 2, 4, 8, 16)
BLOCK = 256
"""Caches are as long as a multiple of this many slots, so that few recordings serve prompts of all lengths."""


@dataclass(frozen=True)
class _Recording:
    """The tensors that a step reads, and what makes its logits of them."""

    ids: torch.Tensor
    position: torch.Tensor
    slots: torch.Tensor
    allowed: torch.Tensor
    play: Callable[[], torch.Tensor]


class _Shelf:
    """One cache for each shape, handed out again and again: an engine has one batch at a time."""

    def __init__(self, model: Recorded) -> None:
        self.model, self.caches = model, dict[tuple[int, int], LeanCache]()

    def take(self, rows: int, needed: int) -> LeanCache:
        """Room for so many slots and the one that never counts. What was in it is overwritten."""
        slots = -(-(needed + 1) // BLOCK) * BLOCK
        if (rows, slots) not in self.caches:
            weight = self.model.layers[0].qkv.weight
            shape = (len(self.model.layers), rows, self.model.kept, slots, self.model.size)
            self.caches[rows, slots] = _ShelfCache(weight.new_zeros(shape), weight.new_zeros(shape), self)
        return self.caches[rows, slots]


class _ShelfCache(LeanCache):
    """Of a shelf. When it changes its shape it goes on in another one's tensors."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, shelf: _Shelf) -> None:
        super().__init__(keys, values, 0)
        self.shelf = shelf

    def reorder_cache(self, rows: torch.Tensor) -> None:
        self._move(self.shelf.take(len(rows), self.length), rows)

    def extend(self, width: int) -> None:
        if self.length + width >= self.keys.shape[3]:
            self._move(self.shelf.take(self.keys.shape[1], self.length + width))

    def _move(self, other: LeanCache, rows: torch.Tensor | None = None) -> None:
        for mine, new in ((self.keys, other.keys), (self.values, other.values)):
            written = mine[:, :, :, : self.length]
            new[:, :, :, : self.length] = written if rows is None else written.index_select(1, rows)
        self.keys, self.values = other.keys, other.values


class Recorded(Lean):
    """``Lean``, with the steps recorded."""

    goes_back = False  # a recording wants the logits of one token

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.shelf, self._recordings = _Shelf(self), dict[tuple[int, ...], _Recording]()

    def copy(self, cache: LeanCache, rows: int, slots: int) -> LeanCache:
        found = self.shelf.take(rows, cache.length + slots)
        fresh = _ShelfCache(found.keys, found.values, self.shelf)
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
        rows, width = ids.shape
        if pixels is not None or width > WIDTHS[-1] or wanted > 1 or not isinstance(cache, _ShelfCache):
            return super().forward(ids, position, mask, cache, pixels, grid, wanted)
        cache.extend(width)
        span = cache.keys.shape[3]
        start, cache.length = cache.length, cache.length + width
        full = next(wide for wide in WIDTHS if wide >= width)
        recording = self._recording(rows, full, cache)
        recording.ids[:, full - width :] = ids
        recording.position[:, :, full - width :] = position
        recording.slots[: full - width] = span - 1
        recording.slots[full - width :] = torch.arange(start, cache.length, device=ids.device)
        counts = recording.slots.new_zeros(rows, span, dtype=torch.bool)
        counts[:, : cache.length] = True if mask is None else mask
        recording.allowed.copy_(self._looks(counts, recording.slots, recording.ids))
        return recording.play()

    def _recording(self, rows: int, width: int, cache: LeanCache) -> _Recording:
        span = cache.keys.shape[3]
        key = (rows, width, span)
        if key not in self._recordings:
            self._recordings[key] = self._record(rows, width, span, LeanCache(cache.keys, cache.values, 0))
        return self._recordings[key]

    def _record(self, rows: int, width: int, span: int, cache: LeanCache) -> _Recording:
        device = cache.keys.device
        ids = torch.zeros(rows, width, dtype=torch.long, device=device)
        position = torch.zeros(3, rows, width, dtype=torch.long, device=device)
        slots = torch.full((width,), span - 1, device=device)
        allowed = self._looks(slots.new_ones(rows, span, dtype=torch.bool), slots, ids).contiguous()  # to be written to

        def step() -> torch.Tensor:
            return self._run(self.text.embed_tokens(ids), position, slots, allowed, cache, span)

        play = _graph(step, device) if device.type == "cuda" else _rerun(step)
        return _Recording(ids, position, slots, allowed, play)


def _rerun(step: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """What stands in for a graph on a CPU: as with one, all answers lie in the same tensor, the next over the last."""
    logits = step()

    def play() -> torch.Tensor:
        return logits.copy_(step())

    return play


def _graph(step: Callable[[], torch.Tensor], device: torch.device) -> Callable[[], torch.Tensor]:
    """Records a step on that GPU; what comes back replays it. Run a few times before, as torch asks for."""
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = step()

    def play() -> torch.Tensor:
        graph.replay()
        return logits

    return play
