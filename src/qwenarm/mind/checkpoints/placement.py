"""How a model is held in the memory that is free: in which dtype, in 4-bit, on how many devices; or why it is not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.checkpoints.memory import BYTES, PACKED, Load, Need, Weights, gb, need_of
from qwenarm.mind.model_sizes import SIZES, Published, size_of

SPARE = 0.1  # of what is free, left to the allocator's rounding and to whatever else grows
FAST_ON_CPU = 2 << 30  # bytes in fp32 up to which a CPU keeps that: small models decode faster in it


@dataclass(frozen=True)
class Room:
    """Where a model can lie. kind: "cuda", "mps" or "cpu". free: bytes on each device, the first one first.

    four_bit, several: whether bitsandbytes and accelerate are there, which quantise weights and spread them over
    devices. bf16: whether the device computes in it.
    """

    kind: str
    free: tuple[int, ...]
    bf16: bool = True
    four_bit: bool = False
    several: bool = False
    first: int = 0
    """Index of the first CUDA device."""

    @property
    def devices(self) -> int:
        return len(self.free) if self.several else 1

    def usable(self, devices: int = 1) -> int:
        """Bytes that may be planned with, on the first so many devices."""
        return int(sum(self.free[:devices]) * (1 - SPARE))


@dataclass(frozen=True)
class Plan:
    """How a model will be held. devices: more than one means that its layers are spread over them."""

    room: Room
    dtype: str
    need: Need
    four_bit: bool = False
    devices: int = 1

    @property
    def name(self) -> str:
        """Such as "bfloat16", or "4-bit, bfloat16"."""
        return f"4-bit, {self.dtype}" if self.four_bit else self.dtype

    @property
    def device(self) -> str:
        """Torch's name for the device; that of the first one, where the layers are spread."""
        return f"cuda:{self.room.first}" if self.room.kind == "cuda" else self.room.kind

    @property
    def share(self) -> dict[int, int] | None:
        """Bytes for weights on each device, where they are spread; room to work is left on each."""
        if self.devices == 1:
            return None
        kept = (int(free * (1 - SPARE)) - self.need.work for free in self.room.free[: self.devices])
        return {self.room.first + index: max(0, size) for index, size in enumerate(kept)}

    def describe(self) -> str:
        """One line: "bfloat16 on cuda:0: 8.9 GB of weights and 0.5 GB to work in, of 23.5 GB free"."""
        where = self.device if self.devices == 1 else f"{self.devices} CUDA devices"
        free = sum(self.room.free[: self.devices])
        held = f"{gb(self.need.weights)} of weights and {gb(self.need.work)} to work in"
        return f"{self.name} on {where}: {held}, of {gb(free)} free"


def room_now(device: str | None = None) -> Room:
    """What is free at this moment. device: torch's name for one, None for the best that is there.

    Raises BadInput for a device that is not there, with those that are.
    """
    import torch

    there = _devices()
    if device is not None and device not in (*there, *(name.partition(":")[0] for name in there)):
        raise BadInput(f"There is no device {device!r} here. Valid: {', '.join(there)}.")
    kind, _, index = (device or _best()).partition(":")
    if kind == "cuda":
        spreads = find_spec("accelerate") is not None
        several = range(torch.cuda.device_count()) if device is None else (int(index or 0),)
        free = {number: torch.cuda.mem_get_info(number)[0] for number in several}
        if not spreads:  # one of them it will be: the freest
            free = dict(sorted(free.items(), key=lambda pair: -pair[1]))
        quantises = spreads and find_spec("bitsandbytes") is not None
        return Room(kind, tuple(free.values()), torch.cuda.is_bf16_supported(), quantises, spreads, next(iter(free)))
    if kind == "mps":
        return Room(kind, (torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory(),))
    return Room(kind, (_free_ram(),))


def _devices() -> tuple[str, ...]:
    """Those of this machine that a model may be loaded on."""
    import torch

    several = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ("cpu", *(f"cuda:{number}" for number in range(several)), *["mps"] * torch.backends.mps.is_available())


def _best() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _free_ram() -> int:
    """Bytes that can be had without swapping; inside of a container, what its limit leaves."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = 1024 * int(lines["MemAvailable"].split()[0])
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return min(free, int(limit) - int(used) + _cached(group))
    except (OSError, ValueError):  # no such group, or no limit ("max")
        return free


def _cached(group: Path) -> int:
    """Bytes of the group's file cache, which count as used and are given up when memory is short."""
    pairs = (line.split() for line in (group / "memory.stat").read_text().splitlines())
    return next((int(size) for name, size in pairs if name == "inactive_file"), 0)


