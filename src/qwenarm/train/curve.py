"""Draws the learning curve of a training run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qwenarm.errors import BadInput

LOSS_MEASURES = ("words", "coordinates", "eye")
ATTENTION_MEASURES = ("cells", "named", "bound", "held", "noted", "beside")


def draw_curve(folder: Path) -> Path:
    """Draws a run's ``log.jsonl`` into ``curve.png`` beside it. Raises BadInput without a log or matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise BadInput("Curves are drawn with matplotlib; install it with: pip install 'qwenarm[train]'") from error
    try:
        lines: list[dict[str, Any]] = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise BadInput(f"There is no log of a training run in {folder}: {error}.") from error
    figure, (losses, attention, held_out) = pyplot.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    for axis, names in ((losses, LOSS_MEASURES), (attention, ATTENTION_MEASURES)):
        for name in names:
            axis.plot(*_points(lines, name), label=name)
    looks = [(line["step"], line["held_out"]) for line in lines if "held_out" in line]
    for number, task in enumerate(sorted({task for _, found in looks for task in found})):
        points = [(step, found[task]["exact"]) for step, found in looks if task in found]
        held_out.plot(*zip(*points, strict=True), label=task, linestyle=("-", "--")[number // 10 % 2], marker=".")
    losses.set(title="loss", yscale="log")
    attention.set(title="attention where it should be", ylim=(0, 1))
    held_out.set(title="exact answers to held-out decisions", ylim=(0, 1.02))
    for axis in (losses, attention, held_out):
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(frameon=False, fontsize=8, ncols=1 + len(axis.lines) // 6)
    figure.savefig(folder / "curve.png", dpi=110)
    pyplot.close(figure)
    return folder / "curve.png"


def _points(lines: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    found = [(line["step"], line[name]) for line in lines if name in line]
    return [step for step, _ in found], [value for _, value in found]
