"""What a step asks its device on the way: each answer would make a GPU wait for all work before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adept_training.data.loader import Batch, Order, Samples, Steps, make_loader
from adept_training.method import rpn
from adept_training.method.adept import Adept
from tests.training.support import RandomBoxes, tiny, write_photographs

#: Operations whose result or its size the host must learn, and those that carry Python numbers to the device.
_WAITS = ("nonzero", "_local_scalar_dense", "masked_select", "is_nonzero", "equal", "lift_fresh", "_unique2")


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masks = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in _WAITS or masks:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def _batch(folder: Path, *settings: str) -> tuple[Adept, Batch]:
    source, recipe = write_photographs(folder, 4), tiny("colors.jitter_prob=1.0", "colors.blur_prob=[1,1,1]", *settings)
    samples = Samples(source, RandomBoxes(), tuple(source.keys()), recipe.views, recipe.colors, seed=0)
    batch = next(iter(make_loader(samples, Steps(Order(4, 4, 0), 0, 1), workers=0)))
    return Adept(recipe.model, recipe.method, recipe.views.sizes).train(), batch


def _waits(run: Callable[[], Any]) -> Counter[str]:
    run()  # makes the constants
    with _Counting() as counting:
        run()
    return counting.seen


def test_soco_never_waits_for_the_device(tmp_path: Path) -> None:
    model, batch = _batch(tmp_path, "method.name=soco", "colors.cutout_prob=1.0")
    assert not _waits(lambda: model(batch).loss.backward())


def test_the_rpn_waits_for_its_positive_anchors_and_the_coder_of_their_boxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a CPU, where nothing waits, boxes that do not count are left out first.
    monkeypatch.setattr(rpn, "_best_overlap", lambda *args: rpn._overlaps(*args).amax(dim=1))
    model, batch = _batch(tmp_path, "method.name=adept_joint")
    assert _waits(lambda: model(batch).loss.backward()) == {"nonzero": 1, "lift_fresh": 1}


def test_without_a_plan_colors_wait_for_the_device(tmp_path: Path) -> None:
    """What the plan is for, and that this file's counting sees it."""
    model, batch = _batch(tmp_path, "method.name=soco")
    bare = batch._replace(views=tuple(view._replace(plan=()) for view in batch.views))  # type: ignore[arg-type]
    assert _waits(lambda: model(bare).loss)["nonzero"] >= 3 * 17
    torch.testing.assert_close(model.eval()(bare).loss, model(batch).loss, atol=0, rtol=0)


def test_infonce_never_waits_for_the_device(tmp_path: Path) -> None:
    settings = ("method.name=soco", "method.objective=infonce", "method.same_image_negatives=true")
    model, batch = _batch(tmp_path, *settings)
    assert not _waits(lambda: model(batch).loss.backward())
