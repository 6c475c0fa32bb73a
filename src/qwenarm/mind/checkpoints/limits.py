"""Rejects checkpoints whose files would hang this process or fill its memory, before anything is built from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.prompt.chat_templates import read_json

MAX_SETTINGS_BYTES = 128 << 20
"""Maximum size of a settings file, in bytes; the tokenizers of Qwen-VL have 20 MB."""
MAX_LAYERS = 1000
LAYER_COUNTS = ("num_hidden_layers", "depth", "num_layers", "mtp_num_hidden_layers")
"""Numbers in config.json for which transformers creates a list before it builds anything."""
MAX_SIZE_RATIO = 16
"""Maximum ratio of a model's numbers to those in its files: quantised weights are packed, tied ones are stored once."""
MAX_SMALLEST_IMAGE_PIXELS = 1 << 22
"""Maximum for the lower pixel limit. Smaller images are enlarged to it, so a higher one would make all images large."""
IMAGE_CHANNELS = 3
GROWING_STEPS = frozenset({"Replace", "Prepend", "Precompiled"})
"""Steps of a tokenizer that can make a text longer. No Qwen-VL model has one."""


def check_files(folder: Path, source: str, settings: Iterable[str], weights: str) -> None:
    """Checks that all files to be read are regular files, or links to such, and of a plausible size.

    Args:
        folder: The checkpoint's folder.
        source: Its name as given by the user.
        settings: Patterns of the files that are read at once.
        weights: Pattern of the files with the weights.

    Raises:
        ModelUnavailable: A file is not acceptable. Opening a pipe or a device, for example, might block forever.
    """
    for pattern in (*settings, weights):
        for path in folder.glob(pattern):
            if not path.is_file():
                raise ModelUnavailable(f"{path.name} of {source!r} is not a regular file.")
            if pattern != weights and (size := path.stat().st_size) > MAX_SETTINGS_BYTES:
                raise ModelUnavailable(f"{path.name} of {source!r} has {size / 1e6:.0f} MB, too many for settings.")


def check_settings(folder: Path, source: str, config: Mapping[str, Any]) -> None:
    """Checks those settings in config.json, generation_config.json and tokenizer.json that are used before the weights.

    Args:
        folder: The checkpoint's folder.
        source: Its name as given by the user.
        config: The content of config.json.

    Raises:
        ModelUnavailable: A setting cannot be right.
    """
    for name, value in _fields(config):
        if name in LAYER_COUNTS and isinstance(value, int | float) and value > MAX_LAYERS:
            raise ModelUnavailable(
                f"config.json of {source!r} is not valid: {name} is {value}, more than {MAX_LAYERS}."
            )
    if (quantisation := config.get("quantization_config")) is not None:
        _check_quantisation(quantisation, source)
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            _check_ends(read_json(folder / name, source), name, source)
    if (folder / "tokenizer.json").is_file():
        tokenizer = read_json(folder / "tokenizer.json", source)
        steps = {value for part in ("normalizer", "decoder") for _, value in _fields({part: tokenizer.get(part)})}
        if growing := sorted(step for step in steps if isinstance(step, str) and step in GROWING_STEPS):
            raise ModelUnavailable(f"tokenizer.json of {source!r} may make texts longer: it has a step {growing[0]!r}.")


def _check_quantisation(settings: Any, source: str) -> None:
    """Checks that transformers knows the quantisation method; otherwise it would load packed numbers as weights."""
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as METHODS

    found = settings if isinstance(settings, Mapping) else {}
    implied = "bitsandbytes" if found.get("load_in_4bit") or found.get("load_in_8bit") else None
    method = str(found.get("quant_method", implied))
    if method not in METHODS and method != "bitsandbytes":
        raise ModelUnavailable(
            f"{source!r} is quantised in an unknown way, {method[:40]!r}. Valid: {', '.join(METHODS)}."
        )


def _fields(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (name, value) of everything in a JSON value that is neither an object nor a list."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _fields(each, str(key))
    elif isinstance(value, list):
        for each in value:
            yield from _fields(each, name)
    else:
        yield name, value


def _check_ends(settings: Mapping[str, Any], file: str, source: str) -> None:
    """Checks the ids of the tokens that end an answer."""
    for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
        value = settings.get(name)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 1 << 31 for each in ids):
            raise ModelUnavailable(f"{file} of {source!r} is not valid: {name} is {value!r}, which is no token.")


def check_image_settings(settings: Mapping[str, Any], file: str, source: str) -> None:
    """Raises ModelUnavailable for image settings that give no usable pixels, or far too many."""
    size = settings.get("size")
    limits = {**settings, **(size if isinstance(size, Mapping) else {})}
    for name in ("shortest_edge", "min_pixels"):
        value = limits.get(name, 0)
        if value is not None and not (isinstance(value, int) and value <= MAX_SMALLEST_IMAGE_PIXELS):
            raise ModelUnavailable(
                f"{file} of {source!r} is not valid: {name} is {value!r}, not one up to {MAX_SMALLEST_IMAGE_PIXELS}."
            )
    for name in ("image_mean", "image_std"):
        value = settings.get(name, [0.5] * IMAGE_CHANNELS)
        numbers = value if isinstance(value, list) else []
        right = len(numbers) == IMAGE_CHANNELS and all(isinstance(each, int | float) for each in numbers)
        if not right or (name == "image_std" and min(numbers) <= 0):
            raise ModelUnavailable(f"{file} of {source!r} is not valid: {name} is {value!r}.")


def check_size(config: Mapping[str, Any], stored: int, source: str) -> None:
    """Raises ModelUnavailable if config.json describes a much larger model than the files hold.

    Args:
        config: config.json, completed with the defaults of its class.
        stored: The number of weights in the files.
        source: The checkpoint's name as given by the user.
    """
    described = _text_weights(config["text_config"]) + _vision_weights(config["vision_config"])
    if not described <= MAX_SIZE_RATIO * stored:
        raise ModelUnavailable(
            f"config.json of {source!r} is not valid: it describes about {described:.1e} weights, and the files hold "
            f"{stored:.1e}."
        )


def _text_weights(text: Mapping[str, Any]) -> float:
    """Estimates the number of weights of a language model."""
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    attention = 2 * hidden * (text.get("head_dim") or hidden // heads) * (heads + text["num_key_value_heads"])
    experts = text.get("num_experts") or 0
    mlp = 3 * hidden * (experts * (text.get("moe_intermediate_size") or 0) or text.get("intermediate_size") or 0)
    return float(text["vocab_size"]) * hidden + float(text["num_hidden_layers"]) * (attention + mlp)


def _vision_weights(vision: Mapping[str, Any]) -> float:
    """About how many weights a vision tower has; 0 if there is none."""
    if not vision:
        return 0.0
    hidden, merged = vision["hidden_size"], vision["hidden_size"] * vision.get("spatial_merge_size", 1) ** 2
    mlp = 2 * hidden * (vision.get("intermediate_size") or 0)
    patch = IMAGE_CHANNELS * vision.get("temporal_patch_size", 1) * vision["patch_size"] ** 2
    positions = vision.get("num_position_embeddings") or 0
    count = vision.get("depth", 0) * (4 * hidden**2 + mlp) + hidden * (patch + positions) + merged**2
    return float(min(count, 10**300))
