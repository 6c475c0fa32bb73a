"""The shapes of the open Qwen-VL checkpoints, from their config.json on the Hub.

Their memory follows from these (``checkpoints/memory.py``). A test builds each of them in transformers, without
weights, and compares the numbers of parameters with the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelSize:
    """One size of one family.

    Attributes:
        parameters: Those of the model as transformers builds it, without Qwen3.5's head for multi-token prediction.
        linear: Those of them that bitsandbytes can quantise: in ``torch.nn.Linear`` layers other than the output
            layer. Experts of a mixture are fused tensors and cannot be quantised.
        tied: Input and output embedding are one matrix.
        endings: What follows the name in its ids on the Hub.
        also: Ids of later releases of the same shape.
    """

    name: str
    model_type: str
    parameters: int
    linear: int
    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    tied: bool = False
    endings: tuple[str, ...] = ("",)
    also: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Its ids on the Hub, the usual one first."""
        return (*(f"Qwen/{self.name}{ending}" for ending in self.endings), *self.also)

    @property
    def config(self) -> dict[str, Any]:
        """Returns the part of its config.json that gives its shape."""
        return {
            "model_type": self.model_type,
            "tie_word_embeddings": self.tied,
            "text_config": {**self.text, "tie_word_embeddings": self.tied},
            "vision_config": {**self.vision, "out_hidden_size": self.text["hidden_size"]},
        }


def _text(hidden: int, layers: int, heads: int, kv_heads: int, ffn: int, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": ffn,
        **more,
    }


def _text3(hidden: int, layers: int, heads: int, kv_heads: int, ffn: int, **more: Any) -> dict[str, Any]:
    return _text(hidden, layers, heads, kv_heads, ffn, head_dim=128, vocab_size=151936, **more)


def _text3_5(hidden: int, layers: int, heads: int, kv_heads: int, ffn: int, values: int, **more: Any) -> dict[str, Any]:
    """Returns the shape of a model with linear attention (Gated DeltaNet, ``values`` heads) in three of four layers."""
    linear = {
        "linear_num_key_heads": 16,
        "linear_num_value_heads": values,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "layer_types": ["full_attention" if layer % 4 == 3 else "linear_attention" for layer in range(layers)],
    }
    return _text(hidden, layers, heads, kv_heads, ffn, head_dim=256, vocab_size=248320, **linear, **more)


def _experts(count: int, chosen: int, ffn: int, shared: bool = False) -> dict[str, Any]:
    experts = {"num_experts": count, "num_experts_per_tok": chosen, "moe_intermediate_size": ffn}
    return {**experts, "shared_expert_intermediate_size": ffn} if shared else experts


def _vision(hidden: int, depth: int, ffn: int, heads: int = 16, patch: int = 16, **more: Any) -> dict[str, Any]:
    shape = {"hidden_size": hidden, "depth": depth, "intermediate_size": ffn, "num_heads": heads}
    return {**shape, "patch_size": patch, "spatial_merge_size": 2, **more}


_VISION_2_5 = _vision(1280, 32, 3420, patch=14)
_VISION_2_5_WIDE = _vision(1280, 32, 3456, patch=14)
_VISION_3_SMALL = _vision(1024, 24, 4096, deepstack_visual_indexes=[5, 11, 17])
_VISION_3 = _vision(1152, 27, 4304, deepstack_visual_indexes=[8, 16, 24])
_INSTRUCT_SUFFIX = ("-Instruct",)
_BOTH_SUFFIXES = ("-Instruct", "-Thinking")
_QWEN2_5_VOCABULARY = {"vocab_size": 152064}

