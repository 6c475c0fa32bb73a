"""Pictures and their labels as tensors: random shards from disk, mirrored and dimmed, cut into patches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

COLOR_NAMES = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
SHAPE_NAMES = ("cube", "cylinder", "ball", "bowl", "tray", "box")
"""As in body.objects, which a test compares: training on a machine with the shards needs no simulator."""
VIEWS = ("front", "overhead", "wrist")
"""The cameras that took the pictures."""
COLUMNS = ("rgb", "owner", "objects", "camera")
"""The files of a shard."""
BINS = 32
PATCH, MERGE = 16, 2


@dataclass
class Pictures:
    """A batch. rgb (B, H, W, 3) uint8; owner (B, H/32, W/32) int64; objects (B, MAX_OBJECTS, 8) float32 rows of
    frames.ROW; camera (B,) int8 indices into VIEWS.
    """

    rgb: np.ndarray
    owner: np.ndarray
    objects: np.ndarray
    camera: np.ndarray


def load_shards(folder: Path) -> list[dict[str, np.ndarray]]:
    """All finished shards, memory-mapped."""
    return [
        {name: np.load(shard / f"{name}.npy", mmap_mode="r") for name in COLUMNS}
        for shard in sorted(folder.glob("shard[0-9]*"))
        if shard.name.removeprefix("shard").isdigit()
    ]


def batches(
    shards: list[dict[str, np.ndarray]], size: int, rng: np.random.Generator, mirror: bool = True
) -> Iterator[Pictures]:
    """Endless random batches, every second picture mirrored (left and right are learned from positions, not from
    words).
    """
    while True:
        picks = [(int(s), int(rng.integers(len(shards[s]["rgb"])))) for s in rng.integers(len(shards), size=size)]
        rgb, owner, objects, camera = (np.stack([shards[s][name][i] for s, i in picks]) for name in COLUMNS)
        if mirror:
            flip = rng.random(size) < 0.5
            rgb[flip] = rgb[flip, :, ::-1]
            owner[flip] = owner[flip, :, ::-1]
            real = objects[..., 0] >= 0
            turned = flip[:, None] & real
            objects[..., 2] = np.where(turned, 1 - objects[..., 2], objects[..., 2])
        gain = rng.uniform(0.85, 1.15, (size, 1, 1, 1)).astype(np.float32)
        rgb = np.clip(rgb * gain, 0, 255).astype(np.uint8)
        yield Pictures(rgb, owner.astype(np.int64), objects, camera)


def patches(rgb: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) uint8 to the patch rows (B * patches, 1536) that Qwen2VLImageProcessor makes (mean and deviation
    0.5; the four patches of one merged token follow one another; every picture is doubled in time).
    """
    b, h, w, _ = rgb.shape
    gh, gw = h // PATCH, w // PATCH
    x = torch.from_numpy(rgb).float().div_(127.5).sub_(1.0)
    x = x.view(b, gh // MERGE, MERGE, PATCH, gw // MERGE, MERGE, PATCH, 3)
    x = x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(b * gh * gw, 3, 1, PATCH, PATCH)
    return x.expand(-1, -1, 2, -1, -1).reshape(b * gh * gw, -1)


def cells(pictures: Pictures) -> dict[str, torch.Tensor]:
    """Per visual token (B, cells): what its owner is, where the owner's centre lies, and how it stands to others."""
    owner = pictures.owner.reshape(len(pictures.owner), -1)
    rows = np.take_along_axis(pictures.objects, np.maximum(owner, 0)[..., None], axis=1)  # (B, cells, 8)
    parent = rows[..., 6].astype(np.int64)
    parents = np.take_along_axis(pictures.objects, np.maximum(parent, 0)[..., None], axis=1)
    none = owner < 0
    hosted = (pictures.objects[:, None, :, 6] == owner[..., None]).any(-1) & ~none
    shape = np.where(none, len(SHAPE_NAMES), rows[..., 0]).astype(np.int64)
    truth = {
        "shape": shape,
        "color": rows[..., 1].astype(np.int64).clip(0),
        "relation": rows[..., 5].astype(np.int64).clip(0),
        "parent_color": np.where(parent < 0, len(COLOR_NAMES), parents[..., 1]).astype(np.int64),
        "parent_shape": np.where(parent < 0, len(SHAPE_NAMES), parents[..., 0]).astype(np.int64),
        "busy": hosted.astype(np.int64),
    }
    out = {name: torch.from_numpy(value) for name, value in truth.items()}
    return out | {"u": torch.from_numpy(rows[..., 2].copy()), "v": torch.from_numpy(rows[..., 3].copy())}
