"""Views of one size in one pass of the target: the same embeddings, but for the norms' statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adept_training.data.loader import Batch
from adept_training.data.photometric import apply_colors
from adept_training.method.adept import Adept
from tests.training.method.test_waits import _batch


def _goals(model: Adept, batch: Batch) -> list[torch.Tensor]:
    images = [apply_colors(view.pixels_NHWC, view.colors, model.preprocessing) for view in batch.views]
    goals = model._goals(images, [batch.boxes1_S, (batch.boxes2,), (batch.boxes3,)])
    return [embedded.vectors_NPD for of_view in goals for embedded in of_view]


@pytest.mark.parametrize("sizes", ["[64,64,32]", "[64,32,64]", "[64,32,32]", "[64,64,64]", "[64,48,32]"])
@pytest.mark.parametrize("box_sets", ["shared", "separate"])
def test_without_batch_statistics_nothing_changes(tmp_path: Path, sizes: str, box_sets: str) -> None:
    found = []
    for target_pass in ("by_view", "by_size"):
        torch.manual_seed(0)
        settings = (f"method.target_pass={target_pass}", f"views.sizes={sizes}", f"views.box_sets={box_sets}")
        model, batch = _batch(tmp_path, *settings)
        model.target.eval()
        found.append(_goals(model, batch))
    assert len(found[0]) == (3 if box_sets == "shared" else 4)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_norms_see_the_views_that_share_a_pass_and_move_once_for_them(tmp_path: Path) -> None:
    passes = {}
    for target_pass in ("by_view", "by_size"):
        torch.manual_seed(0)
        model, batch = _batch(tmp_path, f"method.target_pass={target_pass}", "views.sizes=[64,64,32]")
        seen: list[int] = []
        model.target.parts.backbone.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(len(args[0])))
        _goals(model, batch)
        passes[target_pass] = seen
    assert passes == {"by_view": [4, 4, 4], "by_size": [8, 4]}
