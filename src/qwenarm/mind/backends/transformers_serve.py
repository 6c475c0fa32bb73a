"""`transformers serve` where torchvision is missing.

python -m qwenarm.mind.backends.transformers_serve MODEL [its options]

MODEL is "bundled", a folder or a Hub id. transformers loads a Qwen-VL processor with its half for videos, which wants
torchvision, whose wheels break a CPU build of torch (huggingface/transformers issue 48558). Nobody shows videos here,
so that half is left out. Everything else is transformers' own server: pip install "transformers[serving]".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from qwenarm.mind.checkpoints.load import BUNDLED, bundled_folder
from qwenarm.mind.families import FAMILIES


def leave_videos_out() -> None:
    """From now on the processors of all Qwen-VL families load without torchvision, for text and images."""
    import transformers

    for name in {family.processor for family in FAMILIES}:
        processor = getattr(transformers, name)
        processor.get_attributes = classmethod(lambda cls: ["image_processor", "tokenizer"])


def main(words: Sequence[str]) -> None:
    """Serves until it is stopped."""
    from transformers.cli.transformers import app

    leave_videos_out()
    app(["serve", *(str(bundled_folder()) if word == BUNDLED else word for word in words)])


if __name__ == "__main__":
    main(sys.argv[1:])
