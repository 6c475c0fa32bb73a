"""A GPU that is not there: its tensors say that they are on ``cuda:0``, and are reckoned on the CPU.

    with pretend_gpu() as gpu:
        model = QwenVL(source)          # finds a CUDA device, and takes itself there
        model.generate(prompts)
        gpu.kernels, gpu.waits, gpu.copies, gpu.replays

It holds code to what PyTorch's documentation asks of CUDA, and fails where that is broken: an operation takes tensors
of one device (numbers without dimensions and indices aside), only ``to`` and ``copy_`` bring memory of the host over,
and while a graph is captured nothing waits for a value or copies from the host. A graph keeps operations and tensors,
and runs those again, never Python; a capture computes nothing. kernels: operations that compute something, views left
out. waits: times that the host waited for a value. copies: from the host to the device.

What it cannot show is speed, memory, and kernels themselves: whether they exist for a dtype, and how they round.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

HERE = torch.device("cpu")
THERE = torch.device("cuda", 0)
FREE = 24 << 30
"""Bytes that are free on it."""
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")
COUNTING = ("nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave")
"""Operations whose result is as long as the values say, so that the host waits for them."""
ELSEWISE: Mapping[Any, Callable[..., Any]] = {
    torch.ops.aten.histc.default: lambda values, *rest: torch.histc(values.float(), *rest).to(values.dtype),
}
"""What CUDA has for dtypes for which the CPU has not."""
READS = tuple(
    getattr(torch.Tensor, name)
    for name in ("item", "tolist", "__float__", "__int__", "__bool__", "__index__", "__format__", "__repr__")
)
DATA: Any = torch.Tensor.data
DIRECT = {
    torch.Tensor.__invert__: torch.ops.aten.bitwise_not,
    torch.Tensor.contiguous: torch.ops.aten.contiguous,
    torch.Tensor.copy_: torch.ops.aten.copy_,
    torch.Tensor.nonzero: torch.ops.aten.nonzero,
}
"""Methods that look for the device's driver first, and what they do then."""


class Far(torch.Tensor):
    """A tensor on the pretended device. held: the same on the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Far:
        with torch.inference_mode(False):
            made: Any = torch.Tensor._make_wrapper_subclass(
                cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, device=THERE
            )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} of a tensor of the pretended GPU, when that has gone")


class Gpu(TorchDispatchMode):
    """The device: runs operations on its tensors, counts them, and holds them to the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.waits = self.copies = self.replays = 0
        self.capturing: Graph | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        if not any(isinstance(value, Far) for value in tensors):
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        fetched = name == "copy_" and not isinstance(args[0], Far)
        if fetched or name == "_local_scalar_dense" or (name == "_to_copy" and kwargs.get("device") == HERE):
            self.wait(func)
            return func(*near(args), **near(kwargs))
        self._check(func, name, args, tensors)
        kwargs = {**kwargs, "device": HERE} if "device" in kwargs else kwargs
        work, given = ELSEWISE.get(func, func), (near(args), near(kwargs))
        result = work(*given[0], **given[1])
        written = func._schema.is_mutable
        fresh = () if written else _fresh(result, tensors)
        if written or fresh:
            self.did(work, *given, fresh)
        return args[0] if written else tree_map_only(torch.Tensor, Far, result)

    def _check(self, func: Any, name: str, args: Sequence[Any], tensors: Sequence[torch.Tensor]) -> None:
        others = [value for value in tensors if not isinstance(value, Far) and value.dim()]
        if name in INDEXING:
            self.look(args[1])
            others = [value for value in others if not any(value is index for index in args[1])]
        elif name == "copy_" and others:
            self.copy(func)
            others = []
        elif name in COUNTING:
            self.wait(func)
        assert not others, f"{func} is given tensors of the GPU and of the CPU, of {[tuple(t.shape) for t in others]}"

    def look(self, indices: Sequence[Any]) -> None:
        """Of an operation that is given these as indices."""
        for index in indices:
            if isinstance(index, list | np.ndarray) or (isinstance(index, torch.Tensor) and not isinstance(index, Far)):
                self.copy("an index")
            elif isinstance(index, Far) and index.dtype in (torch.bool, torch.uint8):
                self.wait("a mask as an index")

    def copy(self, what: Any) -> None:
        """One copy from the host."""
        assert self.capturing is None, f"{what} copies from the host while a graph is captured"
        self.copies += 1

    def wait(self, what: Any) -> None:
        """The host needs a value."""
        assert self.capturing is None, f"{what} makes the host wait while a graph is captured"
        self.waits += 1

    def did(self, work: Callable[..., Any], args: Any, kwargs: Any, fresh: Sequence[torch.Tensor]) -> None:
        """One operation, with tensors of the CPU. fresh: those that it made."""
        self.kernels += 1
        if self.capturing is not None:
            self.capturing.steps.append((work, args, kwargs, fresh))


