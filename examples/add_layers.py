"""Makes a small Qwen3-VL checkpoint deeper without changing what it computes, so that training can go on from there.

python examples/add_layers.py bundled --vision 1,3,5 --language 3,3,4 --out runs/deeper

Every number names a layer, counted from 0, behind which a copy of it is added. What the copy's attention and MLP add to
the residual stream is zero at first (block expansion, Wu et al. 2024, arXiv:2401.02415, section 3.1). ``train sft``
supervises attention in layers 1 to 3 of the language model; add none before them.
"""

import argparse
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.chunks import CHUNK_FOLDER

CONFIG, WEIGHTS = "config.json", "model.safetensors"
VISION, LANGUAGE = "model.visual.blocks.", "model.language_model.layers."
OUTPUTS = ("attn.proj.", "mlp.linear_fc2.", "self_attn.o_proj.", "mlp.down_proj.")
"""The linear maps whose results are added to the residual stream."""


def deeper(depth: int, behind: Sequence[int]) -> list[tuple[int, bool]]:
    """For each layer of the deeper tower: which original layer it copies, and whether it is an added one."""
    return [(layer, number > 0) for layer in range(depth) for number in range(1 + behind.count(layer))]


def expanded(
    weights: dict[str, torch.Tensor], prefix: str, layers: Sequence[tuple[int, bool]]
) -> dict[str, torch.Tensor]:
    """The weights with these layers in the tower whose names begin with ``prefix``."""
    found = {name: weight for name, weight in weights.items() if not name.startswith(prefix)}
    for new, (old, added) in enumerate(layers):
        for name, weight in weights.items():
            if match := re.fullmatch(rf"{re.escape(prefix)}{old}\.(.+)", name):
                silent = added and match[1].startswith(OUTPUTS)
                found[f"{prefix}{new}.{match[1]}"] = torch.zeros_like(weight) if silent else weight.clone()
    return found


def layer_numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main(arguments: list[str] | None = None) -> None:
    """Writes the deeper checkpoint with the other's files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="bundled, a Hub id, or a folder")
    parser.add_argument("--vision", type=layer_numbers, default=[], help="layers of the vision tower, such as 1,3,5")
    parser.add_argument("--language", type=layer_numbers, default=[], help="layers of the language model")
    parser.add_argument("--out", type=Path, default=Path("runs/deeper"))
    args = parser.parse_args(arguments)

    folder = locate(args.checkpoint).folder
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    vision, text = config["vision_config"], config["text_config"]
    seeing, reading = deeper(vision["depth"], args.vision), deeper(text["num_hidden_layers"], args.language)
    if len(seeing) + len(reading) != vision["depth"] + text["num_hidden_layers"] + len(args.vision + args.language):
        parser.error(
            f"It has {vision['depth']} layers of vision and {text['num_hidden_layers']} of language, from 0 on."
        )
    vision["depth"], text["num_hidden_layers"] = len(seeing), len(reading)
    vision["deepstack_visual_indexes"] = [seeing.index((old, False)) for old in vision["deepstack_visual_indexes"]]
    # A chunk head fits only the weights that it was trained with.
    shutil.copytree(folder, args.out, ignore=shutil.ignore_patterns(CHUNK_FOLDER))
    (args.out / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    weights = expanded(expanded(load_file(folder / WEIGHTS), VISION, seeing), LANGUAGE, reading)
    save_file(weights, args.out / WEIGHTS, metadata={"format": "pt"})
    print(f"use it as   --model {args.out}")


if __name__ == "__main__":
    main()
