"""Those who play episodes: this process, several on this machine, or several machines over Ray.

Each worker has a model and a renderer of its own, takes jobs one by one and gives back what came of them, ready to be
stored: of an evaluation finished episodes, packed; of an attribution causes. Only the process that began it all writes
(see ``dispatch.py``).
"""

from __future__ import annotations

import multiprocessing
import signal
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol

from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.episode.drive import drive
from qwenarm.episode.trace import Packed, pack
from qwenarm.episode.versions import versions
from qwenarm.errors import ModelUnavailable, QwenarmError
from qwenarm.evaluation.ledger import Key, Row
from qwenarm.factory import make_backend, make_env, make_policy, perform
from qwenarm.types import Episode, Outcome, RunConfig, RunInfo

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

STOPPING_S = 5.0
"""A worker that was told to stop gets so many seconds."""

Policies = Mapping[str, Mapping[str, Any]]
"""What each policy tells of itself, by role."""


class Job(Protocol):
    """What a worker is given."""

    @property
    def key(self) -> Key: ...

    def crashed(self, policies: Policies, reason: str) -> Finished:
        """What comes of it when two workers have died of it."""
        ...


@dataclass(frozen=True)
class Finished:
    """What came of a job, ready to be stored. key: the job's."""

    key: Key


@dataclass(frozen=True)
class Rollout:
    """One episode to be played. config: with the role as its policy."""

    config: RunConfig
    seed: int
    key: Key

    def crashed(self, policies: Policies, reason: str) -> Played:
        """The record of an episode that killed two workers."""
        run = RunInfo(
            self.config,
            self.seed,
            self.key.suite,
            policy=dict(policies[self.config.policy]),
            renderer=choose_renderer(),
            versions=versions(),
        )
        detail = f"The process that played it died twice ({reason})."
        return Played.of(Episode(run, "", (), Outcome.CRASHED, 0.0, "", detail))


@dataclass(frozen=True)
class Played(Finished):
    """An episode that was played."""

    row: Row
    packed: Packed

    @classmethod
    def of(cls, episode: Episode) -> Played:
        row = Row.of(episode)
        return cls(row.key, row, pack(episode))


@dataclass(frozen=True)
class Ready:
    """A worker's first word."""

    policies: Policies


@dataclass(frozen=True)
class Refused:
    """A worker's last word when the caller has to do something: there is no such model, the server is down."""

    reason: str
    model: bool


@dataclass(frozen=True)
class Died:
    """What is heard of a worker that ended without a word."""

    reason: str


Message = Ready | Finished | Refused | Died


@dataclass(frozen=True)
class Setting:
    """What a worker needs to know. config: the evaluation's, any of whose cells will do; roles: all that play."""

    config: RunConfig
    roles: tuple[str, ...]
    batch: int = 1

    def open(self) -> Worker:
        """Who does the jobs, in the process that asks."""
        return Player(self)


class Worker(ABC):
    """Does jobs in this process, with a model that is opened once. Raises ModelUnavailable, BadInput, UnknownName."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.configs = {role: replace(setting.config, policy=role) for role in setting.roles}
        env = make_env(setting.config)  # a name that does not exist is told before a model is loaded
        backends = (make_backend(config) for config in self.configs.values())  # one serves all that ask one
        self.backend = next((backend for backend in backends if backend is not None), None)
        self.policies = {
            role: dict(make_policy(config, env, 0, self.backend).describe()) for role, config in self.configs.items()
        }
        env.close()

    @abstractmethod
    def work(self, jobs: Iterable[Any]) -> Generator[Finished, Any, None]:
        """What comes of each job, as it ends; jobs are taken when there is room for them."""


class Player(Worker):
    """Plays episodes."""

    def work(self, jobs: Iterable[Rollout]) -> Generator[Played, Any, None]:
        for episode in self.play(jobs):
            yield Played.of(episode)

    def play(self, jobs: Iterable[Rollout]) -> Iterator[Episode]:
        """The episodes themselves."""
        plays = (perform(job.config, job.seed, self.backend, suite=job.key.suite) for job in jobs)
        yield from drive(plays, self.backend, self.setting.batch)


def serve(setting: Setting, jobs: Iterable[Job]) -> Iterator[Message]:
    """A worker's whole life, in messages."""
    try:
        worker = setting.open()
        yield Ready(worker.policies)
        yield from worker.work(jobs)
    except QwenarmError as error:
        yield Refused(str(error), isinstance(error, ModelUnavailable))


class Member(Protocol):
    """One worker, as seen by the process that began it all."""

    def give(self, job: Job | None) -> None:
        """One more job; None when there are no more."""
        ...

    def stop(self) -> None:
        """At once, whatever it is doing."""
        ...


class Crew(Protocol):
    """Where workers come from."""

    def hire(self) -> Member: ...

    def hear(self, members: Sequence[Any]) -> list[tuple[Any, Message]]:
        """Waits until at least one of them has something to say."""
        ...


@dataclass(eq=False)
class Process:
    """A spawned process: a fork would inherit a GL context that belongs to another thread."""

    process: BaseProcess
    line: Connection

    def give(self, job: Job | None) -> None:
        with suppress(OSError):  # it has died, which is heard of on the next occasion
            self.line.send(job)

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(STOPPING_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.line.close()


@dataclass
class Processes:
    """Workers on this machine."""

    setting: Setting

    def hire(self) -> Process:
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self.setting), daemon=True)
        process.start()
        theirs.close()
        return Process(process, mine)

    def hear(self, members: Sequence[Process]) -> list[tuple[Process, Message]]:
        ready = wait([member.line for member in members])
        return [(member, _word_of(member)) for member in members if member.line in ready]


def _work(line: Connection, setting: Setting) -> None:
    """The main function of a worker's process. Ctrl-C is for the process that began it all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):  # then nobody is left to play for
        for message in serve(setting, iter(line.recv, None)):
            line.send(message)


def _word_of(member: Process) -> Message:
    try:
        return member.line.recv()
    except (EOFError, OSError):
        member.process.join(STOPPING_S)
        return Died(f"exit code {member.process.exitcode}")
