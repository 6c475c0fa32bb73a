"""Workers that find the causes of failed episodes, in this process or in several."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qwenarm.diagnosis.find_cause import EPISODE_CRASHED, Case, Finding, find_cause
from qwenarm.episode.drive import drive
from qwenarm.episode.trace import read_at
from qwenarm.errors import BadInput
from qwenarm.evaluation.jobs import JobResult, PolicyFacts
from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.watchdog import Watchdog
from qwenarm.evaluation.workers import Worker, WorkerConfig
from qwenarm.factory import make_env, make_policy
from qwenarm.mind.backends import Backend
from qwenarm.policies import acts_without_calls
from qwenarm.types import Completion, Episode, Prompt


@dataclass(frozen=True)
class FailedEpisode:
    """A failed episode of a ledger."""

    key: Key
    role: str
    model: str
    offset: int  # of its line in the ledger, in bytes

    def crashed(self, policies: PolicyFacts, reason: str) -> Attributed:
        """Returns the finding about an episode whose replays have killed two workers."""
        why = f"The process that played it again died twice ({reason})."
        return Attributed.of(self, Finding(EPISODE_CRASHED, why=why, same=False))


@dataclass(frozen=True)
class Attributed(JobResult):
    """A failed episode and the finding about it."""

    failed: FailedEpisode
    line: dict[str, Any]  # as it is stored, see attribute.py

    @classmethod
    def of(cls, failed: FailedEpisode, finding: Finding) -> Attributed:
        """Makes one from a finding."""
        return cls(failed.key, failed, {"key": asdict(failed.key), **asdict(finding)})


@dataclass(frozen=True, kw_only=True)
class AttributionConfig(WorkerConfig):
    """What a worker needs to know. ``config`` is that of any of the failed episodes, which all have the same model."""

    folder: Path  # of the ledger

    def make_worker(self, watchdog: Watchdog | None = None) -> AttributionWorker:
        """Makes the worker in the calling process."""
        return AttributionWorker(self, self.folder)


class AttributionWorker(Worker):
    """Replays failed episodes until their causes are known."""

    def __init__(self, setup: WorkerConfig, folder: Path) -> None:
        super().__init__(setup)
        self.folder = folder

    def work(self, jobs: Iterable[FailedEpisode]) -> Generator[Attributed, Any, None]:
        yield from drive(map(self._found, jobs), self.backend, self.setup.batch)

    def _found(self, failed: FailedEpisode) -> Generator[Prompt, Completion, Attributed]:
        """Yields the prompts of the replays."""
        finding = yield from find_cause(case_of(read_at(self.folder, failed.offset), self.backend))
        return Attributed.of(failed, finding)


def case_of(episode: Episode, backend: Backend | None) -> Case:
    """Returns a recorded episode with everything needed to replay it. Raises BadInput for one of 20 Hz actions."""
    config = episode.run.config
    if acts_without_calls(config):
        raise BadInput("This run made no calls that could be replaced: it played 20 Hz actions.")
    return Case(episode, lambda: make_env(config), lambda env: make_policy(config, env, episode.seed, backend))
