"""Draws docs/media/training.png from a training log: python docs/plot_training.py [runs/train-bundled/log.jsonl]

Without an argument it draws the log of the checkpoint that ships in the package, docs/training_log.jsonl.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
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


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "training_log.jsonl")
