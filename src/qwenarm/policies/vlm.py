"""A vision-language model decides: one call per look with --altitude step, all calls at once with --altitude plan."""

from __future__ import annotations

from dataclasses import replace

from qwenarm.body.cameras import cameras_named
from qwenarm.errors import BadInput
from qwenarm.mind.prompt.presets import Preset
from qwenarm.mind.vlm_policy import VlmPolicy
from qwenarm.policies import Context, PolicyEntry
from qwenarm.registry import split_names
from qwenarm.skills import specs


def make(context: Context) -> VlmPolicy:
    """Makes the policy with the chosen altitude and cameras."""
    backend, config = context.backend, context.config
    return VlmPolicy(backend, specs(), shown(backend.preset, config.cameras), config.altitude)


def make_seeing(context: Context) -> VlmPolicy:
    """Returns the model. Raises BadInput if it takes no images."""
    if not getattr(context.backend, "sees", True):
        raise BadInput(f"The model {context.config.model!r} takes no images; play it with --policy state_text.")
    return make(context)


def shown(preset: Preset, cameras: str) -> Preset:
    """Returns the preset with the given cameras, ids with commas; "" keeps its own. Raises UnknownName and BadInput."""
    names = tuple(camera.name for camera in cameras_named(split_names(cameras, "--cameras")))
    return replace(preset, cameras=names or preset.cameras)


POLICY = PolicyEntry(make_seeing, needs_model=True, under_perturbations=True)
