"""The same work on a real Ray cluster of two nodes on this machine."""

import signal

import numpy as np
import pytest

from adept_training.proposals import run_proposals
from tests.training.proposals.test_run import content_of, photographs, undisturbed  # noqa: F401 - fixtures

ray = pytest.importorskip("ray")


@pytest.fixture
def two_nodes():
    from ray.cluster_utils import Cluster

    before = signal.getsignal(signal.SIGTERM)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield
    ray.shutdown()
    cluster.shutdown()
    signal.signal(signal.SIGTERM, before)  # Ray's own would stay


@pytest.mark.slow
def test_a_cluster_of_two_nodes_gives_the_same_table(photographs, undisturbed, two_nodes, tmp_path):  # noqa: F811
    assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    run_proposals(photographs, tmp_path / "table", engine="ray", shard_size=3)
    assert content_of(tmp_path / "table") == content_of(undisturbed)


@pytest.mark.slow
def test_both_nodes_work_and_results_keep_their_order(two_nodes):
    from adept_training.proposals.engines import run_tasks

    def where(number):
        import time

        time.sleep(0.2)
        return number, ray.get_runtime_context().get_node_id()

    results = list(run_tasks(where, range(12), "ray", 1))
    assert [number for number, _ in results] == list(range(12))
    assert len(np.unique([node for _, node in results])) == 2
