"""Messages with NumPy arrays in msgpack, as openpi writes them. Nothing that is read is ever executed.

An array is the map {b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [..]}, a NumPy scalar the map
{b"__npgeneric__": True, b"data": value, b"dtype": "<f4"}. The layout is that of ``openpi_client.msgpack_numpy``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from qwenarm.errors import BadInput

NUMBER_KINDS = "biuf"
"""Kinds of dtype that may be sent: bool, int, unsigned, float."""
MAX_MESSAGE_BYTES = 64 * 2**20


def pack(message: Mapping[str, Any]) -> bytes:
    """The message as bytes. Raises TypeError for what is neither plain data nor an array of numbers."""
    packed = msgpack.packb(message, default=_array_to_map)
    assert isinstance(packed, bytes)
    return packed


def unpack(data: bytes | str) -> dict[Any, Any]:
    """The message in bytes. Raises BadInput for anything that is not a map of plain data and arrays of numbers."""
    if isinstance(data, str):  # openpi's servers send their error as text
        raise BadInput(f"The other side reports: {data.strip().splitlines()[-1][:300] if data.strip() else 'nothing'}.")
    try:
        message = msgpack.unpackb(data, object_hook=_map_to_array)
    except Exception as error:  # msgpack has many, and the hook raises what NumPy raises
        raise BadInput(f"A message could not be read ({type(error).__name__}: {error}).") from error
    if not isinstance(message, dict):
        raise BadInput(f"A message must be a map, not {type(message).__name__}.")
    return message


def _array_to_map(value: Any) -> dict[bytes, Any]:
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in NUMBER_KINDS:
        raise TypeError(f"{type(value).__name__} cannot be sent.")
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}


def _map_to_array(value: dict[Any, Any]) -> Any:
    if b"__npgeneric__" in value:
        return _dtype(value).type(value[b"data"])
    if b"__ndarray__" not in value:
        return value
    dtype, shape = _dtype(value), tuple(map(int, value[b"shape"]))
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != len(value[b"data"]):
        raise ValueError(f"{len(value[b'data'])} bytes are no {dtype} of shape {shape}")
    return np.frombuffer(value[b"data"], dtype).reshape(shape)


def _dtype(value: Mapping[bytes, Any]) -> np.dtype:
    dtype = np.dtype(str(value[b"dtype"]))
    if dtype.kind not in NUMBER_KINDS:
        raise ValueError(f"dtype {dtype}")
    return dtype
