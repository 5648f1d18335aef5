"""Threads of the arithmetic and the CPUs that they run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adept_hub.cli.main import main
from adept_hub.errors import SourceError
from adept_training.finetuning import loop
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.runtime import cpus
from adept_training.runtime.cpus import available_cpus, use_threads


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_the_cpus_are_those_of_this_process() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert available_cpus() == len(allowed)


@pytest.mark.parametrize(
    ("files", "cpu_count"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 7),
        ({"cpu.max": "900000 100000\n"}, 7),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 7),
        ({"cpu.max": ""}, 7),
        ({}, 7),
    ],
)
def test_a_quota_of_a_container_counts(
    files: dict[str, str], cpu_count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(cpus, "_CGROUP", tmp_path)
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda pid: set(range(7)), raising=False)
    assert available_cpus() == cpu_count


def test_the_choice_of_torch_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(4)
    monkeypatch.setattr(cpus, "available_cpus", lambda: 2)
    use_threads(0)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("count", "cpu_count", "threads"), [(3, 2, 2), (3, 8, 3), (2, 1, 1), (0, 8, 1)])
def test_threads_never_outnumber_the_cpus(
    count: int, cpu_count: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "available_cpus", lambda: cpu_count)
    use_threads(count)
    assert torch.get_num_threads() == threads


def test_a_run_takes_the_threads_of_its_recipe_that_have_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "available_cpus", lambda: 3)
    loop.make_fabric(load_finetune_recipe("cpu_small", ["engine.threads=5"]), "cpu")
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("command", "work"),
    [
        ("predict adept_joint IMAGES --out OUT", "adept_hub.detectors.load.load_detector"),
        ("studio adept_joint --images IMAGES", "adept_training.studio.sources.open_source"),
        ("deploy RUN --to onnx --out OUT", "adept_training.deploying.deploy.deploy"),
        (
            "proposals refine BOXES --images IMAGES --model adept_joint --out OUT",
            "adept_training.proposals.refine.refine_proposals",
        ),
        ("demo --out OUT", "adept_hub.load_pretrained"),
        ("evaluate adept_joint --data voc:VOC", "adept_training.calls.finetuning.build_detector"),
        (
            "compare scratch --data voc:VOC --out OUT --image-counts 1 --seeds 1",
            "adept_training.comparing.runs.build_detector",
        ),
        (
            "fewshot scratch --data voc:VOC --out OUT --shots 1 --seeds 1",
            "adept_training.comparing.runs.build_detector",
        ),
        ("finetune scratch --data voc:VOC --out OUT", "adept_training.finetuning.run.build_detector"),
    ],
    ids=lambda text: text.split()[0],
)
def test_a_command_uses_no_more_threads_than_cpus(
    command: str, work: str, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def count_threads(*_: object, **__: object) -> object:
        counted.append(torch.get_num_threads())
        raise SourceError("counted")

    monkeypatch.setattr(work, count_threads)
    monkeypatch.setattr("adept_training.cli.deploy.check_run", lambda *_: None)
    monkeypatch.setattr("adept_hub.detectors.folder.find_detector", lambda _: tmp_path)
    monkeypatch.setattr(cpus, "available_cpus", lambda: 2)
    torch.set_num_threads(5)
    places = {"IMAGES": voc / "JPEGImages", "voc:VOC": f"voc:{voc}"}
    places |= {name: tmp_path / name.lower() for name in ("OUT", "RUN", "BOXES")}
    assert main([str(places.get(word, word)) for word in command.split()]) == 1
    assert counted == [2]
