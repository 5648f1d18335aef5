"""Strong augmentation: every object is painted where its box and mask are, so the pixels tell where they must be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from adept_training.finetuning import augment, paste, samples
from adept_training.finetuning.augment import View, strong_view
from adept_training.finetuning.paste import paste_objects
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.samples import Batches, LabeledSamples, make_batches
from tests.training.made import image, split

HEIGHT, WIDTH = 60, 100
#: Two objects near the left and lower edges, and a crowd; none is in the middle of the image.
BOXES = ((4.0, 6, 24, 30), (30, 40, 58, 56))
CROWD = (70.0, 10, 90, 40)
COLORS = ((200, 0, 0), (0, 0, 200), (0, 200, 0))


def _painted(masks: bool = False) -> View:
    pixels_CHW = torch.full((3, HEIGHT, WIDTH), 60, dtype=torch.uint8)
    masks_MHW = torch.zeros((2, HEIGHT, WIDTH), dtype=torch.uint8)
    for place, ((x1, y1, x2, y2), color) in enumerate(zip((*BOXES, CROWD), COLORS, strict=True)):
        window = (slice(int(y1), int(y2)), slice(int(x1), int(x2)))
        pixels_CHW[:, window[0], window[1]] = torch.tensor(color, dtype=torch.uint8)[:, None, None]
        if place < 2:
            masks_MHW[place][window] = 1
    target = {"boxes": torch.tensor(BOXES), "labels": torch.tensor([2, 1])}
    return View(pixels_CHW, {**target, **({"masks": masks_MHW} if masks else {})}, torch.tensor([CROWD]))


def _seen(view: View, color: tuple[int, int, int]) -> Tensor:
    """Return the pixels of a color; scaled edges are mixed with gray, so a pixel belongs to whom most of it is."""
    distance_HW = (view.pixels_CHW.int() - torch.tensor(color)[:, None, None]).abs().amax(dim=0)
    return distance_HW < 75


def _box(seen_HW: Tensor) -> list[int]:
    rows, columns = torch.nonzero(seen_HW, as_tuple=True)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def _grown(mask_HW: Tensor) -> Tensor:
    return functional.max_pool2d(mask_HW[None].float(), 3, 1, 1)[0] > 0


@pytest.fixture
def geometry_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "_COLORS", v2.Identity())
    monkeypatch.setattr(augment, "_ERASE", v2.Identity())


@pytest.mark.usefixtures("geometry_only")
@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_boxes_masks_and_crowds_stay_on_their_pixels(flip: float, masks: bool) -> None:
    sizes, numbers = set(), set()
    for seed in range(30):
        view = strong_view(_painted(masks), flip, (seed, 1, 2))
        assert view.pixels_CHW.shape == (3, HEIGHT, WIDTH)
        assert view.pixels_CHW.dtype == torch.uint8
        kept = dict(zip(view.target["labels"].tolist(), range(9), strict=False))
        numbers.add(len(kept))
        for label, color in ((2, COLORS[0]), (1, COLORS[1])):
            seen_HW = _seen(view, color)
            if label not in kept:
                assert seen_HW.sum() <= 2 * max(HEIGHT, WIDTH), "at most a line of a pixel"
                continue
            box = view.target["boxes"][kept[label]]
            assert (box - torch.tensor(_box(seen_HW))).abs().max() <= 1
            if masks:
                mask_HW = view.target["masks"][kept[label]].bool()
                assert not (mask_HW & ~_grown(seen_HW)).any(), "torch's nearest pixel is one off at most"
                assert not (seen_HW & ~_grown(mask_HW)).any()
                assert box.tolist() == _box(view.target["masks"][kept[label]])
        if len(view.ignored_K4):
            assert (view.ignored_K4[0] - torch.tensor(_box(_seen(view, COLORS[2])))).abs().max() <= 1
        if len(kept) == 2:
            x1, y1, x2, y2 = view.target["boxes"][kept[2]].tolist()
            left_of = x1 < view.target["boxes"][kept[1]][0]
            assert left_of == (flip == 0), "red is left of blue, unless mirrored"
            sizes.add(round((x2 - x1) / (y2 - y1), 1))
            sizes.add(round(x2 - x1))
    assert len(sizes) > 8
    assert {1, 2} <= numbers, "crops lose objects"


@pytest.mark.usefixtures("geometry_only")
def test_a_fixed_scale_worked_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """At half the size red is 10 x 12 pixels with its corner at (2, 3) of the small image, wherever that lies."""
    monkeypatch.setattr(augment, "SCALES", (0.5, 0.5))
    for seed in range(5):
        view = strong_view(_painted(), 0.0, (seed,))
        red, blue = view.target["boxes"]
        assert (red[2:] - red[:2]).tolist() == [10, 12]
        assert (blue - red).tolist() == [13, 17, 17, 13], "(30, 40, 58, 56) - (4, 6, 24, 30), halved"
        assert (view.ignored_K4[0] - red).tolist() == [33, 2, 33, 5]


def test_erasing_spares_boxes_and_crowds_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "_COLORS", v2.Identity())
    monkeypatch.setattr(augment, "SCALES", (1.0, 1.0))
    plain, erased = _painted(), 0
    for seed in range(20):
        view = strong_view(plain, 0.0, (seed,))
        changed_HW = (view.pixels_CHW != plain.pixels_CHW).any(dim=0)
        for x1, y1, x2, y2 in (*BOXES, CROWD):
            assert not changed_HW[int(y1) : int(y2), int(x1) : int(x2)].any()
        erased += int(changed_HW.sum())
    assert erased / 20 > 0.02 * HEIGHT * WIDTH


def test_colors_change_and_boxes_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "_ERASE", v2.Identity())
    monkeypatch.setattr(augment, "SCALES", (1.0, 1.0))
    means = []
    for seed in range(10):
        view = strong_view(_painted(), 0.0, (seed,))
        assert torch.equal(view.target["boxes"], torch.tensor(BOXES))
        means.append(view.pixels_CHW.float().mean(dim=(1, 2)))
    assert torch.stack(means).std(dim=0).min() > 1


def test_it_is_a_function_of_its_key_and_leaves_torch_s_generator_alone() -> None:
    one, again, other = (strong_view(_painted(), 0.5, key) for key in ((1, 2, 3), (1, 2, 3), (1, 2, 4)))
    assert torch.equal(one.pixels_CHW, again.pixels_CHW)
    assert torch.equal(one.target["boxes"], again.target["boxes"])
    assert not torch.equal(one.pixels_CHW, other.pixels_CHW)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    strong_view(_painted(), 0.5, (1,))
    paste_objects(_painted(), _painted(), (1,))
    assert torch.equal(torch.rand(3), expected)


class _Draws:
    """A generator whose draws are given: a number in [0, 1) per object, then its top and left."""

    def __init__(self, *draws: float) -> None:
        self.draws: Iterator[float] = iter(draws)

    def random(self) -> float:
        return next(self.draws)

    def integers(self, stop: int) -> int:
        value = int(next(self.draws))
        assert 0 <= value < stop
        return value


def _paste(onto: View, donor: View, monkeypatch: pytest.MonkeyPatch, *draws: float) -> View:
    monkeypatch.setattr(paste.np.random, "default_rng", lambda _: _Draws(*draws))
    return paste_objects(onto, donor, (0,))


def _gray(*boxes: tuple[float, ...], masks: bool = False) -> View:
    target = {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.full((len(boxes),), 3)}
    if masks:
        target["masks"] = torch.zeros((len(boxes), HEIGHT, WIDTH), dtype=torch.uint8)
        for mask_HW, (x1, y1, x2, y2) in zip(target["masks"], boxes, strict=True):
            mask_HW[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return View(torch.full((3, HEIGHT, WIDTH), 9, dtype=torch.uint8), target, torch.zeros(0, 4))


def test_a_paste_worked_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red, 20 x 24, goes to (70, 30); blue is not drawn. The crowd never is."""
    pasted = _paste(_gray((0.0, 0, 10, 10)), _painted(), monkeypatch, 0.1, 30, 70, 0.9)
    assert pasted.target["boxes"].tolist() == [[0, 0, 10, 10], [70, 30, 90, 54]]
    assert pasted.target["labels"].tolist() == [3, 2]
    assert _box(_seen(pasted, COLORS[0])) == [70, 30, 90, 54]
    assert (pasted.pixels_CHW == 9).all(dim=0).sum() == HEIGHT * WIDTH - 20 * 24


