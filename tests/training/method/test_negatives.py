"""Further and fewer negatives of InfoNCE: a queue of past features, and the most similar ones left out."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import adept_training.pretraining.pretrain as module
from adept_hub.errors import RecipeError
from adept_training.method.adept import Adept
from adept_training.method.infonce import Entries, Past, Queue, infonce
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import pretrain
from adept_training.runtime.state import saved_states
from tests.training.method.test_infonce import IDS_P, IDS_Q, D, T, entries, slow
from tests.training.support import RandomBoxes, tiny, write_photographs

QUEUED = ("views.sizes=[32,32,32]", "method.name=soco", "method.objective=infonce", "method.queue=40")


@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize("drop", [0.0, 0.3, 0.9])
def test_queued_features_of_other_images_are_negatives_and_the_nearest_are_left_out(drop: float, boxes: bool) -> None:
    one, two = entries(0, IDS_P, boxes=boxes), entries(1, IDS_Q, boxes=boxes)
    vectors = torch.randn(5, D, generator=torch.Generator().manual_seed(9)).double()
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    past = Past(vectors, torch.tensor([5, 77, -1, 2, 8]))
    kept = tuple((vectors[i].tolist(), image) for i, image in ((0, 5), (1, 77), (3, 2), (4, 8)))
    wanted, fast = slow(one, two, drop=drop, past=kept), infonce(one, two, T, drop=drop, past=past)
    assert fast.item() == pytest.approx(wanted.item(), abs=1e-6)
    gradients = [torch.autograd.grad(loss, one.vectors_NPD)[0] for loss in (wanted, fast)]
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-6, rtol=1e-5)
    assert fast.item() != pytest.approx(infonce(one, two, T).item(), abs=1e-3)


def test_a_queue_keeps_the_newest_of_each_view() -> None:
    queue = Queue(5, D).double()
    ids = torch.tensor([[0, -1], [3, 3]])
    pushed = []
    for step in range(3):
        vectors = torch.randn(2, 2, D, generator=torch.Generator().manual_seed(step)).double()
        queue.push(Entries(3 * vectors, ids, torch.tensor([10 * step, 10 * step + 1])), view=1)
        unit = torch.nn.functional.normalize(vectors, dim=2)
        pushed = [unit[0, 0], unit[1, 0], unit[1, 1], *pushed]
        past = queue.past(1)
        count = min(len(pushed), 5)
        torch.testing.assert_close(past.vectors_QD[:count], torch.stack(pushed[:count]))
        assert (past.image_Q[count:] == -1).all()
    assert queue.past(1).image_Q.tolist() == [20, 21, 21, 10, 11]
    assert (queue.past(0).image_Q == queue.past(2).image_Q).all()
    assert (queue.past(0).image_Q == -1).all()


def _state(folder: Path) -> dict[str, Any]:
    return torch.load(saved_states(folder / "checkpoints")[-1], weights_only=True)["model"]


def test_a_run_with_a_queue_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, real = write_photographs(tmp_path / "p", 12), module.update_target
    warm = []

    def run(name: str, **options: Any) -> None:
        recipe = tiny(*QUEUED, "method.drop_similar=0.2", "schedule.warmup_epochs=1")
        pretrain(recipe, source, RandomBoxes(), tmp_path / name, asked=Asked(report=False), **options)

    forward = Adept.forward

    def spy(self: Adept, batch: Any) -> Any:
        warm.append(self.warm)
        return forward(self, batch)

    monkeypatch.setattr(Adept, "forward", spy)
    run("whole")
    assert warm == [False] * 3 + [True] * 3, "one epoch of warm-up"
    with monkeypatch.context() as patch:
        patch.setattr(module, "update_target", lambda *a: (real(*a), os.kill(os.getpid(), signal.SIGTERM)))
        run("parts")
    run("parts", resume=True)
    whole, parts = _state(tmp_path / "whole"), _state(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert (whole["queue.image_VQ"] >= 0).all(), "three steps of 16 boxes fill 40 places of each view"
    assert whole["queue.vectors_VQD"].flatten(0, 1).unique(dim=0).shape[0] > 100
    losses = [json.loads(line).get("loss") for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    plain = tiny("views.sizes=[32,32,32]", "method.name=soco", "method.objective=infonce", "schedule.warmup_epochs=1")
    pretrain(plain, source, RandomBoxes(), tmp_path / "plain", asked=Asked(report=False))
    others = [json.loads(line).get("loss") for line in (tmp_path / "plain" / "log.jsonl").read_text().splitlines()]
    (first, second), (alike, other) = ([x for x in some if x is not None][:2] for some in (losses, others))
    assert first == alike, "the queue is empty"
    assert second > other + 0.1, "more negatives"


@pytest.mark.parametrize("setting", ["method.queue=64", "method.drop_similar=0.1"])
def test_they_belong_to_an_objective_with_negatives(setting: str) -> None:
    with pytest.raises(RecipeError, match=r"--set method.objective=infonce$"):
        tiny(setting)
    recipe = tiny(setting, "method.objective=infonce", "method.name=soco")
    assert (Adept(recipe.model, recipe.method, recipe.views.sizes).queue is not None) == (recipe.method.queue > 0)
