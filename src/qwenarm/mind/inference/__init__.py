"""Running a checkpoint: prompts in, tokens out."""

import os

KEPT_KERNELS = "128"
"""Two caches keep a kernel for every shape: oneDNN's own, and the one through which torch calls it. By default each
keeps 1024 of some 0.5 MiB, and every prompt or batch of a new length adds some. With 128 memory is bounded, and few are
made twice: under 1 ms of a decision's 50, nothing that shows in training. Fewer cost speed (docs/log.md, memory).
"""
for _variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):  # read at the first product
    os.environ.setdefault(_variable, KEPT_KERNELS)