def test_no_box_is_hidden_by_more_than_half_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The box (60, 20, 80, 44) loses 4/10 to red; another 2/10 for blue would be too much at every location tried."""
    five = (33, 50) * 5  # blue's 28 x 16 at (50, 33): 18 x 11 of the box's 20 x 24
    pasted = _paste(_gray((60.0, 20, 80, 44)), _painted(), monkeypatch, 0.1, 20, 48, 0.1, *five)
    assert pasted.target["boxes"].tolist() == [[60, 20, 80, 44], [48, 20, 68, 44]]
    over = _paste(_gray((60.0, 20, 80, 44)), _painted(), monkeypatch, 0.1, *(20, 52) * 5, 0.9)  # 12 of 20 columns
    assert over.target["labels"].tolist() == [3]
    assert (over.pixels_CHW == 9).all()


def test_boxes_that_overlap_others_or_a_crowd_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    donor = _painted()
    for boxes, ignored in (
        ([BOXES[0], (20.0, 28, 40, 50)], [CROWD]),  # a neighbor comes along
        ([BOXES[0]], [(20.0, 28, 40, 50)]),  # a crowd does
    ):
        target = {"boxes": torch.tensor(boxes), "labels": torch.ones(len(boxes), dtype=torch.int64)}
        other = View(donor.pixels_CHW, target, torch.tensor(ignored))
        assert len(_paste(_gray(), other, monkeypatch, *[0.1] * len(boxes)).target["labels"]) == 0


def test_pasted_masks_hide_those_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red's mask is an upper triangle; it covers the first two rows of a box of 10 x 4 in all but two pixels."""
    donor = _painted(masks=True)
    donor.target["masks"][0] = donor.target["masks"][0].triu(diagonal=-2)
    onto = _gray((40.0, 10, 50, 14), (40, 10, 50, 12), masks=True)
    pasted = _paste(onto, donor, monkeypatch, 0.1, 10, 40, 0.9)
    shape_HW = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    shape_HW[10:34, 40:60] = torch.ones(24, 20).triu(diagonal=0).bool()
    assert torch.equal(pasted.target["masks"][-1].bool(), shape_HW)
    assert torch.equal(_seen(pasted, COLORS[0]), shape_HW)
    assert pasted.target["boxes"].tolist() == [[40, 11, 43, 14], [40, 11, 41, 12], [40, 10, 60, 30]]
    assert pasted.target["masks"][0].sum() == 1 + 2 + 3
    gone = _paste(_gray((45.0, 10, 50, 12), masks=True), donor, monkeypatch, 0.1, 10, 40, 0.9)
    assert gone.target["labels"].tolist() == [2], "a mask that is hidden wholly leaves"


