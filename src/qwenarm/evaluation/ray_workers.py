"""Workers on the machines of a Ray cluster (extra ``ray``). Every node needs qwenarm and access to the model.

No environment variables are sent to the nodes. If they need a renderer or a key, set it where Ray is started.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from qwenarm.errors import BadInput, import_optional
from qwenarm.evaluation.jobs import Job, Message, WorkerDied
from qwenarm.evaluation.workers import WorkerConfig, worker_messages
from qwenarm.mind.model_spec import URL_PREFIXES
from qwenarm.policies import policy_entry

CONNECT_TIME_S = 10.0


class RayActor:
    """The actor on a node. ``messages`` runs in one thread as long as the actor lives, ``send`` in another."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()

    def send(self, job: Job | None) -> None:
        self.jobs.put(job)

    def messages(self, setup: WorkerConfig) -> Iterator[Message]:
        yield from worker_messages(setup, iter(self.jobs.get, None))


@dataclass(eq=False)
class RayWorker:
    """A worker on some node, as seen from here."""

    handle: Any
    messages: Any

    def send(self, job: Job | None) -> None:
        self.handle.send.remote(job)

    def stop(self) -> None:
        import ray

        ray.kill(self.handle)


class RayPool:
    """Starts workers across the nodes, each with a CPU, and a GPU if a model is loaded and there are enough GPUs.

    Args:
        setup: Configuration of the workers.
        address: "auto" for the cluster of this machine, "host:port", "ray://host:port", or "local" for a new one.
        count: Number of workers that will be started.

    Raises:
        BadInput: Ray is not installed, nothing answers at the address, or there are too few CPUs.
    """

    def __init__(self, setup: WorkerConfig, address: str, count: int) -> None:
        ray = import_optional("ray", "Ray is not installed: pip install 'qwenarm[ray]'.")
        self.setup, self.ray = setup, ray
        if not ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster started here sends no statistics
            try:
                _check_reachable(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (OSError, ValueError, RuntimeError, OverflowError) as error:
                raise BadInput(f"There is no Ray cluster at {address!r}: {error}") from error
        self.gpus = int(_needs_gpu(setup) and ray.cluster_resources().get("GPU", 0) >= count)
        if (cpus := int(ray.cluster_resources().get("CPU", 0))) < count:
            raise BadInput(f"--workers {count} is more than the {cpus} CPUs of the Ray cluster at {address!r}.")

    def start_worker(self) -> RayWorker:
        options = {"num_cpus": 1, "num_gpus": self.gpus, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
        handle = self.ray.remote(RayActor).options(**options).remote()
        return RayWorker(handle, handle.messages.options(num_returns="streaming").remote(self.setup))

    def receive(self, workers: Sequence[RayWorker]) -> list[tuple[RayWorker, Message]]:
        """Waits until at least one of them has sent a message."""
        ready, _ = self.ray.wait([worker.messages for worker in workers], num_returns=1)
        return [(worker, self._message_of(worker)) for worker in workers if worker.messages in ready]

    def _message_of(self, worker: RayWorker) -> Message:
        try:
            return self.ray.get(next(worker.messages))
        except StopIteration:
            return WorkerDied("it has ended")
        except self.ray.exceptions.RayError as error:
            return WorkerDied(f"{type(error).__name__}: {str(error).splitlines()[0]}")


def _check_reachable(address: str) -> None:
    """Raises OSError if no machine listens there; Ray itself would retry for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIME_S).close()


def _needs_gpu(setup: WorkerConfig) -> bool:
    asks = any(policy_entry(role).needs_model for role in setup.roles)
    return asks and not setup.config.model.startswith(URL_PREFIXES)
