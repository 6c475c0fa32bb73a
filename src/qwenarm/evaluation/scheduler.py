"""Jobs go out to workers and what came of them comes in, whoever the workers are.

A worker that dies takes nothing with it: each job that it had in hand is done once more, alone, and recorded as crashed
if that kills a worker again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.evaluation.ledger import Key, policy_hash
from qwenarm.evaluation.workers import Crew, Died, Finished, Job, Message, Policies, Ready, Refused


def places(jobs: int, workers: int, batch: int) -> int:
    """How many jobs each worker shall do at once, ``batch`` at most: so few that half of them wait for whoever is done
    first. Crew and office have to be told the same, for a worker waits until its places are filled.
    """
    return max(1, min(batch, jobs // (2 * workers)))


@dataclass
class Office:
    """Hands jobs to workers, hears of what they finished, and deals with their deaths."""

    crew: Crew
    count: int
    batch: int
    members: dict[Any, dict[Key, Job]] = field(default_factory=dict)
    """What each worker was given and has not finished."""

    def open(self) -> Policies:
        """Hires everybody; returns what the policies tell of themselves. Raises BadInput when two workers differ."""
        self.members = {self.crew.hire(): {} for _ in range(self.count)}
        told: dict[Any, Policies] = {}
        while len(told) < self.count:
            for member, message in self.crew.hear([member for member in self.members if member not in told]):
                told[member] = _policies(message)
        first, *others = told.values()
        for other in others:
            if {role: policy_hash(each) for role, each in other.items()} != {
                role: policy_hash(each) for role, each in first.items()
            }:
                raise BadInput(f"The workers do not have the same model: {first} and {other}.")
        return first

    def play(self, jobs: Iterable[Job]) -> Iterator[Finished | Died]:
        """What comes of every job, in no particular order; and the deaths in between."""
        todo, suspects = deque(jobs), deque[Job]()
        for member in self.members:
            self._feed(member, todo)
        while self.members:
            for member, message in self.crew.hear(list(self.members)):
                if isinstance(message, Finished):
                    del self.members[member][message.key]
                    self._feed(member, todo)
                    yield message
                elif isinstance(message, Ready):
                    self._feed(member, todo)
                elif isinstance(message, Refused):
                    _raise(message)
                elif lost := self._bury(member):
                    suspects += lost
                    yield message
                    if todo:
                        self.members[self.crew.hire()] = {}
        if todo:
            raise BadInput("All workers have died, and new ones could not begin; what was finished is kept.")
        for job in suspects:
            yield from self._try_alone(job)

    def close(self) -> None:
        """Stops everybody, whatever they are doing."""
        for member in self.members:
            member.stop()
        self.members.clear()

    def _feed(self, member: Any, todo: deque[Job]) -> None:
        """As many jobs as it plays at once and one more, so that it never waits for us."""
        mine = self.members[member]
        while todo and len(mine) <= self.batch:
            job = todo.popleft()
            mine[job.key] = job
            member.give(job)
        if not todo:
            member.give(None)

    def _bury(self, member: Any) -> list[Job]:
        """What a worker that has ended leaves undone."""
        member.stop()
        return list(self.members.pop(member).values())

    def _try_alone(self, job: Job) -> Iterator[Finished | Died]:
        """A job that a worker had begun when it died: once more, with nobody else to blame."""
        member = self.crew.hire()
        self.members[member] = {}
        try:
            ((_, message),) = self.crew.hear([member])
            policies = _policies(message)
            member.give(job)
            member.give(None)
            ((_, message),) = self.crew.hear([member])
            if isinstance(message, Refused):
                _raise(message)
            if isinstance(message, Died):
                yield message
                message = job.crashed(policies, message.reason)
            if isinstance(message, Finished):
                yield message
        finally:
            self._bury(member)


def _policies(message: Message) -> Policies:
    """What a worker's first word tells. Raises BadInput when it is not the first word of a worker that can begin."""
    if isinstance(message, Refused):
        _raise(message)
    if not isinstance(message, Ready):
        raise BadInput(f"A worker could not begin: {getattr(message, 'reason', message)}.")
    return message.policies


def _raise(refused: Refused) -> NoReturn:
    raise (ModelUnavailable if refused.model else BadInput)(refused.reason)