def choose(
    source: str, weights: Weights, config: Mapping[str, Any], load: Load, room: Room, dtype: str | None = None
) -> Plan:
    """The first way to hold a model that fits: on one device, on several, in 4-bit on one, in 4-bit on several.

    dtype: the user's wish, which is then kept to. Raises ModelUnavailable with what it needs, what is free, and the
    next smaller model that would fit; BadInput for an unknown dtype.
    """
    if dtype is not None and dtype not in BYTES:
        raise BadInput(f"There is no dtype {dtype!r}. Valid: {', '.join(BYTES)}.")
    if plan := _fitting(weights, config, load, room, dtype):
        return plan
    raise ModelUnavailable(_too_large(source, weights, config, load, room, dtype))


def _fitting(weights: Weights, config: Mapping[str, Any], load: Load, room: Room, dtype: str | None) -> Plan | None:
    """Where layers are spread, each device wants room to work in."""
    for plan in _ways(weights, config, load, room, dtype):
        if plan.need.total + (plan.devices - 1) * plan.need.work <= room.usable(plan.devices):
            return plan
    return None


def _ways(weights: Weights, config: Mapping[str, Any], load: Load, room: Room, dtype: str | None) -> Iterator[Plan]:
    spread = (1, room.devices) if room.devices > 1 else (1,)
    for four_bit in (False, True) if room.four_bit and not (dtype or weights.stored) else (False,):
        for name in (dtype,) if dtype else _dtypes(weights, room):
            need = need_of(weights, config, load, name, four_bit)
            if room.kind == "cpu" and name == "float32" and need.weights <= PACKED:
                need = replace(need, weights=2 * need.weights)
            yield from (Plan(room, name, need, four_bit, devices) for devices in spread)


def _dtypes(weights: Weights, room: Room) -> tuple[str, ...]:
    if room.kind == "cpu":
        return ("float32", "bfloat16") if weights.size("float32") <= FAST_ON_CPU else ("bfloat16",)
    return ("bfloat16",) if room.kind == "cuda" and room.bf16 else ("float16",)


def _too_large(
    source: str, weights: Weights, config: Mapping[str, Any], load: Load, room: Room, dtype: str | None
) -> str:
    name, free = dtype or _dtypes(weights, room)[-1], room.free[: room.devices]
    need = need_of(weights, config, load, name)
    text = f"{source!r} needs {gb(need.total)} in {name}, and {room.kind} has {gb(sum(free))} free, "
    text += f"of which {gb(room.usable(room.devices))} may be used"
    if _fitting(weights, config, load, replace(room, several=True), dtype):
        return f"{text}; spread over {len(room.free)} devices it fits (install accelerate)."
    if room.kind == "cuda" and not (room.four_bit or dtype or weights.stored):
        quarter = need_of(weights, config, load, name, four_bit=True)
        if quarter.total <= room.usable():
            text += f"; in 4-bit it would need {gb(quarter.total)} (install bitsandbytes and accelerate)"
    return f"{text}; {smaller(source, weights.total, load, room)}."


def smaller(source: str, parameters: int, load: Load, room: Room) -> str:
    """Words for the largest published model below that many parameters that would fit; of the same family if one is."""
    fitting = [(size, plan) for size in SIZES if size.parameters < parameters and (plan := _plan_of(size, load, room))]
    own = size_of(source)
    kin = [pair for pair in fitting if own and pair[0].name.split("-VL")[0] == own.name.split("-VL")[0]]
    if not fitting:
        return "of the open models none would fit; the bundled one needs 0.2 GB"
    size, plan = max(kin or fitting, key=lambda pair: pair[0].parameters)
    return f"{size.ids[0]} needs {gb(plan.need.total)}{' in 4-bit' if plan.four_bit else ''} and would fit"


def _plan_of(size: Published, load: Load, room: Room) -> Plan | None:
    weights = Weights(size.parameters, size.linear)
    ways = _ways(weights, size.config, load, room, None)
    return next((plan for plan in ways if plan.need.total <= room.usable(plan.devices)), None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the computer had no more memory. On a CPU torch raises a plain RuntimeError for it."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and ("can't allocate memory" in str(error) or "out of memory" in str(error))


def out_of_memory(source: str, weights: Weights, plan: Plan, prompts: int = 1) -> str:
    """The sentence for a model that ran out of memory although it was planned to fit. prompts: answered together."""
    hint = "use a smaller batch" if prompts > 1 else smaller(source, weights.total, Load(), plan.room)
    asked = f" with {prompts} prompts" if prompts > 1 else ""
    return f"{source!r} ran out of memory{asked}, planned as {plan.describe()}; {hint}."
