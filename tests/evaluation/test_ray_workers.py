"""Over the nodes of a Ray cluster the same episodes come out as here, also when the process of one is killed."""

import os
from pathlib import Path

import pytest
from tests.evaluation.test_evaluate import DEADLY, contents, planned

from qwenarm.errors import BadInput
from qwenarm.evaluation.evaluate import evaluate
from qwenarm.evaluation.jobs import WorkerDied

ray = pytest.importorskip("ray")


@pytest.fixture
def nodes(monkeypatch, tmp_path):
    """The address of a cluster of two nodes with one CPU each, so that two workers are never on the same one."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    monkeypatch.setenv("DEADLY", str(tmp_path / "killed"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    small = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    cluster.add_node(**small)
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
def test_two_nodes_store_what_one_process_does_even_if_a_worker_is_killed(nodes, tmp_path, monkeypatch):
    what = planned(tasks=DEADLY, policy="random", controls="oracle")
    events = list(evaluate(what, tmp_path / "two", workers=2, ray=nodes))
    assert len({node["NodeID"] for node in ray.nodes() if node["Alive"]}) == 2
    assert (tmp_path / "killed").exists() and sum(isinstance(event, WorkerDied) for event in events) == 1
    monkeypatch.delenv("DEADLY")
    list(evaluate(what, tmp_path / "alone"))
    assert contents(tmp_path / "two") == contents(tmp_path / "alone")
    with pytest.raises(BadInput, match="more than the 2 CPUs"):
        list(evaluate(what, tmp_path / "three", workers=3, ray=nodes))


def test_an_address_where_nobody_answers_is_told(tmp_path):
    with pytest.raises(BadInput, match="no Ray cluster"):
        list(evaluate(planned(1), tmp_path, ray="127.0.0.1:1"))
