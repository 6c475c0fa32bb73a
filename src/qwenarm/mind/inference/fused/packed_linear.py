"""Linear layers with their weights packed in the order in which oneDNN multiplies by them fastest.

Torch's float32 matrix products read plain matrices, and oneDNN would have to reorder them at every call. Packing does
so once, through the operations that ``torch.compile`` uses for the same purpose. On the bundled model products take
less than half the time. It costs memory, since the plain weights stay, so it is done for small models on a CPU only.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.nn.functional import gelu, linear

from qwenarm.mind.checkpoints.memory import MAX_PACKED_BYTES

PACKED_FOR_ROWS = 64
"""oneDNN chooses the order for this many rows; it serves any number from one to thousands."""

GeluForm = Literal["none", "tanh"]
"""As torch names them: by the error function, or approximated by tanh."""


def can_pack(model: Any) -> bool:
    """Whether a model's weights should be packed: few, in float32, on an x86-64 CPU, and torch has what it takes."""
    has_operations = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    has_avx = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    plain = model.device.type == "cpu" and model.dtype == torch.float32
    size = sum(weight.nbytes for weight in model.parameters())
    return has_operations and has_avx and plain and size <= MAX_PACKED_BYTES


class PackedLinear:
    """Computes what ``torch.nn.functional.linear`` does, with packed weights or plain ones.

    Args:
        weight: (out, in).
        bias: (out,), or None.
        pack: whether to pack the weight.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None, pack: bool = False) -> None:
        self.weight, self.bias = weight, bias
        self.packed = None
        if pack:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), PACKED_FOR_ROWS)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., in) -> (..., out)."""
        if self.packed is None:
            return linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise.default(x, self.packed, self.bias, "none", [], "")

    def gelu(self, x: torch.Tensor, form: GeluForm) -> torch.Tensor:
        """The layer of x, then GELU in that form, in one operation where packed."""
        if self.packed is None:
            return gelu(linear(x, self.weight, self.bias), approximate=form)
        return torch.ops.mkldnn._linear_pointwise.default(x, self.packed, self.bias, "gelu", [], form)
