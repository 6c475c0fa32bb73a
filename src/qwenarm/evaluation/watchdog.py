"""Ends a process whose episodes make no progress. Code that hangs cannot be interrupted from within."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from qwenarm.episode.watchers import Watcher
from qwenarm.types import Completion, Observation, Prompt, Turn

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv
    from qwenarm.episode.drive import Answers

STALL_LIMIT_S = 120.0
"""Wall seconds without any progress after which a process is ended; a control period takes milliseconds."""
RESET_INTERVAL_S = 2.0
"""Minimum interval at which progress is noted, in s."""
T = TypeVar("T")


class Watchdog(Watcher):
    """Ends the process if nothing happens for too long, and writes the stack of every thread to a file.

    Waiting for a model, for the next job or for the process that takes the results does not count.

    Args:
        fileno: Descriptor of the file.
        limit_s: Maximum time without progress, in s.
    """

    def __init__(self, fileno: int, limit_s: float = STALL_LIMIT_S) -> None:
        self.fileno, self.limit_s = fileno, limit_s
        self._noted_s = -RESET_INTERVAL_S

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        self._progress()

    def looked(self, obs: Observation) -> None:
        self._progress()

    def stepped(self, body: Body) -> None:
        self._progress()

    def turned(self, turn: Turn) -> None:
        self._progress()

    def _progress(self) -> None:
        if monotonic() - self._noted_s > min(RESET_INTERVAL_S, self.limit_s / 4):
            self._watch()

    def _watch(self) -> None:
        self._noted_s = monotonic()
        faulthandler.dump_traceback_later(self.limit_s, exit=True, file=self.fileno)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspends the watch."""
        faulthandler.cancel_dump_traceback_later()
        yield
        self._watch()

    def unwatched_iterator(self, items: Iterable[T]) -> Iterator[T]:
        """Yields the items without watching the wait for the next one."""
        iterator = iter(items)
        while True:
            with self.paused():
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def unwatched_results(self, results: Iterable[T]) -> Iterator[T]:
        """Yields the results without watching what is done with them, or anything after the last one."""
        try:
            for result in results:
                with self.paused():
                    yield result
        finally:
            faulthandler.cancel_dump_traceback_later()

    def unwatched_backend(self, backend: Answers | None) -> Answers | None:
        """Returns a backend that does the same without watching the wait for its answers."""
        return None if backend is None else _UnwatchedBackend(self, backend)


@dataclass(frozen=True)
class _UnwatchedBackend:
    watchdog: Watchdog
    backend: Answers

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[Completion | Exception]:
        with self.watchdog.paused():
            return self.backend.generate(prompts)


def stalled_at(report: str) -> str:
    """Returns where a process hung, from the output of ``faulthandler``, or "" if it was not ended by the watchdog."""
    if not report.startswith("Timeout"):
        return ""
    frames = [line.strip() for line in report.splitlines() if line.startswith("  File")]
    return f"no progress, {frames[0]}" if frames else "no progress"
