"""Reads the header of a GGUF file: which model it holds, its chat template, and the size of every tensor.

Only the text models are loaded whose GGUF transformers dequantises. Everything is bounded by the file's own length,
because the readers that come after this one (transformers', gguf-py's) trust its counts.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.checkpoints.limits import MAX_LAYERS

GGUF_SUFFIX = ".gguf"
GGUF_VERSIONS = (2, 3)
GGUF_ARCHITECTURES = ("qwen2", "qwen3")
"""The architectures that are loaded; transformers calls their model_type the same."""
NEEDED_PACKAGES = ("gguf", "accelerate")
"""What transformers needs to load a GGUF file; the extra ``gguf``."""
MAX_STRING_BYTES = 16 << 20
MAX_DIMENSIONS = 4
STRING_TYPE, ARRAY_TYPE = 8, 9
SCALAR_FORMATS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
"""How ``struct`` reads the scalar types of the format's specification."""


@dataclass(frozen=True)
class GgufFile:
    """The header of a file.

    Attributes:
        path: Where it is.
        metadata: Its keys with their values; an array counts as its length.
        shapes: The shape of every tensor, innermost dimension first.
    """

    path: Path
    metadata: Mapping[str, Any] = field(repr=False)
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)

    @property
    def model_type(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def weight_count(self) -> int:
        """The number of weights, once they are dequantised."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def template(self) -> str:
        """The chat template, "" if there is none."""
        return str(self.metadata.get("tokenizer.chat_template", ""))

    @property
    def config_overrides(self) -> dict[str, Any]:
        """Settings that transformers (5.23) does not read from the file: the size of a head of Qwen3."""
        size = self.metadata.get(f"{self.model_type}.attention.key_length")
        return {"head_dim": size} if size and self.model_type == "qwen3" else {}

    @contextmanager
    def alone(self) -> Iterator[Path]:
        """A temporary folder with a link to the file and nothing else, so that no other file is read with it."""
        with TemporaryDirectory(prefix="qwenarm-gguf-") as folder:
            os.symlink(self.path.resolve(), Path(folder) / self.path.name)
            yield Path(folder)


def gguf_in(place: Path, source: str) -> Path | None:
    """Returns the GGUF file that a path names: the file, or the only one in a folder without safetensors.

    Raises ModelUnavailable for a folder with several.
    """
    if place.suffix == GGUF_SUFFIX and not place.is_dir():
        return place if place.exists() else None
    found = sorted(place.glob(f"*{GGUF_SUFFIX}")) if place.is_dir() and not any(place.glob("*.safetensors")) else []
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ModelUnavailable(f"{source!r} holds {len(found)} GGUF files; name one of them: {names}.")
    return found[0] if found else None


def read_gguf(path: Path, source: str) -> GgufFile:
    """Reads and checks the header of a GGUF file.

    Raises:
        ModelUnavailable: The file is damaged or of another architecture, or a library is missing; the message says
            what serves it instead.
    """
    if not path.is_file():
        raise ModelUnavailable(f"{path.name} of {source!r} is not a regular file.")
    if missing := [name for name in NEEDED_PACKAGES if find_spec(name) is None]:
        needed = f"{' and '.join(missing)}: `pip install 'qwenarm[gguf]'`"
        raise ModelUnavailable(f"{source!r} is in GGUF, which needs {needed}{_or_serve(path)}")
    try:
        with path.open("rb") as stream:
            found = _read(_Header(stream, path.stat().st_size), path)
    except (OSError, ValueError, struct.error) as error:
        raise ModelUnavailable(f"{source!r} is truncated or damaged: {error}.") from error
    if found.model_type not in GGUF_ARCHITECTURES:
        raise ModelUnavailable(
            f"{source!r} holds a model of architecture {found.model_type[:40]!r}. In GGUF these are loaded: "
            f"{', '.join(GGUF_ARCHITECTURES)}, without pictures{_or_serve(path)}"
        )
    if not 1 <= (layers := found.metadata.get(f"{found.model_type}.block_count", 0)) <= MAX_LAYERS:
        raise ModelUnavailable(f"{source!r} is not valid: its block_count is {layers!r}, not one up to {MAX_LAYERS}.")
    if not found.template.strip():
        raise ModelUnavailable(f"{source!r} has no chat template, so it cannot be talked to; take an Instruct model.")
    return found


def _or_serve(path: Path) -> str:
    return f"; or serve it with `llama-server -m {path} --jinja` and give its URL as the model."


class _Header:
    """Reads the file's beginning. Raises ValueError where a length leads beyond the end."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.size = stream, size

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.stream.read(struct.calcsize(form)))[0]

    def text(self) -> str:
        length = self.number("<Q")
        if length > min(MAX_STRING_BYTES, self.size - self.stream.tell()):
            raise ValueError(f"a text of {length} bytes")
        return self.stream.read(length).decode()

    def skip(self, size: int) -> None:
        if size > self.size - self.stream.tell():
            raise ValueError(f"an array of {size} bytes")
        self.stream.seek(size, os.SEEK_CUR)

    def value(self, kind: int) -> Any:
        """A value of a type; of an array its length."""
        if kind in SCALAR_FORMATS:
            return self.number(SCALAR_FORMATS[kind])
        if kind == STRING_TYPE:
            return self.text()
        if kind != ARRAY_TYPE or (of := self.number("<I")) not in (*SCALAR_FORMATS, STRING_TYPE):
            raise ValueError(f"a value of type {kind}")
        count = self.number("<Q")
        if of in SCALAR_FORMATS:
            self.skip(count * struct.calcsize(SCALAR_FORMATS[of]))
            return count
        for _ in range(count):  # ends with the file
            self.skip(self.number("<Q"))
        return count

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, type and offset of a tensor."""
        name, dimensions = self.text(), self.number("<I")
        if dimensions > MAX_DIMENSIONS:
            raise ValueError(f"a tensor of {dimensions} dimensions")
        shape = tuple(self.number("<Q") for _ in range(dimensions))
        return name, shape, self.number("<I"), self.number("<Q")


def _read(header: _Header, path: Path) -> GgufFile:
    if header.stream.read(4) != b"GGUF" or header.number("<I") not in GGUF_VERSIONS:
        raise ValueError(f"it does not begin as GGUF of version {' or '.join(map(str, GGUF_VERSIONS))}")
    tensors, keys = header.number("<Q"), header.number("<Q")
    metadata = {header.text(): header.value(header.number("<I")) for _ in range(keys)}
    found = [header.tensor() for _ in range(tensors)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= MAX_STRING_BYTES:
        raise ValueError(f"its alignment is {alignment!r}")
    begin = -(-header.stream.tell() // alignment) * alignment
    for name, shape, kind, offset in found:
        if begin + offset + _stored_bytes(shape, kind) > header.size:
            raise ValueError(f"the tensor {name[:80]!r} of shape {shape} reaches beyond its end")
    return GgufFile(path, metadata, {name: shape for name, shape, _, _ in found})


def _stored_bytes(shape: tuple[int, ...], kind: int) -> int:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        weights, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    except (ValueError, KeyError):
        raise ValueError(f"a tensor is quantised in the unknown way {kind}") from None
    return -(-math.prod(shape) // weights) * size
