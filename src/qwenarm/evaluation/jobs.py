"""Jobs of workers, their results, and the other messages that a worker sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.episode.trace import Packed, pack
from qwenarm.episode.versions import versions
from qwenarm.evaluation.ledger import Key, Row
from qwenarm.types import Episode, Outcome, RunConfig, RunInfo

PolicyFacts = Mapping[str, Mapping[str, Any]]
"""How each policy describes itself, by role."""


@dataclass(frozen=True)
class JobResult:
    """The result of a job, ready to be stored, with the job's key."""

    key: Key


class Job(Protocol):
    """A job for a worker."""

    @property
    def key(self) -> Key: ...

    def crashed(self, policies: PolicyFacts, reason: str) -> JobResult:
        """Returns the result of a job that has killed two workers."""
        ...


@dataclass(frozen=True)
class EpisodeJob:
    """One episode to be played. The policy of ``config`` is the role."""

    config: RunConfig
    seed: int
    key: Key

    def crashed(self, policies: PolicyFacts, reason: str) -> EpisodeResult:
        """Returns the record of an episode that has killed two workers."""
        run = RunInfo(
            self.config,
            self.seed,
            self.key.suite,
            policy=dict(policies[self.config.policy]),
            renderer=choose_renderer(),
            versions=versions(),
        )
        detail = f"The process that played it died twice ({reason})."
        return EpisodeResult.of(Episode(run, "", (), Outcome.CRASHED, 0.0, "", detail))


@dataclass(frozen=True)
class EpisodeResult(JobResult):
    """An episode that was played."""

    row: Row
    packed: Packed

    @classmethod
    def of(cls, episode: Episode) -> EpisodeResult:
        row = Row.of(episode)
        return cls(row.key, row, pack(episode))


@dataclass(frozen=True)
class WorkerReady:
    """A worker's first message."""

    policies: PolicyFacts


@dataclass(frozen=True)
class WorkerFailed:
    """A worker's last message when the user has to act: there is no such model, or the server is down.

    ``model`` says whether it is the model that is unavailable.
    """

    reason: str
    model: bool


@dataclass(frozen=True)
class WorkerDied:
    """Replaces the message of a worker that ended without sending one."""

    reason: str


Message = WorkerReady | JobResult | WorkerFailed | WorkerDied
