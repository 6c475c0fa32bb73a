"""Decides how a model is placed in free memory (dtype, 4-bit, number of devices), or says why it cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.checkpoints.memory import (
    BYTES_PER_WEIGHT,
    MAX_PACKED_BYTES,
    MemoryNeed,
    WeightCount,
    Workload,
    gb,
    need_of,
)
from qwenarm.mind.model_sizes import MODEL_SIZES, size_of

RESERVED_SHARE = 0.1
"""Share of the free memory that is reserved for the allocator's rounding and for other programs."""
MAX_FLOAT32_CPU_BYTES = 2 << 30
"""Maximum bytes of a float32 model that a CPU keeps in float32: small models decode faster in it than in bfloat16."""


@dataclass(frozen=True)
class FreeMemory:
    """Where a model can be placed.

    Attributes:
        kind: "cuda", "mps" or "cpu".
        free: Free bytes on each device.
        bf16: Whether the devices compute in bfloat16.
        four_bit: Whether bitsandbytes is installed, which quantises weights.
        several: Whether accelerate is installed, which spreads layers over devices.
        first: The index of the first CUDA device.
    """

    kind: str
    free: tuple[int, ...]
    bf16: bool = True
    four_bit: bool = False
    several: bool = False
    first: int = 0

    @property
    def devices(self) -> int:
        return len(self.free) if self.several else 1

    def usable(self, devices: int = 1) -> int:
        """Returns the number of bytes available for planning on the first devices."""
        return int(sum(self.free[:devices]) * (1 - RESERVED_SHARE))


@dataclass(frozen=True)
class ModelPlacement:
    """How a model is placed. With more than one of ``devices``, its layers are spread over them."""

    memory: FreeMemory
    dtype: str
    need: MemoryNeed
    four_bit: bool = False
    devices: int = 1

    @property
    def name(self) -> str:
        """Returns, for example, "bfloat16" or "4-bit, bfloat16"."""
        return f"4-bit, {self.dtype}" if self.four_bit else self.dtype

    @property
    def device(self) -> str:
        """Returns torch's name of the device, or of the first one if the layers are spread."""
        return f"cuda:{self.memory.first}" if self.memory.kind == "cuda" else self.memory.kind

    @property
    def max_weight_bytes(self) -> dict[int, int] | None:
        """The bytes for weights on each device if they are spread; the rest is needed for activations."""
        if self.devices == 1:
            return None
        free = self.memory.free[: self.devices]
        left = (int(size * (1 - RESERVED_SHARE)) - self.need.work for size in free)
        return {self.memory.first + index: max(0, size) for index, size in enumerate(left)}

    def describe(self) -> str:
        """Returns a description for error messages."""
        free = sum(self.memory.free[: self.devices])
        where = self.device if self.devices == 1 else f"{self.devices} CUDA devices"
        weights, work = gb(self.need.weights), gb(self.need.work)
        return f"{self.name} on {where}: {weights} of weights and {work} to work in, of {gb(free)} free"


def free_memory(device: str | None = None) -> FreeMemory:
    """Returns the memory that is free at this moment.

    Args:
        device: Torch's name of a device; None for the best one.

    Raises:
        BadInput: There is no such device.
    """
    import torch

    names = _device_names()
    if device is not None and device not in (*names, *(name.partition(":")[0] for name in names)):
        raise BadInput(f"There is no device {device!r} here. Valid: {', '.join(names)}.")
    kind, _, index = (device or _best_device()).partition(":")
    if kind == "cuda":
        spreads = find_spec("accelerate") is not None
        candidates = range(torch.cuda.device_count()) if device is None else (int(index or 0),)
        free = {number: torch.cuda.mem_get_info(number)[0] for number in candidates}
        if not spreads:  # the model will be on one of them, so choose the one with the most room
            free = dict(sorted(free.items(), key=lambda pair: -pair[1]))
        quantises = spreads and find_spec("bitsandbytes") is not None
        bf16 = torch.cuda.is_bf16_supported()
        return FreeMemory(kind, tuple(free.values()), bf16, quantises, spreads, next(iter(free)))
    if kind == "mps":
        return FreeMemory(kind, (torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory(),))
    return FreeMemory(kind, (_free_ram(),))


def _device_names() -> tuple[str, ...]:
    """Returns the devices of this machine that a model may be loaded on."""
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ("cpu", *(f"cuda:{number}" for number in range(cuda)), *["mps"] * torch.backends.mps.is_available())


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _free_ram() -> int:
    """Returns the bytes available without swapping, within the container's limit if there is one."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = 1024 * int(lines["MemAvailable"].split()[0])
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return min(free, int(limit) - int(used) + _file_cache(group))
    except (OSError, ValueError):  # there is no such control group, or no limit ("max")
        return free


def _file_cache(group: Path) -> int:
    """Returns the size of a control group's file cache, which counts as used but is released when memory is short."""
    pairs = (line.split() for line in (group / "memory.stat").read_text().splitlines())
    return next((int(size) for name, size in pairs if name == "inactive_file"), 0)


