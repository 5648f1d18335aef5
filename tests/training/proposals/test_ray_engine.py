"""What Ray is asked for, by a stand-in for it that runs a task when its result is fetched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from adept_hub.errors import MissingExtraError, ProposalsError
from adept_training.proposals.engines import run_tasks


class FakeRay:
    """Counts what is under way; ``fails`` is the task whose node is lost."""

    def __init__(self, initialized: bool = False, fails: int | None = None) -> None:
        self.initialized, self.fails = initialized, fails
        self.calls: list[str] = []
        self.pending: list[int] = []
        self.most = 0
        self.exceptions = SimpleNamespace(RaySystemError=ConnectionError)

    def is_initialized(self) -> bool:
        return self.initialized

    def init(self, **_: Any) -> None:
        self.calls.append("init")

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def remote(self, *, num_cpus: int) -> Callable[[Any], Any]:
        assert num_cpus == 1

        def wrap(function: Callable[..., Any]) -> Any:
            def submit(handle: Any, task: int) -> Any:
                self.pending.append(task)
                self.most = max(self.most, len(self.pending))
                return (function, handle, task)

            return SimpleNamespace(remote=submit)

        return wrap

    def put(self, value: Any) -> Any:
        return value

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def get(self, reference: Any) -> Any:
        function, work, task = reference
        self.pending.remove(task)
        if task == self.fails:
            raise ConnectionError("a node is lost")
        return function(work, task)

    def cancel(self, reference: Any) -> None:
        self.calls.append(f"cancel {reference[2]}")


def test_results_keep_their_order_and_few_tasks_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    assert list(run_tasks(lambda x: 10 * x, range(30), "ray", 1)) == [10 * x for x in range(30)]
    assert ray.most == 8, "four for each processor of the cluster"
    assert ray.calls == ["init", "shutdown"]


def test_a_cluster_that_is_connected_already_stays_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(initialized=True)
    monkeypatch.setitem(sys.modules, "ray", ray)
    tasks = run_tasks(lambda x: x, range(30), "ray", 1)
    assert [next(tasks), next(tasks)] == [0, 1]
    tasks.close()
    assert ray.calls == [f"cancel {task}" for task in range(2, 9)]


def test_a_cluster_that_fails_is_an_error_with_a_way_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(fails=3)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(ProposalsError, match=r"cluster failed: a node is lost\. .*\nRun the same command to resume"):
        list(run_tasks(lambda x: x, range(5), "ray", 1))
    assert ray.calls == ["init", "cancel 4", "shutdown"]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[ray\]'"):
        list(run_tasks(lambda x: x, range(5), "ray", 1))
