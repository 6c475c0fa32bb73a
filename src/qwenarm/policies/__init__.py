"""Policies, which decide what to do. One file each, whose entry is ``POLICY``.

A policy that asks no model can also be a plain function ``(observation, history) -> calls``, see ``function.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import isfunction
from typing import TYPE_CHECKING, Any

from qwenarm.errors import BadInput
from qwenarm.mind.prompt.presets import CHUNK_ALTITUDE
from qwenarm.mind.vlm_policy import Deciding, Policy
from qwenarm.registry import list_names, load
from qwenarm.types import RunConfig, SkillCall

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv
    from qwenarm.mind.backends import Backend

__all__ = ["Context", "Deciding", "Policy", "PolicyEntry", "controls", "policy_entry"]


POLICY_SERVER_PREFIXES = ("ws://", "zmq://")
"""What the names of policies behind a server begin with; see ``websocket.py`` and ``groot.py``."""


def acts_without_calls(config: RunConfig) -> bool:
    """Returns whether a policy plays 20 Hz actions in place of calls of skills."""
    return config.policy.startswith(POLICY_SERVER_PREFIXES) or config.altitude == CHUNK_ALTITUDE


def is_action_chunk(call: SkillCall) -> bool:
    """Returns whether a call plays 20 Hz actions, see ``skills/action_chunk.py``."""
    return call.name.startswith("action_chunk:")


class Context:
    """Everything from which a policy for one episode is made.

    Args:
        config: The user's choices.
        seed: The episode's seed.
        backend: The model, or None for an entry that needs none.
        env: The environment, or None for an entry that is not privileged.
        elsewhere: For a privileged entry, yields the same task with other seeds, one after the other.
    """

    def __init__(
        self,
        config: RunConfig,
        seed: int,
        backend: Backend | None = None,
        env: ArmEnv | None = None,
        elsewhere: Callable[[], Iterator[ArmEnv]] = lambda: iter(()),
    ) -> None:
        self.config, self.seed, self.elsewhere = config, seed, elsewhere
        self._backend, self._env = backend, env

    @property
    def backend(self) -> Backend:
        """The model. Raises BadInput for an entry without ``needs_model``."""
        if self._backend is None:
            raise BadInput(f"The policy {self.config.policy!r} was given no model; its entry must set needs_model.")
        return self._backend

    @property
    def env(self) -> ArmEnv:
        """The environment with the simulator's own state. Raises BadInput for an entry that is not privileged."""
        if self._env is None:
            raise BadInput(f"The policy {self.config.policy!r} was given no simulator; its entry must set privileged.")
        return self._env


@dataclass(frozen=True)
class PolicyEntry:
    """A registry entry: how to make a policy for an episode, and its requirements.

    Attributes:
        make: Makes the policy.
        needs_model: It asks a model.
        privileged: It gets the environment, and with it the simulator's own state.
        needs_goal: It can only play episodes that can be judged.
        control: It is one of ``--controls all``.
        under_perturbations: As a control it also plays the perturbed episodes.
        plays_actions: It plays chunks of 20 Hz actions, which come from a model of its own, ``policy.backend``. Its
            episodes last a minute, and end when the goal is reached.
    """

    make: Callable[[Context], Policy]
    needs_model: bool = False
    privileged: bool = False
    needs_goal: bool = False
    control: bool = False
    under_perturbations: bool = False
    plays_actions: bool = False


def policy_entry(name: str) -> PolicyEntry:
    """Returns the entry of a policy. A plain function, given as ``module:NAME``, becomes one.

    Raises:
        UnknownName: There is no such policy.
        BadInput: ``module:NAME`` cannot be loaded, or is neither an entry nor a function of two arguments.
    """
    found: Any = load("policies", name)
    if isinstance(found, PolicyEntry):
        return found
    if not isfunction(found):
        raise BadInput(f"{name!r} is a {type(found).__name__}; a policy is a PolicyEntry or a function.")
    from qwenarm.policies.function import FunctionPolicy, check_signature, source_sha256

    check_signature(name, found)

    facts = {"source_sha256": source_sha256(found)}
    return PolicyEntry(lambda context: FunctionPolicy(name, found, facts=facts))


def controls() -> tuple[str, ...]:
    """Returns the policies of ``--controls all``: the oracle, then those that know more than the model, those that know
    less, and those that ask no model.
    """

    def rank(name: str) -> tuple[bool, bool, str]:
        entry = policy_entry(name)
        return not entry.privileged, entry.privileged == entry.needs_model, name

    return tuple(sorted((name for name in list_names("policies") if policy_entry(name).control), key=rank))
