"""Opening a model by one word: where it runs follows from how it is named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenarm.errors import BadInput
from qwenarm.mind.backends import Backend
from qwenarm.mind.model_spec import LOCAL_OPTIONS, SERVER_OPTIONS, parse_model_spec

URLS = ("http://", "https://")
SCRIPT = "scripted:"


@dataclass(frozen=True)
class ModelInfo:
    """One way to name a model, for ``qwenarm list models``."""

    spec: str
    doc: str


def list_models() -> tuple[ModelInfo, ...]:
    """What ``open_model`` understands."""
    from qwenarm.mind.checkpoints.memory import gb, need_of_size
    from qwenarm.mind.families import FAMILIES
    from qwenarm.mind.model_sizes import SIZES

    sizes = (
        ModelInfo(
            size.ids[0],
            f"{size.parameters / 1e9:.1f} B parameters; {gb(need_of_size(size).total)} in bfloat16, "
            f"{gb(need_of_size(size, four_bit=True).total)} in 4-bit",
        )
        for size in SIZES
    )
    titles = "; ".join(family.title for family in FAMILIES)
    return (
        ModelInfo(
            "bundled", "the small model that ships with qwenarm; knows only this project's world, needs no network"
        ),
        ModelInfo(
            "ORG/NAME",
            f"any checkpoint of the Hub by its id, also id@revision: {titles}; options may follow: "
            "ORG/NAME#thinking=yes,dtype=float16",
        ),
        ModelInfo("./folder", "a checkpoint in a folder, in the Hub's layout with safetensors"),
        ModelInfo(
            "http://localhost:8000",
            "an OpenAI-compatible server; behind the URL #NAME chooses one of its models, and options may follow: "
            "#NAME,family=qwen3_5,thinking=yes",
        ),
        ModelInfo("scripted:FILE", "replies from a JSONL file, one per prompt"),
        *sizes,
    )


def open_model(spec: str, **options: Any) -> Backend:
    """The backend for a model.

    spec: "bundled", a Hub id "org/name" or "org/name@revision", a folder, behind them "#option=value,...";
    "http(s)://server", behind it "#model,option=value,..." (see ``address.py``); "scripted:FILE". options: those of the
    backend's class (QwenVL, OpenAIServer, Scripted), before those in the spec. Raises ModelUnavailable when the model
    cannot be had, BadInput for an option that the backend does not know."""
    try:
        return _open(spec, options)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise BadInput(f"The model {spec!r} does not know an option: {error}.") from error


def _open(spec: str, options: dict[str, Any]) -> Backend:
    if re.match(r"[\w.-]+:\d+(/|#|$)", spec):
        raise BadInput(f"{spec!r} looks like a server; its name begins with http:// or https://.")
    if spec.lower().startswith(URLS):
        from qwenarm.mind.backends.openai_server import OpenAIServer

        url, chosen = parse_model_spec(spec, SERVER_OPTIONS)
        return OpenAIServer(url, **{**chosen, **options})
    if spec.startswith(SCRIPT):
        from qwenarm.mind.backends.scripted import Scripted, read_script

        path = Path(spec.removeprefix(SCRIPT))
        return Scripted(read_script(path), **{"name": spec, **options})
    from qwenarm.mind.backends.local import QwenVL

    source, chosen = parse_model_spec(spec, LOCAL_OPTIONS)
    return QwenVL(source, **{**chosen, **options})
