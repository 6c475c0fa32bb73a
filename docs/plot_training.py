"""Draws docs/media/training.png and docs/media/closed_loop.png: python docs/plot_training.py [runs/.../log.jsonl]

The first from a training log, by default that of the checkpoint that ships in the package; the second from what
benchmarks/closed_loop.py measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import PercentFormatter

HERE = Path(__file__).parent
MEASURED = HERE.parent / "benchmarks" / "results" / "closed_loop.json"
PANELS = (
    ("the eye: what a visual token tells", "share right", {"shape": "shape", "color": "colour", "busy": "carrying"}),
    ("the eye: an object's place, median error", "thousandths of the picture", {"u": "across", "v": "down"}),
    ("the reader: error of the point", "thousandths of the picture", {"point_median": "median", "point_p90": "90 %"}),
    (
        "the reader: attention on what is meant",
        "share",
        {"looking": "the object's cells", "telling": "the label's words"},
    ),
)


def main(log: Path) -> None:
    """Writes the picture beside this file."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    figure, axes = plt.subplots(2, 2, figsize=(11, 6.5), layout="constrained")
    for axis, (title, unit, curves) in zip(axes.flat, PANELS, strict=True):
        for key, name in curves.items():
            points = [(line["step"], line[key]) for line in lines if key in line]
            axis.plot(*zip(*points, strict=True), label=name)
        axis.set(title=title, xlabel="step", ylabel=unit)
        if unit.startswith("thousandths"):
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    figure.savefig(HERE / "media" / "training.png", dpi=110)


def draw_closed_loop() -> None:
    """Success with 95 % Wilson intervals, by task and by who plays."""
    rows = json.loads(MEASURED.read_text())
    names = list(dict.fromkeys(row["who"] for row in rows))
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), sharey=True, layout="constrained")
    for axis, task in zip(axes, dict.fromkeys(row["task"] for row in rows), strict=True):
        mine = [row for row in rows if row["task"] == task]
        rate = np.array([row["successes"] / row["n"] for row in mine])
        low, high = np.array([row["interval"] for row in mine]).T
        at = [names.index(row["who"]) for row in mine]
        axis.barh(at, rate, color="#b9cfe4")
        axis.errorbar(rate, at, xerr=(rate - low, high - rate), fmt="none", ecolor="#1f4e79", capsize=3)
        axis.set(title=task, xlabel="success, 95 % interval", xlim=(0, 1.02), yticks=range(len(names)))
        axis.set_yticklabels(names)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
        axis.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    figure.savefig(HERE / "media" / "closed_loop.png", dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "training_log.jsonl")
    draw_closed_loop()
