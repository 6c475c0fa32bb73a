"""What answers prompts. Every backend has the one method ``generate``; nothing else in the project calls a model.

One file each, whose entry is ``BACKEND``. A literal ``MODEL_NAMES`` beside it says how its models are named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from qwenarm.errors import PromptFailed
from qwenarm.mind.families import Family
from qwenarm.mind.model_spec import OptionReaders
from qwenarm.mind.prompt.presets import Preset
from qwenarm.types import Completion, Prompt


@runtime_checkable
class Backend(Protocol):
    """A model behind one method.

    preset: how it wants to be asked unless the user says otherwise. thinking: it writes its thoughts before the answer,
    and so needs room for them. A backend whose model takes no images also has ``sees = False``.
    """

    @property
    def name(self) -> str: ...
    @property
    def family(self) -> Family: ...
    @property
    def preset(self) -> Preset: ...
    @property
    def thinking(self) -> bool: ...

    def describe(self) -> Mapping[str, Any]:
        """What is needed to ask the same model again: id, revision, file hash, device, versions."""
        ...

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[Completion | PromptFailed]:
        """One completion per prompt, in the same order; where one prompt alone has failed, why in its place. Raises
        ModelUnavailable when the model cannot answer.
        """
        ...


@runtime_checkable
class StreamingBackend(Backend, Protocol):
    """A backend that can tell an answer while it is written.

    on_text: called with the text so far, at most every STREAM_PERIOD_S, while a prompt that is asked alone is answered,
    in the thread that asks. It cannot change the answer. What it raises ends the answer.
    """

    on_text: Callable[[str], None] | None


STREAM_PERIOD_S = 0.05


@dataclass(frozen=True)
class BackendEntry:
    """A registry entry: which models a backend opens, and how.

    Attributes:
        open: (source, **options) -> the backend. source: what stands before the "#" in the name of a model.
        options: those that may stand behind the "#", and how each is read.
        prefixes: what the names of its models begin with. Without any it is named ``module:NAME``.
    """

    open: Callable[..., Backend]
    options: OptionReaders = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
