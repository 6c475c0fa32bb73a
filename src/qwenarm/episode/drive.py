"""Advance episodes, alone or many in lockstep, and have a backend answer their prompts.

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
    """What is needed of a backend here."""

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[Completion | Exception]:
        """One completion per prompt, in the same order; where one prompt alone has failed, the reason in its place."""
        ...


def drive(asking: Iterable[Asking[R]], backend: Answers | None = None, batch: int = 1) -> Generator[R, None, None]:
    """Advances up to ``batch`` generators in lockstep, their prompts answered together; yields each result as it comes.

    A generator is begun only when there is room for it, so ``asking`` may be endless. An error in place of an answer is
    thrown into the generator that asked. If the backend fails at a batch, it is asked each prompt alone, so that one
    prompt cannot spoil the others.

    Raises:
        QwenarmError: The backend has raised it (a server that is down): that is for the caller to handle.
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
    """Plays one episode, and keeps what was played even if it cannot be played to its end.

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
