"""What the recipe of the bundled checkpoint can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Config:
    """What the recipe can be told. The defaults are those of the shipped checkpoint."""

    out: Path = Path("runs/train-bundled")
    """Shards, state, log and the finished checkpoint go here; an interrupted run goes on from here."""
    frames: int = 60_000
    """Pictures to render."""
    eye_steps: int = 1_000
    reader_steps: int = 5_000
    batch: int = 16
    """Pictures a step, over all processes."""
    questions: int = 8
    """Decisions asked about each picture."""
    lr: float = 1.2e-3
    processes: int = 1
    """Training processes on a CPU, one thread each; 2 on 2 cores is faster than 1 with both."""
    device: str = ""
    """cuda or cpu; empty: what is there."""
    start: str = ""
    """A checkpoint of this shape to begin with instead of random weights: a folder, or "bundled"."""
    seed: int = 0
    save_every: int = 100