class Graph:
    """What was done while it was captured, to be done again with the same tensors."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.steps: list[tuple[Callable[..., Any], Any, Any, Sequence[torch.Tensor]]] = []

    def replay(self) -> None:
        assert self.gpu.capturing is None
        with torch._C._DisableTorchDispatch(), torch._C.DisableTorchFunction():
            for work, args, kwargs, fresh in self.steps:
                found = [value for value in tree_leaves(work(*args, **kwargs)) if isinstance(value, torch.Tensor)]
                for old, new in zip(fresh, found, strict=bool(fresh)):
                    old.copy_(new)
        self.gpu.replays += 1


class Calls(TorchFunctionMode):
    """Python's calls of torch, before torch looks for the device that they name and does not find it."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        own = args and isinstance(args[0], Far)
        if own and (found := self._method(func, args, kwargs)) is not NotImplemented:
            return found
        if func in (torch.Tensor.to, torch.Tensor.cuda):
            return self._to(func, args, kwargs)
        if _is_there(kwargs.get("device")):
            return self._made(func, args, {**kwargs, "device": HERE})
        return func(*args, **kwargs)

    def _method(self, func: Any, args: Any, kwargs: Any) -> Any:
        own: Far = args[0]
        if func in READS:
            self.gpu.wait(func)
            return func(own.held, *args[1:], **kwargs)
        if func in DIRECT:
            return DIRECT[func](*args, **kwargs)
        if func is torch.Tensor.__getitem__:
            return self._get(own, args[1])
        if func is torch.Tensor.__setitem__:
            return self._set(own, *args[1:])
        if func is torch.Tensor.__deepcopy__:
            return Far(own.held.clone())
        if func == DATA.__get__:
            return Far(own.held)
        if func == DATA.__set__:
            own.held = args[1].held
        return NotImplemented

    def _get(self, source: Far, index: Any) -> Far:
        self.gpu.look(index if isinstance(index, tuple) else (index,))
        given = (source.held, near(index))
        found = operator.getitem(*given)
        if fresh := _fresh(found, [source]):
            self.gpu.did(operator.getitem, given, {}, fresh)
        return Far(found)

    def _set(self, target: Far, index: Any, value: Any) -> None:
        self.gpu.look(index if isinstance(index, tuple) else (index,))
        if isinstance(value, torch.Tensor) and not isinstance(value, Far) and value.dim():
            self.gpu.copy("what is set")
        given = (target.held, near(index), near(value))
        _setitem(*given)
        self.gpu.did(_setitem, given, {}, ())

    def _to(self, func: Any, args: Any, kwargs: Any) -> Any:
        source, *rest = args
        if rest and isinstance(rest[0], Far):  # as another tensor is
            rest = [THERE, rest[0].dtype, *rest[1:]]
        if func is torch.Tensor.cuda:
            func, rest = torch.Tensor.to, [THERE]
        if not any(_is_there(value) for value in (*rest, *kwargs.values())):
            return func(source, *rest, **kwargs)
        rest = [HERE if _is_there(value) else value for value in rest]
        kwargs = {name: HERE if _is_there(value) else value for name, value in kwargs.items()}
        if isinstance(source, Far):
            found = func(source.held, *rest, **kwargs)
            return source if found is source.held else Far(found)
        self.gpu.copy(func)
        found = func(source.detach(), *rest, **kwargs)
        return Far(
            found.clone() if found.untyped_storage().data_ptr() == source.untyped_storage().data_ptr() else found
        )

    def _made(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func.__name__.startswith("new_") or func.__name__.endswith("_like"):
            return func(*args, **kwargs)
        if any(isinstance(value, Far) for value in args):  # numbers that stand on the device
            self.gpu.wait(func)
        args = near(args)
        made = func(*args, **kwargs)
        if func in (torch.tensor, torch.as_tensor):
            self.gpu.copy(func)
        else:
            self.gpu.did(func, args, kwargs, (made,))
        return Far(made)


@contextmanager
def pretend_gpu(free: int = FREE) -> Iterator[Gpu]:
    """One device with so many bytes free, for as long as this lasts. Tensors of it are of no use afterwards."""
    torch._C._ensureCUDADeviceGuardSet()  # torch's own stand-in for its fake tensors, where CUDA is missing
    gpu = Gpu()

    @contextmanager
    def capture(graph: Graph, pool: Any = None) -> Iterator[None]:
        gpu.capturing = graph
        try:
            yield
        finally:
            gpu.capturing = None
        for *_, fresh in graph.steps:
            for made in fresh:
                made.zero_()

    class CUDAGraph(Graph):
        def __init__(self) -> None:
            super().__init__(gpu)

    class Stream:
        def wait_stream(self, other: Any) -> None: ...

    shown: dict[str, Any] = {
        "is_available": lambda: True,
        "is_bf16_supported": lambda *_, **__: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: "a pretended GPU",
        "get_device_capability": lambda device=None: (9, 0),
        "mem_get_info": lambda device=None: (free, free),
        "synchronize": lambda device=None: None,
        "device": lambda device: nullcontext(),
        "stream": lambda stream: nullcontext(),
        "Stream": Stream,
        "current_stream": lambda device=None: Stream(),
        "CUDAGraph": CUDAGraph,
        "graph": capture,
        "graph_pool_handle": lambda: (0, 1),
    }
    with ExitStack() as stack:
        for name, stand_in in shown.items():
            stack.enter_context(patch.object(torch.cuda, name, stand_in))
        # Modules that move get new parameters, for those of the CPU cannot become ``Far``.
        stack.enter_context(patch.object(torch.__future__, "get_overwrite_module_params_on_conversion", lambda: True))
        for mode in (torch.no_grad(), Calls(gpu), gpu):
            stack.enter_context(mode)
        yield gpu


def _setitem(target: torch.Tensor, index: Any, value: Any) -> None:
    target[index] = value


def _is_there(device: Any) -> bool:
    if isinstance(device, torch.device):
        return device.type == THERE.type
    return isinstance(device, str) and device.partition(":")[0] == THERE.type


def near(values: Any) -> Any:
    """The same with the CPU's tensors in place of the device's."""
    return tree_map_only(Far, lambda tensor: tensor.held, values)


def _fresh(result: Any, given: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Those results that are no views of what an operation was given."""
    known = {near(value).untyped_storage().data_ptr() for value in given}
    found = (value for value in tree_leaves(result) if isinstance(value, torch.Tensor))
    return tuple(value for value in found if value.untyped_storage().data_ptr() not in known)
