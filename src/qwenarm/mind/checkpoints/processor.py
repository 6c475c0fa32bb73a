"""Loads the processor that turns text and images into tokens and pixels, whichever version of transformers saved it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.checkpoints.limits import check_image_settings
from qwenarm.mind.checkpoints.load import IMAGE_SETTINGS_FILES, Checkpoint, first_line, quiet
from qwenarm.mind.prompt.chat_templates import read_json

QWEN_IMAGE_PROCESSOR = re.compile(r"Qwen(2|2_5_|3)_?VLImageProcessor(Fast|Pil)?")
"""Names of Qwen-VL's image processor, which all stand for the same one."""
EDGE_NAMES = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}
"""Today's names of pixel limits in older files. (Both count pixels; neither is an edge.)"""


def load_processor(checkpoint: Checkpoint) -> Any:
    """Returns the checkpoint's processor, for text and images only.

    Processing videos needs torchvision, whose wheels break a CPU build of torch (huggingface/transformers issue 48558).
    No policy shows videos, so a subclass leaves that part out.
    """
    import transformers

    if not checkpoint.has_eyes:
        raise ModelUnavailable(
            f"{checkpoint.source!r} takes no images (its model_type is {checkpoint.model_type!r}): play it with "
            "--policy state_text and #images=no behind its name."
        )
    base = getattr(transformers, checkpoint.family.processor)
    still = type(base.__name__, (base,), {"get_attributes": classmethod(lambda cls: ["image_processor", "tokenizer"])})
    try:
        tokenizer = load_tokenizer(checkpoint)
        with quiet():
            images = image_processor(checkpoint.folder, checkpoint.source)
            return still(image_processor=images, tokenizer=tokenizer, chat_template=checkpoint.template)
    except ModelUnavailable:
        raise
    except Exception as error:  # of many kinds, all caused by the files
        raise ModelUnavailable(
            f"The processor of {checkpoint.source!r} cannot be loaded: {first_line(error)}"
        ) from error


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The checkpoint's tokenizer. Raises ModelUnavailable."""
    from transformers import AutoTokenizer

    try:
        with quiet(), checkpoint.opened() as files:
            return AutoTokenizer.from_pretrained(**files)
    except Exception as error:  # of many kinds; the files are to blame
        raise ModelUnavailable(
            f"The tokenizer of {checkpoint.source!r} cannot be loaded: {first_line(error)}"
        ) from error


def image_processor(folder: Path, source: str) -> Any:
    """Returns the image processor of a checkpoint. No class that a file names is looked up.

    Raises:
        ModelUnavailable: The settings are not those of a Qwen-VL model.
    """
    from transformers import Qwen2VLImageProcessor

    file, settings = _settings(folder, source)
    kind = str(settings.get("image_processor_type", ""))
    if not QWEN_IMAGE_PROCESSOR.fullmatch(kind):
        raise ModelUnavailable(
            f"{file} of {source!r} is not for a Qwen-VL model: its image_processor_type is {kind!r}."
        )
    check_image_settings(settings, file, source)
    own = {key: value for key, value in settings.items() if key not in ("image_processor_type", "auto_map")}
    if isinstance(size := own.get("size"), Mapping):
        own["size"] = {EDGE_NAMES.get(name, name): value for name, value in size.items()}
    return Qwen2VLImageProcessor.from_dict(own)


def _settings(folder: Path, source: str) -> tuple[str, Mapping[str, Any]]:
    """Returns the name of the file that transformers would read, and the settings in it."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in IMAGE_SETTINGS_FILES:
        if (folder / name).is_file():
            found[name] = read_json(folder / name, source)
    nested = found.get("processor_config.json", {}).get("image_processor")
    if isinstance(nested, Mapping):
        return "processor_config.json", nested
    return next(iter(found.items()))
