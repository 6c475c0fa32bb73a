"""Those who play failed episodes again: the workers of an attribution, in this process or in several."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qwenarm.diagnosis.find_cause import CRASH, Case, Finding, find_cause
from qwenarm.episode.drive import drive
from qwenarm.episode.trace import read_at
from qwenarm.evaluation.jobs import JobResult, PolicyFacts
from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.watchdog import Watchdog
from qwenarm.evaluation.workers import Worker, WorkerConfig
from qwenarm.factory import make_env, make_policy
from qwenarm.mind.backends import Backend
from qwenarm.types import Completion, Episode, Prompt


@dataclass(frozen=True)
class Failed:
    """A failed episode of a ledger. offset: of its line, bytes."""

    key: Key
    role: str
    model: str
    offset: int

    def crashed(self, policies: PolicyFacts, reason: str) -> Found:
        """The replays of this episode have killed two workers."""
        why = f"The process that played it again died twice ({reason})."
        return Found.of(self, Finding(CRASH, why=why, same=False))


@dataclass(frozen=True)
class Found(JobResult):
    """What is found out about an episode. line: as it is stored, see ``attribution``."""

    failed: Failed
    line: dict[str, Any]

    @classmethod
    def of(cls, failed: Failed, finding: Finding) -> Found:
        return cls(failed.key, failed, {"key": asdict(failed.key), **asdict(finding)})


@dataclass(frozen=True, kw_only=True)
class Replays(WorkerConfig):
    """A worker's setting. config: of any of the failed episodes, which all have its model; folder: their ledger's."""

    folder: Path

    def make_worker(self, watchdog: Watchdog | None = None) -> Replayer:
        return Replayer(self, self.folder)


class Replayer(Worker):
    """Plays failed episodes again until it knows why they failed."""

    def __init__(self, setup: WorkerConfig, folder: Path) -> None:
        super().__init__(setup)
        self.folder = folder

    def work(self, jobs: Iterable[Failed]) -> Generator[Found, Any, None]:
        yield from drive(map(self._found, jobs), self.backend, self.setup.batch)

    def _found(self, failed: Failed) -> Generator[Prompt, Completion, Found]:
        """Asks what the replays need to know."""
        finding = yield from find_cause(case_of(read_at(self.folder, failed.offset), self.backend))
        return Found.of(failed, finding)


def case_of(episode: Episode, backend: Backend | None) -> Case:
    """A recorded episode with what it takes to play it again."""
    config = episode.run.config
    return Case(episode, lambda: make_env(config), lambda env: make_policy(config, env, episode.seed, backend))