def place(
    source: str,
    weights: WeightCount,
    config: Mapping[str, Any],
    workload: Workload,
    memory: FreeMemory,
    dtype: str | None = None,
) -> ModelPlacement:
    """Returns the first placement that fits: on one device, on several, in 4-bit on one, in 4-bit on several.

    Args:
        source: The model's name as given by the user, for errors.
        weights: The number of its weights.
        config: Its config.json, completed by transformers.
        workload: The prompts that are answered together.
        memory: The free memory.
        dtype: The user's choice, or None.

    Raises:
        ModelUnavailable: It does not fit, or is quantised for another dtype. The message says what it needs, what is
            free, and which smaller model would fit.
        BadInput: There is no such dtype.
    """
    if dtype is not None and dtype not in BYTES_PER_WEIGHT:
        raise BadInput(f"There is no dtype {dtype!r}. Valid: {', '.join(BYTES_PER_WEIGHT)}.")
    own = config.get("dtype") if weights.stored_bytes else None
    if own and dtype not in (None, own):
        raise ModelUnavailable(f"{source!r} is quantised for {own} and cannot be loaded in {dtype}; leave dtype out.")
    search = _Search(weights, config, workload, own if own in BYTES_PER_WEIGHT else dtype)
    if placement := search.first_that_fits(memory):
        return placement
    smaller = suggest_smaller(source, weights.total, workload, memory)
    raise ModelUnavailable(f"{source!r} {search.why_nothing_fits(memory)}; {smaller}.")


@dataclass(frozen=True)
class _Search:
    """Searches for placements under a workload. ``dtype`` is the user's choice, or None."""

    weights: WeightCount
    config: Mapping[str, Any]
    workload: Workload
    dtype: str | None = None

    def need(self, dtype: str, four_bit: bool = False) -> MemoryNeed:
        return need_of(self.weights, self.config, self.workload, dtype, four_bit)

    def ways(self, memory: FreeMemory) -> Iterator[ModelPlacement]:
        """Yields all placements, the best first."""
        quantise = memory.four_bit and not (self.dtype or self.weights.stored_bytes)
        for four_bit in (False, True) if quantise else (False,):
            for dtype in self._dtypes(memory):
                need = self.need(dtype, four_bit)
                if memory.kind == "cpu" and dtype == "float32" and need.weights <= MAX_PACKED_BYTES:
                    need = replace(need, weights=2 * need.weights)
                for devices in sorted({1, memory.devices}):
                    yield ModelPlacement(memory, dtype, need, four_bit, devices)

    def first_that_fits(self, memory: FreeMemory) -> ModelPlacement | None:
        for way in self.ways(memory):
            # if layers are spread, each device needs room for activations
            if way.need.total + (way.devices - 1) * way.need.work <= memory.usable(way.devices):
                return way
        return None

    def why_nothing_fits(self, memory: FreeMemory) -> str:
        """Says what the model needs, what is free, and what could be installed to make it fit."""
        dtype, free = self._dtypes(memory)[-1], memory.free[: memory.devices]
        text = f"needs {gb(self.need(dtype).total)} in {dtype}, and {memory.kind} has {gb(sum(free))} free, "
        text += f"of which {gb(memory.usable(memory.devices))} may be used"
        if self.first_that_fits(replace(memory, several=True)):
            return f"{text}; spread over {len(memory.free)} devices it fits (install accelerate)"
        quantised = self.need(dtype, four_bit=True).total
        could_quantise = memory.kind == "cuda" and not (memory.four_bit or self.dtype or self.weights.stored_bytes)
        if could_quantise and quantised <= memory.usable():
            text += f"; in 4-bit it would need {gb(quantised)} (install bitsandbytes and accelerate)"
        return text

    def _dtypes(self, memory: FreeMemory) -> tuple[str, ...]:
        if self.dtype:
            return (self.dtype,)
        if memory.kind == "cpu":
            small = self.weights.size("float32") <= MAX_FLOAT32_CPU_BYTES
            return ("float32", "bfloat16") if small else ("bfloat16",)
        return ("bfloat16",) if memory.kind == "cuda" and memory.bf16 else ("float16",)


def suggest_smaller(source: str, parameters: int, workload: Workload, memory: FreeMemory) -> str:
    """Names the largest published model with fewer parameters that would fit, of the same family if possible."""
    ways = []
    for size in MODEL_SIZES:
        search = _Search(WeightCount(size.parameters, size.linear), size.config, workload)
        if size.parameters < parameters and (way := search.first_that_fits(memory)):
            ways.append((size, way))
    if not ways:
        return "none of the open models would fit; the bundled one needs 0.2 GB"
    own = size_of(source)
    same_family = [pair for pair in ways if own and pair[0].name.split("-VL")[0] == own.name.split("-VL")[0]]
    size, way = max(same_family or ways, key=lambda pair: pair[0].parameters)
    return f"{size.ids[0]} needs {gb(way.need.total)}{' in 4-bit' if way.four_bit else ''} and would fit"


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error means that a device or the computer ran out of memory."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # on a CPU torch raises a plain RuntimeError
    return isinstance(error, RuntimeError) and ("can't allocate memory" in str(error) or "out of memory" in str(error))


def out_of_memory(source: str, weights: WeightCount, placement: ModelPlacement, prompts: int = 1) -> str:
    """Says that a model ran out of memory although it was planned to fit. ``prompts`` were answered together."""
    if prompts > 1:
        hint = "use a smaller batch"
    else:
        hint = suggest_smaller(source, weights.total, Workload(), placement.memory)
    asked = f" with {prompts} prompts" if prompts > 1 else ""
    return f"{source!r} ran out of memory{asked}, planned as {placement.describe()}; {hint}."
