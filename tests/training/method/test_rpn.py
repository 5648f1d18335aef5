"""Eq. 1 against torchvision's RegionProposalNetwork, torchvision's own matcher, and numbers worked by hand.

Legend: N images, K boxes, A anchors, L levels.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, concat_box_prediction_layers
from torchvision.ops import box_iou

from adept_hub.models.anchors import ExactAnchorGenerator
from adept_hub.models.parts import DetectorParts
from adept_hub.spec import AnchorSpec
from adept_training.method import rpn
from adept_training.method.rpn import (
    IGNORED,
    NEGATIVE,
    POSITIVE,
    RPNRecipe,
    flatten_outputs,
    label_anchors,
    make_anchors,
    rpn_loss,
    sample_anchors,
)
from tests.conftest import SMALL

RECIPE = RPNRecipe()
EVERY = RPNRecipe(batch_per_image=100_000, positive_fraction=0.5)


def _maps(view: int, images: int = 2, channels: int = 1) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(images, channels, -(-view // s), -(-view // s)) for s in (4, 8, 16, 32)]


def _boxes(images: int, count: int, view: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(images, count, 2, generator=generator) * view * 0.5
    side = (0.2 + 0.3 * torch.rand(images, count, 2, generator=generator)) * view
    return torch.cat([corner, corner + side], dim=2)


def test_a_view_of_224_has_the_papers_12495_anchors() -> None:
    anchors = make_anchors(AnchorSpec(), _maps(224))
    assert [len(a) for a in anchors] == [9408, 2352, 588, 147]
    assert sum(len(a) for a in anchors) == 12_495
    # The first of P4: 96 px square root of area, height / width 1/2, centered on the origin.
    torch.testing.assert_close(anchors[2][0], torch.tensor([-67.8823, -33.9411, 67.8823, 33.9411]), atol=1e-3, rtol=0)


def test_anchors_of_a_map_wider_than_high_go_row_by_row() -> None:
    anchors = make_anchors(AnchorSpec(), [torch.zeros(1, 1, 2, 3), *_maps(32)[1:]])[0]
    centers = (anchors[:, :2] + anchors[:, 2:]).reshape(-1, 3, 2)[:, 1] / 2
    assert centers.tolist() == [[0, 0], [4, 0], [8, 0], [0, 4], [4, 4], [8, 4]]


def test_outputs_are_flattened_in_torchvisions_order() -> None:
    maps = _maps(64)
    logits = [torch.randn(2, 3, *m.shape[2:]) for m in maps]
    deltas = [torch.randn(2, 12, *m.shape[2:]) for m in maps]
    ours, ours_deltas = flatten_outputs(logits, deltas)
    theirs, theirs_deltas = concat_box_prediction_layers(logits, deltas)
    torch.testing.assert_close(ours.reshape(-1, 1), theirs)
    torch.testing.assert_close(ours_deltas.reshape(-1, 4), theirs_deltas)


def test_labels_are_those_of_torchvisions_matcher() -> None:
    anchors = torch.cat(make_anchors(AnchorSpec(), _maps(224)))
    boxes = _boxes(6, 4, 224)
    labels, index = label_anchors(anchors, boxes, torch.ones(6, 4, dtype=torch.bool), RECIPE)
    matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)
    for image in range(6):
        overlap = box_iou(boxes[image], anchors)
        matched = matcher(overlap)
        expected = torch.where(matched >= 0, POSITIVE, torch.where(matched == -1, NEGATIVE, IGNORED))
        assert torch.equal(labels[image].long(), expected)
        assert torch.equal(index[image][matched >= 0], matched[matched >= 0])


def test_labels_by_hand() -> None:
    anchors = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 2], [40, 40, 50, 50], [20, 20, 24, 24.0]])
    boxes = torch.tensor([[[0, 0, 10, 10], [20, 20, 30, 30.0]]])
    labels, index = label_anchors(anchors, boxes, torch.tensor([[True, True]]), RECIPE)
    # IoU with the first box 1, .6, .2, 0, 0; the second box's best anchor has only .16.
    assert labels.tolist() == [[POSITIVE, IGNORED, NEGATIVE, NEGATIVE, POSITIVE]]
    assert index[0, 4] == 1
    labels, _ = label_anchors(anchors, boxes, torch.tensor([[True, False]]), RECIPE)
    assert labels.tolist() == [[POSITIVE, IGNORED, NEGATIVE, NEGATIVE, NEGATIVE]]


def test_anchors_on_boxes_that_were_not_drawn_can_be_ignored() -> None:
    anchors = torch.tensor([[0, 0, 10, 10], [40, 40, 50, 50], [60, 60, 70, 70.0]])
    boxes, others = torch.tensor([[[0, 0, 10, 10.0]]]), torch.tensor([[[40, 40, 50, 48], [60, 60, 70, 70.0]]])
    valid = torch.ones(1, 1, dtype=torch.bool)
    labels, _ = label_anchors(anchors, boxes, valid, RECIPE, (others, torch.tensor([[True, False]])))
    assert labels.tolist() == [[POSITIVE, IGNORED, NEGATIVE]]


def test_a_positive_stays_one_whatever_it_overlaps_besides() -> None:
    """By its overlap, or as the best that a box has: an undrawn box at the same place takes nothing away."""
    anchors = torch.tensor([[0, 0, 10, 10], [40, 40, 50, 50], [70, 70, 80, 80.0]])
    boxes = torch.tensor([[[0, 0, 10, 9], [43, 43, 50, 50.0]]])  # IoU .9 with the first, .49 with the second
    others = (torch.tensor([[[0, 0, 10, 10], [40, 40, 50, 50], [70, 70, 80, 80.0]]]), torch.ones(1, 3) > 0)
    labels, index = label_anchors(anchors, boxes, torch.ones(1, 2, dtype=torch.bool), RECIPE, others)
    assert labels.tolist() == [[POSITIVE, POSITIVE, IGNORED]]
    assert index[0, :2].tolist() == [0, 1]


def test_a_negative_that_overlaps_an_undrawn_box_by_half_stays_one() -> None:
    """It is ignored from ``positive_iou`` (0.7) on; anything between this and ``negative_iou`` (0.3) is background."""
    anchors, boxes = torch.tensor([[40, 40, 50, 45], [40, 40, 50, 48.0]]), torch.tensor([[[0, 0, 10, 10.0]]])
    others = (torch.tensor([[[40, 40, 50, 50.0]]]), torch.tensor([[True]]))
    labels, _ = label_anchors(anchors, boxes, torch.ones(1, 1, dtype=torch.bool), RECIPE, others)
    assert labels.tolist() == [[NEGATIVE, IGNORED]]


def test_overlaps_image_by_image_are_those_of_the_batch() -> None:
    generator = torch.Generator().manual_seed(3)
    anchors, boxes = (torch.rand(*shape, 4, generator=generator) * 50 for shape in ((300,), (5, 9)))
    anchors[:, 2:] += anchors[:, :2]
    boxes[..., 2:] += boxes[..., :2]
    valid = torch.rand(5, 9, generator=generator) < 0.4
    valid[2] = False
    ours = rpn._best_overlap(anchors, boxes, valid)
    assert torch.equal(ours, rpn._overlaps(anchors, boxes, valid).amax(dim=1))
    assert (ours[2] == -1).all()


def test_an_overlap_of_exactly_a_threshold_is_positive_and_no_longer_negative() -> None:
    """As Detectron2's Matcher: [0, 0.25) is background, [0.25, 0.5) ignored, [0.5, 1] an object; the best is 0.8."""
    heights = torch.tensor([8.0, 5.0, 4.0, 2.5, 2.0])
    anchors = torch.stack([heights * 0, heights * 0, heights * 0 + 10, heights], dim=1)
    boxes, valid = torch.tensor([[[0, 0, 10, 10.0]]]), torch.ones(1, 1, dtype=torch.bool)
    recipe = RPNRecipe(positive_iou=0.5, negative_iou=0.25)
    labels, _ = label_anchors(anchors, boxes, valid, recipe)
    assert labels.tolist() == [[POSITIVE, POSITIVE, IGNORED, IGNORED, NEGATIVE]]
    far = torch.tensor([[[50, 50, 60, 60.0]]])
    labels, _ = label_anchors(anchors, far, valid, recipe, (boxes, valid))
    assert labels.tolist() == [[IGNORED, IGNORED, NEGATIVE, NEGATIVE, NEGATIVE]]


