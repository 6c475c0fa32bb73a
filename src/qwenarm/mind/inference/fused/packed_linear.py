"""Linear layers of small models on a CPU, with their weights in the order in which oneDNN multiplies by them fastest.

Torch's own fp32 products read plain matrices and put them in order at every call. For the few rows of a picture or a
prompt that takes a fifth of the time, and for two to eight rows a third. The order is asked for once, as
``torch.compile`` does it, through the same operations of torch; where these are missing, or weights are many (they lie
in memory twice then), or lie elsewhere, products are torch's own.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.nn.functional import gelu, linear

from qwenarm.mind.checkpoints.memory import PACKED

ROWS = 64
"""The number of rows that the order is chosen for; it serves from one to hundreds."""

Gelu = Literal["none", "tanh"]


def packs(model: Any) -> bool:
    """Whether a model's weights are to be packed: few, in fp32, on an x86-64 CPU whose torch has what it takes."""
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    fast = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    here = model.device.type == "cpu" and model.dtype == torch.float32
    return known and fast and here and sum(weight.nbytes for weight in model.parameters()) <= PACKED


class Linear:
    """What ``torch.nn.functional.linear`` computes with these weights (out, in) and bias (out,), packed or not."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None, packed: bool = False) -> None:
        self.weight, self.bias = weight, bias
        self.packed = None
        if packed:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., in) -> (..., out)."""
        if self.packed is None:
            return linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise.default(x, self.packed, self.bias, "none", [], "")

    def gelu(self, x: torch.Tensor, form: Gelu) -> torch.Tensor:
        """The same, then gelu in that form, as torch names it ("none": by the error function)."""
        if self.packed is None:
            return gelu(linear(x, self.weight, self.bias), approximate=form)
        return torch.ops.mkldnn._linear_pointwise.default(x, self.packed, self.bias, "gelu", [], form)
