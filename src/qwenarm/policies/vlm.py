"""A vision-language model decides. At each look it chooses one call (--altitude step), all calls (plan), or the next
20 Hz motions (chunk).
"""

from __future__ import annotations

from dataclasses import replace

from qwenarm.body.cameras import cameras_named
from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.mind.backends import Backend
from qwenarm.mind.prompt.presets import ALTITUDE_NAMES, CHUNK_ALTITUDE, Preset
from qwenarm.mind.vlm_policy import VlmPolicy
from qwenarm.policies import Context, PolicyEntry
from qwenarm.policies.chunk_player import ChunkPlayer
from qwenarm.policies.conventions import make_conventions
from qwenarm.registry import split_names
from qwenarm.skills import specs
from qwenarm.types import RunConfig


def make(context: Context) -> VlmPolicy | ChunkPlayer:
    """Returns the policy for the chosen altitude and cameras."""
    backend, config = context.backend, context.config
    if config.altitude == CHUNK_ALTITUDE:
        return chunk_player(backend, config)
    return VlmPolicy(backend, specs(), shown(backend.preset, config.cameras), config.altitude)


def chunk_player(backend: Backend, config: RunConfig) -> ChunkPlayer:
    """Returns the policy of a model with a chunk head. Raises BadInput without one, ModelUnavailable if it is bad."""
    form = getattr(backend, "form", None)
    if form is None:
        raise BadInput(f"The model {config.model!r} has no chunk head: --altitude {' or '.join(ALTITUDE_NAMES)}.")
    try:
        conventions = make_conventions(form.conventions, config.model)
    except BadInput as error:
        raise ModelUnavailable(str(error)) from error
    return ChunkPlayer("vlm-chunk", backend, conventions, config.clock, backend.describe())


def make_seeing(context: Context) -> VlmPolicy | ChunkPlayer:
    """Returns the policy. Raises BadInput if the model takes no images."""
    if not getattr(context.backend, "sees", True):
        raise BadInput(f"The model {context.config.model!r} takes no images; play it with --policy state_text.")
    return make(context)


def shown(preset: Preset, cameras: str) -> Preset:
    """Returns the preset with the cameras in a comma-separated list; "" keeps its own. Raises UnknownName, BadInput."""
    names = tuple(camera.name for camera in cameras_named(split_names(cameras, "--cameras")))
    return replace(preset, cameras=names or preset.cameras)


POLICY = PolicyEntry(make_seeing, needs_model=True, under_perturbations=True)
