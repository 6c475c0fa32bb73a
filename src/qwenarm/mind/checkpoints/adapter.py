"""Merges LoRA adapters, the result of fine-tuning, into the weights of a checkpoint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.checkpoints.limits import check_files
from qwenarm.mind.checkpoints.load import SETTINGS_FILES, WEIGHT_FILES, first_line, quiet

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"


def merge_adapter(model: Any, source: str, folder: str) -> Any:
    """Returns the model with the adapter merged in.

    Args:
        model: A model of transformers.
        source: The checkpoint's name, for messages.
        folder: The adapter's folder, as peft writes it.

    Raises:
        ModelUnavailable: peft is not installed, or the folder has no adapter for this model.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelUnavailable("Adapters need peft; install it with: pip install 'qwenarm[train]'") from error
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (Path(folder) / name).is_file():
            raise ModelUnavailable(f"{folder!r} is not a LoRA adapter: it has no {name}.")
    check_files(Path(folder), folder, SETTINGS_FILES, WEIGHT_FILES)
    try:
        with quiet():
            adapted: Any = PeftModel.from_pretrained(model, folder)
            return adapted.merge_and_unload().eval()
    except Exception as error:  # of many kinds: other modules, other shapes, broken files
        raise ModelUnavailable(f"The adapter {folder!r} does not fit {source!r}: {first_line(error)}") from error


def adapter_sha256(folder: str) -> str:
    """Returns the hash of an adapter's settings and weights, for the record of a run."""
    settings = json.loads((Path(folder) / CONFIG_FILE).read_text(encoding="utf-8"))
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update((Path(folder) / WEIGHTS_FILE).read_bytes())
    return digest.hexdigest()
