"""Sends jobs to workers and receives their results, wherever the workers run.

No job is lost when a worker dies: each of its jobs is repeated, alone, by a new worker, and recorded as crashed if
that worker dies as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.evaluation.jobs import Job, JobResult, Message, PolicyFacts, WorkerDied, WorkerFailed, WorkerReady
from qwenarm.evaluation.ledger import Key, policy_hash


class WorkerHandle(Protocol):
    """A worker as seen from the process that started it."""

    def send(self, job: Job | None) -> None:
        """Gives it another job; None means that there are no more."""
        ...

    def stop(self) -> None:
        """Ends it immediately, whatever it is doing."""
        ...


class Pool(Protocol):
    """A source of workers."""

    def start_worker(self) -> WorkerHandle: ...

    def receive(self, workers: Sequence[Any]) -> list[tuple[Any, Message]]:
        """Waits until at least one of them has sent a message."""
        ...


def batch_per_worker(jobs: int, workers: int, batch: int) -> int:
    """Returns how many jobs each worker does at once: ``batch``, or fewer so that half of the jobs are left for
    whichever worker is free first.

    Pool and scheduler must use the same number, because a worker waits until its places are filled.
    """
    return max(1, min(batch, jobs // (2 * workers)))


@dataclass
class Scheduler:
    """Keeps ``count`` workers busy with ``batch`` jobs each."""

    pool: Pool
    count: int
    batch: int
    assigned: dict[Any, dict[Key, Job]] = field(default_factory=dict)
    """The unfinished jobs of each worker."""

    def start(self) -> PolicyFacts:
        """Starts all workers. Returns how the policies describe themselves.

        Raises:
            BadInput: A worker cannot begin, or two of them have different models.
            ModelUnavailable: The model cannot be loaded.
        """
        self.assigned = {self.pool.start_worker(): {} for _ in range(self.count)}
        facts: dict[Any, PolicyFacts] = {}
        while len(facts) < self.count:
            for worker, message in self.pool.receive([worker for worker in self.assigned if worker not in facts]):
                facts[worker] = _facts(message)
        first, *others = facts.values()
        for other in others:
            if {role: policy_hash(each) for role, each in other.items()} != {
                role: policy_hash(each) for role, each in first.items()
            }:
                raise BadInput(f"The workers do not have the same model: {first} and {other}.")
        return first

    def run(self, jobs: Iterable[Job]) -> Iterator[JobResult | WorkerDied]:
        """Yields the result of every job, in no particular order, and deaths of workers."""
        todo, suspects = deque(jobs), deque[Job]()
        for worker in self.assigned:
            self._assign(worker, todo)
        while self.assigned:
            for worker, message in self.pool.receive(list(self.assigned)):
                if isinstance(message, JobResult):
                    del self.assigned[worker][message.key]
                    self._assign(worker, todo)
                    yield message
                elif isinstance(message, WorkerReady):
                    self._assign(worker, todo)
                elif isinstance(message, WorkerFailed):
                    _raise(message)
                elif unfinished := self._remove(worker):
                    suspects += unfinished
                    yield message
                    if todo:
                        self.assigned[self.pool.start_worker()] = {}
        if todo:
            raise BadInput("All workers have died, and new ones could not start; finished jobs are kept.")
        for job in suspects:
            yield from self._retry_alone(job)

    def close(self) -> None:
        """Stops all workers, whatever they are doing."""
        for worker in self.assigned:
            worker.stop()
        self.assigned.clear()

    def _assign(self, worker: Any, todo: deque[Job]) -> None:
        """Gives a worker as many jobs as it does at once plus one, so that it never waits for the next."""
        mine = self.assigned[worker]
        while todo and len(mine) <= self.batch:
            job = todo.popleft()
            mine[job.key] = job
            worker.send(job)
        if not todo:
            worker.send(None)

    def _remove(self, worker: Any) -> list[Job]:
        """Removes a worker that has ended. Returns its unfinished jobs."""
        worker.stop()
        return list(self.assigned.pop(worker).values())

    def _retry_alone(self, job: Job) -> Iterator[JobResult | WorkerDied]:
        """Repeats a job that was running when its worker died, so that no other job can be the cause."""
        worker = self.pool.start_worker()
        self.assigned[worker] = {}
        try:
            ((_, message),) = self.pool.receive([worker])
            facts = _facts(message)
            worker.send(job)
            worker.send(None)
            ((_, message),) = self.pool.receive([worker])
            if isinstance(message, WorkerFailed):
                _raise(message)
            if isinstance(message, WorkerDied):
                yield message
                message = job.crashed(facts, message.reason)
            if isinstance(message, JobResult):
                yield message
        finally:
            self._remove(worker)


def _facts(message: Message) -> PolicyFacts:
    """Returns the policies' descriptions in a worker's first message. Raises BadInput if it could not begin."""
    if isinstance(message, WorkerFailed):
        _raise(message)
    if not isinstance(message, WorkerReady):
        hint = 'a script must call it below `if __name__ == "__main__":`'
        raise BadInput(f"A worker could not start ({getattr(message, 'reason', message)}); {hint}.")
    return message.policies


def _raise(failed: WorkerFailed) -> NoReturn:
    raise (ModelUnavailable if failed.model else BadInput)(failed.reason)
