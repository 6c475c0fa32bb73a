"""Runs `transformers serve` without torchvision.

python -m qwenarm.mind.backends.transformers_serve MODEL [options of transformers serve]

MODEL is "bundled", a folder or a Hub id. Processing videos needs torchvision, whose wheels break a CPU build of torch
(huggingface/transformers issue 48558). No policy shows videos, so that part of the processors is left out. Everything
else is transformers' own server: pip install "transformers[serving]".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from qwenarm.mind.checkpoints.load import BUNDLED_MODEL, bundled_folder
from qwenarm.mind.families import MODEL_FAMILIES


def load_processors_without_videos() -> None:
    """Makes the processors of all Qwen-VL families load without torchvision, for text and images."""
    import transformers

    for name in {family.processor for family in MODEL_FAMILIES}:
        processor = getattr(transformers, name)
        processor.get_attributes = classmethod(lambda cls: ["image_processor", "tokenizer"])


def make_cache() -> None:
    """Makes the Hub's cache folder where there is none yet. The server lists it, and fails without it."""
    from huggingface_hub import constants

    Path(constants.HF_HUB_CACHE).mkdir(parents=True, exist_ok=True)


def main(words: Sequence[str]) -> None:
    """Serves until it is stopped."""
    from transformers.cli.transformers import app

    load_processors_without_videos()
    make_cache()
    app(["serve", *(str(bundled_folder()) if word == BUNDLED_MODEL else word for word in words)])


if __name__ == "__main__":
    main(sys.argv[1:])
