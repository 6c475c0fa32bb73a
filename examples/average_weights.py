"""The weighted mean of two checkpoints, of which one was trained from the other (a model soup).

python examples/average_weights.py runs/sft/checkpoint bundled --weight 0.25 --out runs/mean   # 3/4 and 1/4

Such a mean often plays as well as the better of the two at everything (Wortsman et al. 2022, arXiv:2203.05482). Words
that only the first one knows keep its weights.
"""

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.chunks import CHUNK_FOLDER

WEIGHTS = "model.safetensors"


def mean(one: torch.Tensor, other: torch.Tensor, weight: float) -> torch.Tensor:
    """(1 - weight) * one + weight * other; rows of ``one`` beyond those of ``other`` stay as they are."""
    found = one.float().clone()
    rows = min(len(one), len(other))
    found[:rows] += weight * (other[:rows].float() - found[:rows])
    return found.to(one.dtype)


def main(arguments: list[str] | None = None) -> None:
    """Writes the mean as a checkpoint with the first one's files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", help="bundled, a Hub id, or a folder")
    parser.add_argument("other")
    parser.add_argument("--weight", type=float, default=0.5, help="of the other one, from 0 to 1")
    parser.add_argument("--out", type=Path, default=Path("runs/mean"))
    args = parser.parse_args(arguments)

    folder = locate(args.one).folder
    one, other = load_file(folder / WEIGHTS), load_file(locate(args.other).folder / WEIGHTS)
    if one.keys() != other.keys():
        parser.error("The two checkpoints have different architectures.")
    # A chunk head fits only the weights that it was trained with.
    shutil.copytree(folder, args.out, ignore=shutil.ignore_patterns(CHUNK_FOLDER))
    weights = {name: mean(one[name], other[name], args.weight) for name in one}
    save_file(weights, args.out / WEIGHTS, metadata={"format": "pt"})
    print(f"use it as   --model {args.out}")


if __name__ == "__main__":
    main()
