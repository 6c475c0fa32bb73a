"""The shape of the bundled checkpoint: a very small Qwen3-VL, with heads that exist only while it learns to see."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from qwenarm.train.labels import BINS, COLOR_NAMES, SHAPE_NAMES

VISION: dict[str, Any] = {
    "depth": 6, "hidden_size": 192, "intermediate_size": 768, "num_heads": 4, "out_hidden_size": 256,
    "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 256,
    "deepstack_visual_indexes": [3],
}  # fmt: skip
TEXT: dict[str, Any] = {
    "hidden_size": 256, "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "intermediate_size": 768, "rope_theta": 10_000.0, "max_position_embeddings": 4096, "tie_word_embeddings": True,
    "rope_scaling": {"rope_type": "default", "mrope_section": [12, 10, 10], "mrope_interleaved": True},
}  # fmt: skip


def make_model(vocab_size: int, special: dict[str, int]) -> Qwen3VLForConditionalGeneration:
    """A randomly initialised model of that shape. special: token ids by name (image, video, vision_start, vision_end,
    pad, eos).
    """
    config = Qwen3VLConfig(
        vision_config=VISION,
        text_config={**TEXT, "vocab_size": vocab_size, "pad_token_id": special["pad"], "eos_token_id": special["eos"]},
        image_token_id=special["image"],
        video_token_id=special["video"],
        vision_start_token_id=special["vision_start"],
        vision_end_token_id=special["vision_end"],
        tie_word_embeddings=True,
    )
    model = Qwen3VLForConditionalGeneration(config)
    # "eager" hands out the attention maps, which the recipe supervises; the eye needs none and takes the fast kernel.
    model.set_attn_implementation({"text_config": "eager", "vision_config": "sdpa"})
    embed = model.model.visual.patch_embed
    # The same linear map as the convolution, whose backward pass is several times slower on a CPU.
    embed.forward = lambda pixels: F.linear(
        pixels.to(embed.proj.weight.dtype), embed.proj.weight.flatten(1), embed.proj.bias
    )
    return model


class EyeHeads(nn.Module):
    """Reads off each visual token what lies in its cell. Linear, so that the language side finds the same things as
    easily.
    """

    SIZES: ClassVar[dict[str, int]] = {
        "shape": len(SHAPE_NAMES) + 1, "color": len(COLOR_NAMES), "u": BINS, "v": BINS, "relation": 3,
        "parent_color": len(COLOR_NAMES) + 1, "parent_shape": len(SHAPE_NAMES) + 1, "busy": 2,
    }  # fmt: skip

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in self.SIZES.items()})

    def forward(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """tokens (..., width) to logits (..., size) by name."""
        return {name: head(tokens) for name, head in self.heads.items()}

    def loss(self, tokens: torch.Tensor, truth: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross entropies summed, and how well each question is answered. tokens (B, cells, width); truth: see
        labels.cells.
        """
        owned = truth["shape"] < len(SHAPE_NAMES)
        total = tokens.new_zeros(())
        report: dict[str, float] = {}
        for name, logits in self(tokens).items():
            logits = logits.float()
            if name == "shape":
                loss = F.cross_entropy(logits.flatten(0, 1), truth[name].flatten())
                report["cells"] = _accuracy(logits.argmax(-1) < len(SHAPE_NAMES), owned)
                report[name] = _accuracy(logits.argmax(-1)[owned], truth[name][owned])
            elif name in ("u", "v"):
                target = soft_bins(truth[name][owned])
                loss = 0.5 * F.cross_entropy(logits[owned], target)
                guess = logits[owned].softmax(-1) @ centers(logits)
                report[name] = float((guess.detach() - truth[name][owned]).abs().median()) * 1000
            else:
                loss = F.cross_entropy(logits[owned], truth[name][owned])
                report[name] = _accuracy(logits[owned].argmax(-1), truth[name][owned])
            total = total + loss
        return total, report


def centers(like: torch.Tensor) -> torch.Tensor:
    """(BINS,) middles of the position bins in [0, 1]."""
    return (torch.arange(BINS, device=like.device, dtype=torch.float32) + 0.5) / BINS


def soft_bins(x: torch.Tensor) -> torch.Tensor:
    """Positions (n,) in [0, 1] to (n, BINS) distributions: a narrow bell over the bins, so that near misses cost
    little.
    """
    bell = torch.exp(-0.5 * ((x[:, None] - centers(x)) * BINS / 0.7) ** 2)
    return bell / bell.sum(-1, keepdim=True)


def _accuracy(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a == b).float().mean())
