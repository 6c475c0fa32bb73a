"""Workers that are processes on this machine."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, TYPE_CHECKING

from qwenarm.evaluation import watchdog
from qwenarm.evaluation.jobs import Job, Message, WorkerDied
from qwenarm.evaluation.workers import WorkerConfig, worker_messages

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

STOP_TIME_S = 5.0
"""Time in s that a worker has to stop before it is killed."""


@dataclass(eq=False)
class LocalWorker:
    """A process. Its watchdog writes to the file ``stall_report``."""

    process: BaseProcess
    connection: Connection
    stall_report: IO[str]

    def send(self, job: Job | None) -> None:
        with suppress(OSError):  # it has died, as ``receive`` will report
            self.connection.send(job)

    def receive(self) -> Message:
        """Returns its next message, or that it has died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(STOP_TIME_S)
            self.stall_report.seek(0)
            stalled = watchdog.stalled_at(self.stall_report.read())
            return WorkerDied(stalled or f"exit code {self.process.exitcode}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(STOP_TIME_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()
        self.stall_report.close()


@dataclass
class LocalPool:
    """Starts processes. They are spawned, because forked ones would inherit a GL context of another thread."""

    setup: WorkerConfig

    def start_worker(self) -> LocalWorker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        report = tempfile.NamedTemporaryFile("r", suffix=".stall")  # noqa: SIM115  (``stop`` closes it)
        limit_s = watchdog.STALL_LIMIT_S if self.setup.watched else 0.0
        process = context.Process(target=_main, args=(theirs, self.setup, Path(report.name), limit_s), daemon=True)
        process.start()
        theirs.close()
        return LocalWorker(process, ours, report)

    def receive(self, workers: Sequence[LocalWorker]) -> list[tuple[LocalWorker, Message]]:
        """Waits until at least one of them has sent a message."""
        ready = wait([worker.connection for worker in workers])
        return [(worker, worker.receive()) for worker in workers if worker.connection in ready]


def _main(connection: Connection, setup: WorkerConfig, stall_report: Path, limit_s: float) -> None:
    """Runs in a worker's process. Ctrl-C and a closed terminal are for the process that started it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with open(stall_report, "w", encoding="utf-8") as file, suppress(EOFError, OSError):  # nobody is listening any more
        dog = watchdog.Watchdog(file.fileno(), limit_s) if limit_s else None
        for message in worker_messages(setup, iter(connection.recv, None), dog):
            connection.send(message)
