"""How jobs are dealt out, with workers that do them at once when they are asked."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from qwenarm.assemble import Choice
from qwenarm.dispatch import Office
from qwenarm.ledger import Key
from qwenarm.workers import Died, Finished, Ready, Rollout


@dataclass(eq=False)
class _Member:
    ready: bool = False
    waiting: list[Key] = field(default_factory=list)
    done: int = 0
    last: bool = False

    def give(self, job: Any) -> None:
        if job is None:
            self.last = True
        else:
            self.waiting.append(job.key)

    def stop(self) -> None:
        pass


class _Crew:
    """All its members work at the same speed."""

    def __init__(self) -> None:
        self.everybody: list[_Member] = []

    def hire(self) -> _Member:
        self.everybody.append(_Member())
        return self.everybody[-1]

    def hear(self, members: list[_Member]):
        for member in members:
            if not member.ready:
                member.ready = True
                yield member, Ready({})
            elif member.waiting:
                member.done += 1
                yield member, Finished(member.waiting.pop(0))
            elif member.last:
                yield member, Died("went home")


@pytest.mark.parametrize(("jobs", "workers", "batch"), [(10, 2, 8), (3, 2, 8), (2, 2, 16), (40, 4, 16), (7, 3, 1)])
def test_few_jobs_are_dealt_out_evenly(jobs, workers, batch):
    crew = _Crew()
    office = Office(crew, workers, batch)  # type: ignore[arg-type]
    office.open()
    keys = [Key("made", "put", 1, seed, "panda", "all", "", "paused", "x") for seed in range(jobs)]
    told = list(office.play([Rollout(Choice(), key.seed, key) for key in keys]))
    assert sorted(event.key.seed for event in told if isinstance(event, Finished)) == list(range(jobs))
    shares = [member.done for member in crew.everybody]
    assert max(shares) - min(shares) <= 2
