"""Advances episodes, alone or many in lockstep, and has a backend answer their prompts.

Anything that asks a model can be driven: a generator that yields prompts, receives completions and returns a result.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from qwenarm.episode.rollout import ModelFailed, Play, Stopped, advance
from qwenarm.errors import BadInput, QwenarmError
from qwenarm.types import Completion, Episode, Prompt

R = TypeVar("R")
Asking = Generator[Prompt, Completion, R]
"""Yields prompts, receives their completions, returns a result."""


class Answers(Protocol):
    """The part of a backend that is needed here."""

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[Completion | Exception]:
        """Returns one completion per prompt, in the same order, or the reason if a single prompt has failed."""
        ...


def drive(asking: Iterable[Asking[R]], backend: Answers | None = None, batch: int = 1) -> Generator[R, None, None]:
    """Advances up to ``batch`` generators in lockstep, with their prompts answered together. Yields results as they
    come.

    A generator is only started when there is room for it, so ``asking`` may be endless. An error in place of an
    answer is thrown into the generator that asked. If the backend fails on a batch, each prompt is asked alone, so
    that one prompt cannot spoil the others.

    Raises:
        QwenarmError: Raised by the backend, for example because a server is down.
    """
    queue, under_way = iter(asking), dict[Asking[R], Prompt]()
    try:
        while True:
            while len(under_way) < batch and (fresh := next(queue, None)) is not None:
                yield from _advance(fresh, None, under_way)
            if not under_way:
                return
            answers = _ask(backend, list(under_way.values()))
            for each, answer in zip(list(under_way), answers, strict=True):
                yield from _advance(each, answer, under_way)
    finally:
        for each in under_way:
            each.close()


def play_alone(play: Play, backend: Answers | None = None) -> tuple[Episode, BaseException | None]:
    """Plays one episode, and keeps what was played even if it cannot be finished.

    Returns:
        The episode, and what the caller still has to raise: the model's ``QwenarmError``, after which the episode is
        CRASHED, or Ctrl-C, after which it is STOPPED; otherwise None.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first turn.
    """
    answer: Completion | BaseException | None = None
    failed = None
    try:
        while True:
            prompt = advance(play, answer)
            try:
                (answer,) = _ask(backend, [prompt])
            except QwenarmError as error:
                answer, failed = ModelFailed(str(error)), error
            except KeyboardInterrupt as error:
                answer = error
    except StopIteration as end:
        return end.value, failed
    except Stopped as stopped:
        return stopped.episode, stopped


def answered(asking: Asking[R], model: Answers | None) -> R:
    """Returns the result of a generator whose prompts are answered by a model of its own, or that has no prompts.

    Raises what the model raises.
    """
    answer: Completion | BaseException | None = None
    while True:
        try:
            prompt = advance(asking, answer)
        except StopIteration as end:
            return end.value
        (answer,) = _ask(model, [prompt])


def _advance(
    asking: Asking[R], answer: Completion | Exception | None, under_way: dict[Asking[R], Prompt]
) -> Iterator[R]:
    """Runs a generator up to its next prompt, or to its end."""
    try:
        under_way[asking] = advance(asking, answer)
    except StopIteration as end:
        under_way.pop(asking, None)
        yield end.value


def _ask(backend: Answers | None, prompts: list[Prompt]) -> Sequence[Completion | Exception]:
    if backend is None:
        raise BadInput("This policy asks a model, and no model was given.")
    try:
        return backend.generate(prompts)
    except QwenarmError:
        raise
    except Exception as error:
        return [error] if len(prompts) == 1 else [each for prompt in prompts for each in _ask(backend, [prompt])]