def test_an_image_without_boxes_teaches_nothing() -> None:
    anchors = make_anchors(AnchorSpec(), _maps(64))
    boxes, valid = _boxes(1, 4, 64), torch.zeros(1, 4, dtype=torch.bool)
    count = sum(len(a) for a in anchors)
    loss = rpn_loss(torch.randn(1, count), torch.randn(1, count, 4), anchors, boxes, valid, torch.tensor([1]), RECIPE)
    assert loss.objectness.item() == 0
    assert loss.box.item() == 0


@pytest.mark.parametrize("positives", [3, 200])
def test_a_sample_has_256_anchors_at_most_half_of_them_positive(positives: int) -> None:
    labels = torch.full((2, 4000), NEGATIVE, dtype=torch.int8)
    labels[:, 100 : 100 + positives] = POSITIVE
    labels[:, 3000:] = IGNORED
    seeds = torch.tensor([5, 1 << 61])
    chosen, background = sample_anchors(labels, seeds, RECIPE)
    assert chosen.sum(dim=1).tolist() == [min(positives, 128)] * 2
    assert (chosen.sum(dim=1) + background.sum(dim=1)).tolist() == [256, 256]
    assert not (chosen & (labels != POSITIVE)).any()
    assert not (background & (labels != NEGATIVE)).any()
    assert not torch.equal(background[0], background[1]), "images draw on their own"