def test_samples_of_a_batch_are_strong_the_same_in_every_process(tmp_path: Path) -> None:
    def made(name: str, flip: float = 0.5) -> LabeledSamples:
        return LabeledSamples.of(truth, False, flip, 3, name)

    for name in "ab":
        pixels_HWC = _painted().pixels_CHW.permute(1, 2, 0)[:60, :60].numpy()
        Image.fromarray(pixels_HWC).save(tmp_path / f"{name}.png")
    rows = [image(f"{tmp_path}/{name}", [BOXES[0], (30, 40, 58, 56), (2, 45, 9, 58)], [2, 1, 1], [2], side=60)
            for name in "ab"]  # fmt: skip
    truth = split(*(_as_png(row) for row in rows))
    assert [boxes.tolist() for boxes in made("strong").ignored] == [[[2, 45, 9, 58]]] * 2
    both = [list(make_batches(made("strong"), Batches(2, 2, 3, 0, 3), workers)) for workers in (0, 2)]
    for one, two in zip(*both, strict=True):
        for (pixels, target), (pixels2, target2) in zip(one, two, strict=True):
            assert torch.equal(pixels, pixels2)
            assert torch.equal(target["boxes"], target2["boxes"])
    assert max(len(target["labels"]) for batch in both[0] for _, target in batch) > 2, "objects are pasted"
    flipped, plain = made("flip_scale", 1.0)[(0, 0)], made("none", 1.0)[(0, 0)]
    assert torch.equal(plain[0], torch.from_numpy(np.array(Image.open(tmp_path / "a.png"))).permute(2, 0, 1))
    assert torch.equal(flipped[0], plain[0].flip(-1))


def test_pastes_are_a_function_of_seed_epoch_and_image(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[tuple[int, ...]] = []
    monkeypatch.setattr(samples, "paste_objects", lambda onto, donor, key: keys.append(key) or onto)
    monkeypatch.setattr(samples, "readable_pixels", lambda _: _painted().pixels_CHW.permute(1, 2, 0).numpy())
    rows = split(*(image(name, [BOXES[0]], [1]) for name in "abc"))
    LabeledSamples.of(rows, False, 0.5, 3, "strong").__getitems__([(0, 2), (1, 0)])
    assert keys == [(3, 0, 2), (3, 1, 0)]


def _as_png(row):
    import dataclasses

    return dataclasses.replace(row, path=row.path.with_suffix(".png"))


def test_sides_of_training_follow_the_augmentation() -> None:
    settings = ["detector.train_sides=[64,96]", "detector.test_side=80"]
    sides = {
        name: load_finetune_recipe(None, [*settings, f"engine.augment={name}"]).training_sides
        for name in ("none", "flip_scale", "strong")
    }
    assert sides == {"none": (80,), "flip_scale": (64, 96), "strong": (64, 96)}
    assert load_finetune_recipe().engine.augment == "flip_scale"