MODEL_SIZES: tuple[ModelSize, ...] = (
    ModelSize("Qwen2.5-VL-3B", "qwen2_5_vl", 3_754_622_976, 3_441_197_056,
              _text(2048, 36, 16, 2, 11008, vocab_size=151936), _VISION_2_5, tied=True, endings=_INSTRUCT_SUFFIX),
    ModelSize("Qwen2.5-VL-7B", "qwen2_5_vl", 8_292_166_656, 7_199_817_728,
              _text(3584, 28, 28, 4, 18944, **_QWEN2_5_VOCABULARY), _VISION_2_5, endings=_INSTRUCT_SUFFIX),
    ModelSize("Qwen2.5-VL-32B", "qwen2_5_vl", 33_452_718_336, 31_892_439_040,
              _text(5120, 64, 40, 8, 27648, **_QWEN2_5_VOCABULARY), _VISION_2_5_WIDE, endings=_INSTRUCT_SUFFIX),
    ModelSize("Qwen2.5-VL-72B", "qwen2_5_vl", 73_410_777_344, 70_915_194_880,
              _text(8192, 80, 64, 8, 29568, **_QWEN2_5_VOCABULARY), _VISION_2_5_WIDE, endings=_INSTRUCT_SUFFIX),
    ModelSize("Qwen3-VL-2B", "qwen3_vl", 2_127_532_032, 1_811_939_328,
              _text3(2048, 28, 16, 8, 6144), _VISION_3_SMALL, tied=True, endings=_BOTH_SUFFIXES),
    ModelSize("Qwen3-VL-4B", "qwen3_vl", 4_437_815_808, 4_044_357_632,
              _text3(2560, 36, 32, 8, 9728), _VISION_3_SMALL, tied=True, endings=_BOTH_SUFFIXES),
    ModelSize("Qwen3-VL-8B", "qwen3_vl", 8_767_123_696, 7_517_270_016,
              _text3(4096, 36, 32, 8, 12288), _VISION_3, endings=_BOTH_SUFFIXES),
    ModelSize("Qwen3-VL-32B", "qwen3_vl", 33_357_390_064, 31_795_998_720,
              _text3(5120, 64, 64, 8, 25600), _VISION_3, endings=_BOTH_SUFFIXES),
    ModelSize("Qwen3-VL-30B-A3B", "qwen3_vl_moe", 31_070_754_032, 1_439_723_520,
              _text3(2048, 48, 32, 4, 6144, **_experts(128, 8, 768)), _VISION_3, endings=_BOTH_SUFFIXES),
    ModelSize("Qwen3-VL-235B-A22B", "qwen3_vl_moe", 235_670_022_896, 7_274_000_384,
              _text3(4096, 94, 64, 4, 12288, **_experts(128, 8, 1536)), _VISION_3, endings=_BOTH_SUFFIXES),
    ModelSize("Qwen3.5-0.8B", "qwen3_5", 852_985_920, 595_132_416,
              _text3_5(1024, 24, 8, 2, 3584, 16), _vision(768, 12, 3072, heads=12), tied=True),
    ModelSize("Qwen3.5-2B", "qwen3_5", 2_213_241_664, 1_699_872_768,
              _text3_5(2048, 24, 8, 2, 6144, 16), _vision(1024, 24, 4096), tied=True),
    ModelSize("Qwen3.5-4B", "qwen3_5", 4_539_265_536, 3_898_343_424,
              _text3_5(2560, 32, 16, 4, 9216, 32), _vision(1024, 24, 4096), tied=True),
    ModelSize("Qwen3.5-9B", "qwen3_5", 9_409_813_744, 7_369_682_944,
              _text3_5(4096, 32, 16, 4, 12288, 32), _vision(1152, 27, 4304)),
    ModelSize("Qwen3.5-27B", "qwen3_5", 27_356_728_560, 24_806_453_248,
              _text3_5(5120, 64, 24, 4, 17408, 48), _vision(1152, 27, 4304),
              also=("Qwen/Qwen3.6-27B", "Qwen/Qwen3.8-27B")),
    ModelSize("Qwen3.5-35B-A3B", "qwen3_5_moe", 35_107_181_936, 1_850_847_232,
              _text3_5(2048, 40, 16, 2, 512, 32, **_experts(256, 8, 512, shared=True)), _vision(1152, 27, 4304),
              also=("Qwen/Qwen3.6-35B-A3B",)),
    ModelSize("Qwen3.5-122B-A10B", "qwen3_5_moe", 122_562_817_776, 5_028_360_192,
              _text3_5(3072, 48, 32, 2, 1024, 64, **_experts(256, 8, 1024, shared=True)), _vision(1152, 27, 4304)),
    ModelSize("Qwen3.5-397B-A17B", "qwen3_5_moe", 396_802_360_816, 8_087_678_976,
              _text3_5(4096, 60, 32, 2, 1024, 64, **_experts(512, 10, 1024, shared=True)), _vision(1152, 27, 4304)),
)  # fmt: skip
"""All sizes by family, small ones first."""


def size_of(hub_id: str) -> ModelSize | None:
    """Returns the size with that id on the Hub, or None."""
    return next((size for size in MODEL_SIZES if hub_id in size.ids), None)
