"""Turns demonstrations into tensors: tokens exactly as when acting, images as patches, and extra supervision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from qwenarm.mind.inference.preprocessing import PromptEncoder, mrope_positions
from qwenarm.train.dataset import Shard
from qwenarm.train.links import LINK_KINDS, POINT_PATTERN, Link, Linker, Span, name_beside
from qwenarm.types import Prompt

END_OF_TURN = "<|im_end|>"
IGNORED_LABEL = -100
"""Label of a token that is not followed by a token of the answer."""
OWNED_SHARE = 0.15
"""An object owns a visual token's cell if it fills more of it than any other object, and at least this share."""
COORDINATE_VALUES = range(1000)
"""The numbers that points consist of."""
Grid = tuple[int, int, int]
"""The patches of an image in time, height and width."""


@dataclass(frozen=True)
class Tokens:
    """One decision as tokens.

    Attributes:
        ids: Prompt and answer.
        answer: Index of the answer's first token.
        links: See ``Linker``.
        pictures: Index of the first token of each image.
        grids: The images' grids.
    """

    ids: list[int]
    answer: int
    links: Mapping[str, list[Link]]
    pictures: list[int]
    grids: tuple[Grid, ...]


@dataclass(frozen=True)
class Batch:
    """B decisions of up to L tokens.

    Attributes:
        ids: (B, L) int64.
        labels: (B, L) int64, the next token of the answer, else IGNORED_LABEL.
        positions: (3, B, L) int64 of M-RoPE.
        pixels: (patches of all images, values) float32.
        grids: (images, 3) int64.
        first_picture: (B,) int64, the index of each decision's first image.
        links: By kind (B, L, L) bool: which token should attend to which.
        cells: By attribute (B, cells), what each visual token of the first image shows, or -1 if that is not
            supervised. Empty if there are no masks.
        meant: For each decision and each of its points (cells,) bool: the cells in which the point may lie.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    pixels: torch.Tensor
    grids: torch.Tensor
    first_picture: torch.Tensor
    links: dict[str, torch.Tensor]
    cells: dict[str, torch.Tensor]
    meant: list[list[np.ndarray]]


Example = tuple[Shard, Mapping[str, Any]]
"""A shard and one of its lines."""


class Reader:
    """Makes tokens and tensors for one checkpoint. ``values`` lists the values of each attribute (``values_in``)."""

    def __init__(self, encoder: PromptEncoder, values: Mapping[str, Sequence[str]]) -> None:
        self.encoder, self.tokenizer = encoder, encoder.processor.tokenizer
        self.image = encoder.fast_processor.image_token
        self.values = {name: {value: i for i, value in enumerate(known)} for name, known in values.items()}
        self.patch, self.merge = encoder.fast_processor.images.patch_size, encoder.fast_processor.images.merge_size

    @cached_property
    def numbers(self) -> dict[int, int]:
        """Coordinates by token; empty unless all of COORDINATE_VALUES are single tokens."""
        found = {number: self.tokenizer(str(number))["input_ids"] for number in COORDINATE_VALUES}
        single = {ids[0]: number for number, ids in found.items() if len(ids) == 1}
        return single if len(single) == len(COORDINATE_VALUES) else {}

    def tokens(self, example: Example) -> Tokens:
        """Returns prompt and answer as tokens, exactly as they are when the model acts."""
        shard, line = example
        grids = tuple((1, h // self.patch, w // self.patch) for h, w in shard.sizes(line["images"]))
        prompt = Prompt(tuple(line["messages"]), tools=tuple(shard.head["tools"]))
        text = self.encoder.text(prompt)
        ids, spans, pictures = self._spanned(text, grids)
        said, more, _ = self._spanned(line["answer"] + END_OF_TURN, ())
        spans += [(begin + len(text), end + len(text)) for begin, end in more]
        links = Linker(text + line["answer"], len(text), spans).links()
        return Tokens([*ids, *said], len(ids), links, pictures, grids)

    def _spanned(self, text: str, grids: Sequence[Grid]) -> tuple[list[int], list[Span], list[int]]:
        """Returns the tokens, the span of text that each stands for, and the index of each image's first token."""
        ids, spans, pictures, begin = list[int](), list[Span](), list[int](), 0
        placeholder = self.encoder.fast_processor.placeholder
        for number, piece in enumerate(text.split(placeholder)):
            if number:
                cells = int(np.prod(grids[number - 1])) // self.merge**2
                pictures.append(len(ids))
                ids += [self.image] * cells
                spans += [(begin, begin)] * cells
                begin += len(placeholder)
            found = self.tokenizer(piece, return_offsets_mapping=True)
            ids += found["input_ids"]
            spans += [(begin + start, begin + stop) for start, stop in found["offset_mapping"]]
            begin += len(piece)
        return ids, spans, pictures

    def batch(self, examples: Sequence[Example], tokens: Sequence[Tokens]) -> Batch:
        """Returns the examples, given with their tokens, as tensors."""
        count, length = len(examples), max(len(each.ids) for each in tokens)
        ids = np.zeros((count, length), np.int64)
        labels = np.full((count, length), IGNORED_LABEL)
        places = np.zeros((3, count, length), np.int64)
        links = {kind: np.zeros((count, length, length), bool) for kind in LINK_KINDS}
        pictures, pixels, grids, truths, meant = [], [], [], [], []
        for i, ((shard, line), own) in enumerate(zip(examples, tokens, strict=True)):
            size = len(own.ids)
            ids[i, :size] = own.ids
            labels[i, own.answer - 1 : size - 1] = own.ids[own.answer :]
            places[:, i, :size] = mrope_positions(own.ids, self.image, own.grids, self.merge)
            frames = shard.pictures(line["images"])
            patches, grid = self.encoder.fast_processor.pixels(frames)
            pictures.append(sum(map(len, grids)))
            pixels.append(patches)
            grids.append(grid)
            masks = shard.pictures(line["masks"])
            owners = [self.owners(mask, grid) for mask, grid in zip(masks, own.grids, strict=False)]
            truths += [self._truth(owners[0], masks[0], line["objects"])] if masks else []
            meant.append([self._meant(owners[point[3]], own.grids[point[3]], point) for point in line["points"]])
            for at, to in same_places(own.pictures, own.grids, self.merge):
                links["same_place"][i, at, to] = True
            near = self._beside(line, owners)
            for kind, pairs in own.links.items():
                for at, to in pairs:
                    if kind not in ("cells", "beside"):
                        links[kind][i, at, to] = True
                    elif to < len(meant[-1]):  # for a model's own answers nobody knows what they mean
                        first, cells = own.pictures[line["points"][to][3]], meant[-1] if kind == "cells" else near
                        links[kind][i, at, first + np.flatnonzero(cells[to])] = True
        names = truths[0] if truths else ()
        cells = {name: torch.from_numpy(np.stack([truth[name] for truth in truths])) for name in names}
        return Batch(
            torch.from_numpy(ids), torch.from_numpy(labels), torch.from_numpy(places), torch.cat(pixels),
            torch.cat(grids), torch.tensor(pictures), {k: torch.from_numpy(v) for k, v in links.items()}, cells, meant,
        )  # fmt: skip

    def owners(self, mask: np.ndarray, grid: Grid) -> np.ndarray:
        """Returns (cells,) the object that owns each visual token's cell, or -1. For ``mask`` see ``Sample.masks``."""
        rows, columns = grid[1] // self.merge, grid[2] // self.merge
        high, wide = mask.shape[0] // rows, mask.shape[1] // columns
        parts = mask[: rows * high, : columns * wide].reshape(rows, high, columns, wide).swapaxes(1, 2)
        parts = parts.reshape(rows * columns, -1)
        counts = np.stack([(parts == k + 1).sum(1) for k in range(max(1, int(mask.max())))], 1)
        return np.where(counts.max(1) >= OWNED_SHARE * parts.shape[1], counts.argmax(1), -1)

    def _meant(self, owner: np.ndarray, grid: Grid, point: Sequence[float]) -> np.ndarray:
        """Returns (cells,) bool: the cells of the object that is meant, or else the cell of the point."""
        k, u, v = int(point[0]), point[1], point[2]
        if k >= 0 and (owner == k).any():
            return owner == k
        rows, columns = grid[1] // self.merge, grid[2] // self.merge
        chosen = np.zeros(len(owner), bool)
        chosen[min(rows - 1, int(v * rows)) * columns + min(columns - 1, int(u * columns))] = True
        return chosen

    def _beside(self, line: Mapping[str, Any], owners: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns for each point (cells,) bool: the cells of the thing by which its place is named, if there is one."""
        names = [f"{each['color']} {each['shape']}" for each in line["objects"]]
        wanted = [name_beside(found[1]) for found in POINT_PATTERN.finditer(line["answer"])]
        own = [owners[int(point[3])] for point in line["points"]]
        return [
            owner == names.index(name) if names.count(name) == 1 else np.zeros(len(owner), bool)
            for name, owner in zip(wanted, own, strict=False)
        ]

    def _truth(self, owner: np.ndarray, mask: np.ndarray, objects: Sequence[Any]) -> dict[str, np.ndarray]:
        """Returns for each attribute (cells,) what the visual tokens show. "u" and "v" are the middle of the object."""
        found = {name: np.full(len(owner), -1) for name in self.values}
        found["shape"] = np.full(len(owner), self.values["shape"][""])
        middle = {name: np.full(len(owner), -1.0, np.float32) for name in ("u", "v")}
        for k in sorted(set(owner[owner >= 0].tolist())):
            cells = owner == k
            for name, value in attributes(objects, k).items():
                found[name][cells] = self.values[name].get(value, -1)
            y, x = np.nonzero(mask == k + 1)
            middle["u"][cells] = (x.mean() + 0.5) / mask.shape[1]
            middle["v"][cells] = (y.mean() + 0.5) / mask.shape[0]
        return {**found, **middle}


def same_places(pictures: Sequence[int], grids: Sequence[Grid], merge: int) -> list[Link]:
    """Links each visual token of the second picture to that of the same place in the first, if they are of one size.

    Args:
        pictures: Index of the first token of each picture.
        grids: The pictures' grids.
        merge: Number of patches along each side of a visual token's cell.
    """
    if len(pictures) != 2 or grids[0] != grids[1]:
        return []
    return [(pictures[1] + cell, pictures[0] + cell) for cell in range(int(np.prod(grids[0])) // merge**2)]


def attributes(objects: Sequence[Mapping[str, Any]], k: int) -> dict[str, str]:
    """Returns what can be seen of an object: its own appearance, what carries it, and what it carries."""
    thing = objects[k]
    carrier = objects[thing["on"]] if thing["on"] >= 0 else {}
    load = next((other for other in objects if other["on"] == k), {})
    own = {name: thing[name] for name in ("shape", "color", "top", "sides")}
    kin = {"carrier": carrier, "load": load}
    return own | {f"{name}_{what}": kin[name].get(what, "") for name in kin for what in ("shape", "color")}


def values_in(shards: Sequence[Shard]) -> dict[str, list[str]]:
    """Returns by attribute all values in the shards, and "" for none."""
    found: dict[str, set[str]] = {}
    for shard in shards:
        for line in shard.lines:
            for k in range(len(line["objects"])):
                for name, value in attributes(line["objects"], k).items():
                    found.setdefault(name, {""}).add(value)
    return {name: sorted(values) for name, values in sorted(found.items())}
