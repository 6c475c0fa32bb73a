"""Linear layers with weights packed in the order that oneDNN multiplies fastest.

Torch's float32 matrix products read plain matrices, which oneDNN would have to reorder at every call. Packing does
so once, with the operations that ``torch.compile`` uses for the same purpose. On the bundled model, products take
less than half the time. It costs memory, because the plain weights stay, so only small models on a CPU are packed.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.nn.functional import gelu, linear

from qwenarm.mind.checkpoints.memory import MAX_PACKED_BYTES

PACKING_HINT_ROWS = 64
"""Number of rows for which oneDNN chooses the order; it works for any number from one to thousands."""

GeluForm = Literal["none", "tanh"]
"""Torch's names: by the error function, or approximated by tanh."""


def can_pack(model: Any) -> bool:
    """Returns whether a model's weights should be packed: few, in float32, on an x86-64 CPU, supported by torch."""
    has_operations = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    has_avx = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    plain = model.device.type == "cpu" and model.dtype == torch.float32
    size = sum(weight.nbytes for weight in model.parameters())
    return has_operations and has_avx and plain and size <= MAX_PACKED_BYTES


class PackedLinear:
    """Computes ``torch.nn.functional.linear`` with packed or plain weights.

    Args:
        weight: (out, in).
        bias: (out,), or None.
        pack: Whether to pack the weight.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None, pack: bool = False) -> None:
        self.weight, self.bias = weight, bias
        self.packed = None
        if pack:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), PACKING_HINT_ROWS)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Maps x (..., in) to (..., out)."""
        if self.packed is None:
            return linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise.default(x, self.packed, self.bias, "none", [], "")

    def gelu(self, x: torch.Tensor, form: GeluForm) -> torch.Tensor:
        """Applies the layer, then GELU in this form; in one operation if packed."""
        if self.packed is None:
            return gelu(linear(x, self.weight, self.bias), approximate=form)
        return torch.ops.mkldnn._linear_pointwise.default(x, self.packed, self.bias, "gelu", [], form)
