"""Workers on the machines of a Ray cluster (extra ``ray``). Every node needs qwenarm, and the model within its reach.

Where a node has no renderer or key of its own in its environment, nothing is sent along: set them where Ray is started.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from qwenarm.errors import BadInput
from qwenarm.evaluation.workers import Died, Job, Message, Setting, serve
from qwenarm.mind.model_spec import URLS
from qwenarm.policies import policy_entry

ANSWERS_IN_S = 10.0


class Player:
    """The actor. ``messages`` runs in one thread for as long as it lives; ``give`` is called beside it."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()

    def give(self, job: Job | None) -> None:
        self.jobs.put(job)

    def messages(self, setting: Setting) -> Iterator[Message]:
        yield from serve(setting, iter(self.jobs.get, None))


@dataclass(eq=False)
class Actor:
    """One worker on some node."""

    handle: Any
    messages: Any

    def give(self, job: Job | None) -> None:
        self.handle.give.remote(job)

    def stop(self) -> None:
        import ray

        ray.kill(self.handle)


class Cluster:
    """Workers spread over the nodes, a CPU each, and a GPU each where a model is loaded and there are enough of them.

    address: "auto" for the cluster of this machine, "host:port", "ray://host:port", or "local" for one of its own.
    Raises BadInput when Ray is not installed or nothing answers there.
    """

    def __init__(self, setting: Setting, address: str, count: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise BadInput("Ray is not installed: pip install 'qwenarm[ray]'.") from error
        self.setting, self.ray = setting, ray
        if not ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that begins here reports to nobody
            try:
                _knock(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (OSError, ValueError, RuntimeError) as error:
                raise BadInput(f"There is no Ray cluster at {address!r}: {error}") from error
        self.gpus = int(_wants_gpu(setting) and ray.cluster_resources().get("GPU", 0) >= count)
        if (cpus := int(ray.cluster_resources().get("CPU", 0))) < count:
            raise BadInput(f"--workers {count} is more than the {cpus} CPUs of the Ray cluster at {address!r}.")

    def hire(self) -> Actor:
        options = {"num_cpus": 1, "num_gpus": self.gpus, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
        handle = self.ray.remote(Player).options(**options).remote()
        return Actor(handle, handle.messages.options(num_returns="streaming").remote(self.setting))

    def hear(self, members: Sequence[Actor]) -> list[tuple[Actor, Message]]:
        ready, _ = self.ray.wait([member.messages for member in members], num_returns=1)
        return [(member, self._word_of(member)) for member in members if member.messages in ready]

    def _word_of(self, member: Actor) -> Message:
        try:
            return self.ray.get(next(member.messages))
        except StopIteration:
            return Died("it has ended")
        except self.ray.exceptions.RayError as error:
            return Died(f"{type(error).__name__}: {str(error).splitlines()[0]}")


def _knock(address: str) -> None:
    """Raises OSError where no machine listens: Ray itself would go on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), ANSWERS_IN_S).close()


def _wants_gpu(setting: Setting) -> bool:
    asks = any(policy_entry(role).needs_model for role in setting.roles)
    return asks and not setting.config.model.startswith(URLS)