def test_sampling_is_uniform_and_depends_on_the_image_alone() -> None:
    labels = torch.full((400, 1000), NEGATIVE, dtype=torch.int8)
    seeds = torch.randint(1 << 62, (400,), generator=torch.Generator().manual_seed(0))
    _, background = sample_anchors(labels, seeds, RECIPE)
    counts = background.sum(dim=0).float()
    # Binomial(400, .256): mean 102.4, standard deviation 8.7.
    assert counts.mean().item() == pytest.approx(102.4)
    assert counts.std().item() == pytest.approx(8.7, rel=0.15)
    assert counts.min() > 60
    assert counts.max() < 145
    # All 62 bits of a seed count.
    _, near = sample_anchors(labels[:63], torch.tensor([6, *(6 ^ (1 << bit) for bit in range(62))]), RECIPE)
    assert len({tuple(row.tolist()) for row in near}) == 63
    _, alone = sample_anchors(labels[7:8], seeds[7:8], RECIPE)
    assert torch.equal(alone[0], background[7]), "the batch around an image does not matter"


def test_the_draw_is_that_of_unbounded_integers() -> None:
    """The same arithmetic without tensors: no product leaves int64, and a run draws what it drew on another machine."""

    def mix(x: int) -> int:
        x = x % 2**32
        x = (x ^ x >> 16) * 0x5BCA6B % 2**32
        x = (x ^ x >> 13) * 0x2B2AE35 % 2**32
        return x ^ x >> 16

    def key(seed: int, index: int) -> int:
        return mix(mix(mix(index ^ 0x9E3779B9) ^ seed % 2**32) ^ seed // 2**32) * 2**20 + index

    seeds = [0, 5, (1 << 62) - 1, 0x123456789ABCDEF]
    _, background = sample_anchors(torch.full((4, 1000), NEGATIVE, dtype=torch.int8), torch.tensor(seeds), RECIPE)
    for seed, row in zip(seeds, background, strict=True):
        lowest = sorted(range(1000), key=lambda index, seed=seed: key(seed, index))[:256]
        assert row.nonzero()[:, 0].tolist() == sorted(lowest)


def _torchvision_loss(
    parts: DetectorParts, feats: list[Tensor], boxes: Tensor, view: int, beta: float
) -> tuple[Tensor, Tensor]:
    """torchvision's own loss with every anchor sampled, its divisor undone to be ours."""
    anchors = ExactAnchorGenerator(SMALL.anchors.sizes, SMALL.anchors.ratios, (4, 8, 16, 32))
    network = RegionProposalNetwork(
        anchors, parts.rpn, 0.7, 0.3, 100_000, 0.5,
        {"training": 10, "testing": 10}, {"training": 10, "testing": 10}, 0.7,
    ).train()  # fmt: skip
    images = ImageList(torch.zeros(len(boxes), 3, view, view), [(view, view)] * len(boxes))
    with pytest.MonkeyPatch.context() as patch:
        import torchvision.models.detection.rpn as module

        smooth = torch.nn.functional.smooth_l1_loss
        patch.setattr(
            module.F, "smooth_l1_loss", lambda a, b, beta, reduction: smooth(a, b, beta=beta, reduction=reduction)
        )
        _, losses = network(images, {str(i): f for i, f in enumerate(feats)}, [{"boxes": b} for b in boxes])
    assert beta == 1 / 9, "torchvision's constant"
    return losses["loss_objectness"], losses["loss_rpn_box_reg"]


def test_the_loss_is_torchvisions_when_every_anchor_is_sampled() -> None:
    view, parts = 128, DetectorParts(SMALL)
    torch.manual_seed(1)
    for parameter in parts.rpn.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    feats, boxes = _maps(view, channels=SMALL.fpn_channels), _boxes(2, 4, view)
    objectness, box = _torchvision_loss(parts, feats, boxes, view, 1 / 9)
    logits, deltas = flatten_outputs(*parts.rpn_outputs(feats))
    anchors, valid = make_anchors(SMALL.anchors, feats), torch.ones(2, 4, dtype=torch.bool)
    ours = rpn_loss(logits, deltas, anchors, boxes, valid, torch.tensor([3, 4]), EVERY)
    labels, _ = label_anchors(torch.cat(anchors), boxes, valid, RECIPE)
    sampled = (labels != IGNORED).sum()  # torchvision divides by the anchors it sampled, Eq. 1 by 256 N
    scale = EVERY.batch_per_image * 2 / sampled
    torch.testing.assert_close(ours.objectness * scale, objectness)
    torch.testing.assert_close(ours.box * scale, box)


def test_both_terms_are_divided_by_256_times_the_images() -> None:
    """One image, one box that equals one anchor: 1 positive and 255 negatives with logit 0 cost log 2 each."""
    anchors = make_anchors(AnchorSpec(), _maps(224, images=1))
    flat = torch.cat(anchors)
    boxes = flat[9408 + 2352 + 300][None, None]
    logits, deltas = torch.zeros(1, len(flat)), torch.zeros(1, len(flat), 4)
    valid, seed = torch.ones(1, 1, dtype=torch.bool), torch.tensor([9])
    once = RPNRecipe(positive_iou=0.99)
    loss = rpn_loss(logits, deltas, anchors, boxes, valid, seed, once)
    assert loss.objectness.item() == pytest.approx(0.693147, abs=1e-5)
    assert loss.box.item() == pytest.approx(0, abs=1e-6)
    # A delta of 1 in one coordinate costs 1 - beta / 2 = 17/18, over 256.
    loss = rpn_loss(logits, deltas + torch.tensor([1.0, 0, 0, 0]), anchors, boxes, valid, seed, once)
    assert loss.box.item() == pytest.approx(17 / 18 / 256, abs=1e-7)
    assert loss.positives_L.tolist() == [0, 0, 1, 0]


def test_small_boxes_can_be_left_out() -> None:
    anchors = make_anchors(AnchorSpec(), _maps(128, images=1))
    count = sum(len(a) for a in anchors)
    boxes = torch.tensor([[[10, 10, 90, 90], [30, 30, 44, 80.0]]])
    valid, seed = torch.ones(1, 2, dtype=torch.bool), torch.tensor([0])
    arguments = (torch.zeros(1, count), torch.zeros(1, count, 4), anchors)
    both = rpn_loss(*arguments, boxes, valid, seed, RECIPE).positives_L.sum()
    large = rpn_loss(*arguments, boxes, valid, seed, RPNRecipe(min_box_size=16)).positives_L.sum()
    one = rpn_loss(*arguments, boxes, torch.tensor([[True, False]]), seed, RECIPE).positives_L.sum()
    assert large == one < both
