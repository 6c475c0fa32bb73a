"""Loads the weights of a checkpoint, where and as they fit. No remote code, no pickles."""

from __future__ import annotations

from typing import Any

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.checkpoints.load import Checkpoint, first_line, quiet
from qwenarm.mind.checkpoints.memory import Workload
from qwenarm.mind.checkpoints.placement import ModelPlacement, free_memory, is_out_of_memory, out_of_memory, place


def plan_for(
    checkpoint: Checkpoint, workload: Workload, device: str | None = None, dtype: str | None = None
) -> ModelPlacement:
    """Returns how the checkpoint fits into the free memory. Raises ModelUnavailable if it does not."""
    return place(checkpoint.source, checkpoint.weights, checkpoint.config, workload, free_memory(device), dtype)


def load_model(checkpoint: Checkpoint, placement: ModelPlacement) -> Any:
    """Returns the model, placed as planned and ready to answer.

    Raises ModelUnavailable if a weight is missing or has another shape, or if there is too little memory.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    kind = AutoModelForImageTextToText if checkpoint.has_eyes else AutoModelForCausalLM
    options = _placement_options(placement)
    try:
        with quiet(), checkpoint.opened() as files:
            loaded: Any = kind.from_pretrained(
                **files,
                **({"config": checkpoint.settings} if checkpoint.gguf else {}),
                dtype=getattr(torch, placement.dtype),
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are rejected below, by name
                **options,
            )
            model, info = loaded
            model = model.eval() if options else model.to(placement.device).eval()
    except Exception as error:  # of many kinds: memory ran out, or the files are broken
        if is_out_of_memory(error):
            raise ModelUnavailable(out_of_memory(checkpoint.source, checkpoint.weights, placement)) from error
        raise ModelUnavailable(f"The weights of {checkpoint.source!r} cannot be loaded: {first_line(error)}") from error
    if mismatched := sorted(info["mismatched_keys"]):
        name, *shapes = mismatched[0]
        in_file, expected = (" x ".join(map(str, shape)) for shape in shapes)
        raise ModelUnavailable(
            f"The weights of {checkpoint.source!r} cannot be loaded: {name!r} is {in_file}, but by its config.json it "
            f"should be {expected}."
        )
    if missing := sorted(info["missing_keys"]):
        raise ModelUnavailable(
            f"{checkpoint.source!r} lacks {len(missing)} of the weights of its architecture, {missing[0]!r} among them."
        )
    return model


def _placement_options(placement: ModelPlacement) -> dict[str, Any]:
    """Returns transformers' arguments for weights in 4-bit or spread over devices; none for others."""
    import torch
    from transformers import BitsAndBytesConfig

    if not placement.four_bit and placement.max_weight_bytes is None:
        return {}
    options: dict[str, Any] = {"device_map": {"": placement.device}}
    if placement.max_weight_bytes is not None:
        options = {"device_map": "auto", "max_memory": placement.max_weight_bytes}
    if placement.four_bit:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, placement.dtype),
        )
    return options
