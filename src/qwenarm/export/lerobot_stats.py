"""Statistics of a LeRobot dataset, from which its trainers normalise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

STATS_QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
IMAGE_STATS = ("min", "max", "mean", "std", "count")


def image_stats(pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """Per channel, (3, 1, 1), of values in [0, 1], over at most a hundred pictures."""
    chosen = np.stack(pictures[:: max(1, len(pictures) // 100)]) / 255
    values = {name: getattr(chosen, name)(axis=(0, 1, 2)) for name in ("min", "max", "mean", "std")}
    return {**{name: value.reshape(3, 1, 1).tolist() for name, value in values.items()}, "count": [len(chosen)]}


def merged_image_stats(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    """The statistics of one camera over all episodes, from those of each.

    Args:
        rows: One for each episode, with columns "stats/KEY/NAME".
        key: The feature of the camera.
    """
    parts = [{name: np.array(row[f"stats/{key}/{name}"]) for name in IMAGE_STATS} for row in rows]
    counts = np.array([part["count"][0] for part in parts], float)[:, None, None, None]
    mean = sum(n * part["mean"] for n, part in zip(counts, parts, strict=True)) / counts.sum()
    square = sum(n * (part["std"] ** 2 + part["mean"] ** 2) for n, part in zip(counts, parts, strict=True))
    std = np.sqrt(np.maximum(square / counts.sum() - mean**2, 0))
    low, high = np.min([part["min"] for part in parts], axis=0), np.max([part["max"] for part in parts], axis=0)
    known = {"min": low, "max": high, "mean": mean, "std": std}
    return {**{name: value.tolist() for name, value in known.items()}, "count": [int(counts.sum())]}


def number_stats(values: np.ndarray) -> dict[str, list[float]]:
    """Returns the statistics of each of the D columns of values (N, D), by name."""
    stats = {name: getattr(values, name)(axis=0).tolist() for name in ("min", "max", "mean", "std")}
    quantiles = np.quantile(values, STATS_QUANTILES, axis=0).tolist()
    named = {f"q{round(100 * share):02d}": row for share, row in zip(STATS_QUANTILES, quantiles, strict=True)}
    return {**stats, "count": [len(values)], **named}
