"""A worker: a process with its own model and renderer that does one job after the other.

Its results are ready to be stored: finished episodes of an evaluation, or causes of an attribution. Only the process
that started the workers writes to disk (see ``scheduler.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwenarm.episode.drive import drive
from qwenarm.episode.rollout import Play
from qwenarm.episode.watchers import Watcher
from qwenarm.errors import BadInput, ModelUnavailable, QwenarmError
from qwenarm.evaluation.jobs import EpisodeJob, EpisodeResult, Job, Message, WorkerFailed, WorkerReady
from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.watchdog import Watchdog
from qwenarm.factory import make_backend, make_env, make_policy, perform
from qwenarm.types import Episode, RunConfig

MakeWatchers = Callable[[RunConfig], Sequence[Watcher]]


def nobody_watches(config: RunConfig) -> Sequence[Watcher]:
    """Watches no episode."""
    return ()


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker needs to know before its first job.

    Attributes:
        config: The configuration of any cell that will be played.
        roles: All policies that play.
        batch: Number of jobs in lockstep.
        watched: Whether a job without progress ends the worker's process, for foreign code.
        watch: Makes the watchers of an episode when it begins. A worker's process imports it, so it is a module's
            function, or a ``functools.partial`` of one.
    """

    config: RunConfig
    roles: tuple[str, ...]
    batch: int = 1
    watched: bool = False
    watch: MakeWatchers = nobody_watches

    def make_worker(self, watchdog: Watchdog | None = None) -> Worker:
        """Makes the worker in the calling process."""
        return EpisodeWorker(self, watchdog)


class Worker(ABC):
    """Does jobs in this process, with a model that is loaded once.

    Raises:
        ModelUnavailable, BadInput, UnknownName: The worker cannot begin.
    """

    def __init__(self, setup: WorkerConfig, watchdog: Watchdog | None = None) -> None:
        self.setup, self.watchdog = setup, watchdog
        self.configs = {role: replace(setup.config, policy=role) for role in setup.roles}
        env = make_env(setup.config)  # an unknown name is reported before a model is loaded
        # One serves all policies that ask a model.
        backends = (make_backend(config) for config in self.configs.values())
        self.backend = next((backend for backend in backends if backend is not None), None)
        self.policies = {
            role: dict(make_policy(config, env, 0, self.backend).describe()) for role, config in self.configs.items()
        }
        env.close()

    @abstractmethod
    def work(self, jobs: Iterable[Any]) -> Generator[Any, Any, None]:
        """Yields the result of each job when it ends. A job is taken when there is room for it."""


class EpisodeWorker(Worker):
    """Plays episodes."""

    def work(self, jobs: Iterable[EpisodeJob]) -> Generator[EpisodeResult, Any, None]:
        for episode in self.play(jobs):
            yield EpisodeResult.of(episode)

    def play(self, jobs: Iterable[EpisodeJob]) -> Iterator[Episode]:
        """Yields the episodes themselves."""
        dog, batch = self.watchdog, self.setup.batch
        if dog is None:
            return drive(map(self._play, jobs), self.backend, batch)
        plays = map(self._play, dog.unwatched_iterator(jobs))
        return dog.unwatched_results(drive(plays, dog.unwatched_backend(self.backend), batch))

    def _play(self, job: EpisodeJob) -> Play:
        watchers = [*([self.watchdog] if self.watchdog else []), *self.setup.watch(job.config)]
        episode = yield from perform(job.config, job.seed, self.backend, watchers, suite=job.key.suite)
        if Key.of(episode.run) != job.key:
            raise BadInput(f"The policy {job.config.policy} describes itself differently from one episode to the next.")
        return episode


def worker_messages(setup: WorkerConfig, jobs: Iterable[Job], watchdog: Watchdog | None = None) -> Iterator[Message]:
    """Yields all messages of a worker."""
    try:
        worker = setup.make_worker(watchdog)
        yield WorkerReady(worker.policies)
        yield from worker.work(jobs)
    except QwenarmError as error:
        yield WorkerFailed(str(error), isinstance(error, ModelUnavailable))
