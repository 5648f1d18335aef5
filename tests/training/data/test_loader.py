"""Order and samples: complete, repeatable, the same for one process and for two."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adept_hub.errors import ImagesError
from adept_training.data.loader import Batch, Order, Samples, Steps, make_loader
from tests.training.support import RandomBoxes, tiny, write_photographs


def _samples(folder: Path, count: int = 10) -> Samples:
    source = write_photographs(folder, count)
    recipe = tiny()
    return Samples(source, RandomBoxes(), tuple(source.keys()), recipe.views, recipe.colors, seed=3)


def _tensors(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in _tensors(item)] if isinstance(value, (tuple, list)) else [torch.tensor(value)]


def _equal(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(_tensors(a), _tensors(b), strict=True))


def test_an_epoch_sees_every_image_at_most_once_and_epochs_differ() -> None:
    order = Order(images=10, batch_size=3, seed=0)
    assert order.steps_per_epoch == 3, "the incomplete batch is dropped"
    epochs = [[order.places(3 * e + s) for s in range(3)] for e in range(2)]
    for e, batches in enumerate(epochs):
        indices = [index for batch in batches for _, index in batch]
        assert len(set(indices)) == 9
        assert {epoch for batch in batches for epoch, _ in batch} == {e}
    assert epochs[0] != [[(0, i) for _, i in batch] for batch in epochs[1]]


def test_two_processes_share_the_batch_of_one() -> None:
    one = Order(images=20, batch_size=4, seed=5)
    two = [Order(images=20, batch_size=4, seed=5, rank=r, world_size=2) for r in range(2)]
    for step in range(12):
        assert one.places(step) == two[0].places(step) + two[1].places(step)


def test_holes_lie_in_the_boxes_of_their_own_view(tmp_path: Path) -> None:
    """Crops of their own, one with boxes mostly elsewhere than the other's; a hole's middle is a point of its box."""
    source = write_photographs(tmp_path, 8)
    recipe = tiny("views.v3_mode=independent", "colors.cutout_prob=1.0", "views.sizes=[64,80,48]")
    samples = Samples(source, RandomBoxes(), tuple(source.keys()), recipe.views, recipe.colors, seed=3)
    others = 0
    for index in range(8):
        batch = samples[0, index]
        for view, boxes, other in ((1, batch.boxes2, batch.boxes3), (2, batch.boxes3, batch.boxes2)):
            holes_K4 = torch.as_tensor(batch.views[view].colors.holes_K4)
            assert (holes_K4[:, 2:] > holes_K4[:, :2]).all(), "one for each box"
            boxes_K4, size = torch.as_tensor(boxes.boxes_NK4), recipe.views.sizes[view]
            inside = (holes_K4 > 0).all(dim=1) & (holes_K4 < size).all(dim=1)  # not cut by the view's edge
            middle_K2 = (holes_K4[:, :2] + holes_K4[:, 2:]) / 2

            def within(boxes_K4: torch.Tensor, middle_K2: torch.Tensor = middle_K2) -> torch.Tensor:
                return ((middle_K2 >= boxes_K4[:, :2] - 1) & (middle_K2 <= boxes_K4[:, 2:] + 1)).all(dim=1)

            assert within(boxes_K4)[inside].all()
            others += int((~within(torch.as_tensor(other.boxes_NK4)))[inside].sum())
    assert others > 5, "the other view's boxes would be seen"


def test_workers_change_nothing_and_a_start_in_the_middle_continues(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    order = Order(10, 4, seed=1)
    plain = list(make_loader(samples, Steps(order, 0, 4), workers=0))
    assert len(plain) == 4
    for a, b in zip(plain, make_loader(samples, Steps(order, 0, 4), workers=2), strict=True):
        assert _equal(a, b)
    for a, b in zip(plain[2:], make_loader(samples, Steps(order, 2, 4), workers=0), strict=True):
        assert _equal(a, b)


def test_the_same_photograph_is_seen_anew_in_each_epoch(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    first, again, later = samples[0, 2], samples[0, 2], samples[1, 2]
    assert (first.views[1].pixels_NHWC == again.views[1].pixels_NHWC).all()
    assert first.seed_N == again.seed_N != later.seed_N
    assert (first.views[1].pixels_NHWC != later.views[1].pixels_NHWC).any()


def test_an_unreadable_photograph_is_replaced_and_counted(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    (tmp_path / "004.png").write_bytes(b"torn")
    (tmp_path / "005.png").unlink()
    batch = next(iter(make_loader(samples, Steps(Order(10, 10, seed=0), 0, 1), workers=0)))
    assert batch.replaced_N.sum() == 2
    # Of ten images in ten steps, the fourth and the fifth are the sixth.
    order = [index for _, index in Order(10, 10, seed=0).places(0)]
    assert batch.image_N.tolist() == [6 if index in (4, 5) else index for index in order]
    for index in (4, 5):
        sample = samples[0, index]
        assert (sample.replaced_N, sample.image_N) == (True, 6)


def test_a_folder_that_vanished_is_told(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(ImagesError, match="8 images in a row cannot be read"):
        samples[0, 0]
