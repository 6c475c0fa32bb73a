"""The model with its pictures and, in addition, the true scene in words."""

from __future__ import annotations

from qwenarm.policies import Context, PolicyEntry, vlm
from qwenarm.policies.state_text import StateText, show_scenes


def make(context: Context) -> StateText:
    backend, policy = context.backend, show_scenes(vlm.make_seeing(context))
    name = f"{policy.name}-with_state_text"
    return StateText(name, policy, context.env, backend.family, relations=backend.preset.tool_docs)


POLICY = PolicyEntry(make, needs_model=True, privileged=True)
