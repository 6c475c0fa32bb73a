"""A few demonstrations, collected once for all workers."""

from pathlib import Path

import pytest
from filelock import FileLock

from qwenarm.mind.checkpoints.load import locate
from qwenarm.mind.inference.preprocessing import PromptEncoder
from qwenarm.train.batches import Example, Reader, values_in
from qwenarm.train.collect import collect_all, plan_jobs
from qwenarm.train.dataset import Shard, read_shards
from qwenarm.types import RunConfig

ORACLE = RunConfig(policy="oracle", combos="seen")
TASKS = ("put", "rearrange", "parcels")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Made by the worker that needs it first: what is there is not made again."""
    own = tmp_path_factory.getbasetemp()
    out = (own if worker_id == "master" else own.parent) / "demonstrations"
    with FileLock(f"{out}.lock"):
        list(collect_all(plan_jobs(ORACLE, TASKS, [1], [""], 2), out))
    assert sum(len(shard.lines) for shard in read_shards([out])) > 10
    return out


@pytest.fixture(scope="session")
def shards(folder: Path) -> list[Shard]:
    return read_shards([folder])


@pytest.fixture(scope="session")
def examples(shards: list[Shard]) -> list[Example]:
    return [(shard, line) for shard in shards for line in shard.lines]


@pytest.fixture(scope="session")
def reader(shards: list[Shard]) -> Reader:
    """Of the bundled checkpoint as it is."""
    return Reader(PromptEncoder(locate("bundled")), values_in(shards))
