"""Anchors on boxes that are no targets: which are ignored, by hand and against a slow loop, and the share that is."""

from __future__ import annotations

import pytest
import torch

from adept_training.method.rpn import IGNORED, NEGATIVE, POSITIVE, RPNRecipe, label_anchors, rpn_loss
from adept_training.pretraining.recipe import load_recipe, recipe_names

BEFORE = RPNRecipe(positive_iou=0.8, negative_iou=0.25)
RULE = RPNRecipe(positive_iou=0.8, negative_iou=0.25, other_iou=0.5)


def iou(a: list[float], b: list[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    area = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return both / (sum(area) - both)


#: Ten pixels high and as wide as is told, next to each other: the IoU of two of one corner is the ratio of the widths.
ANCHORS = torch.tensor([[0, 0, 20, 10], [100, 0, 110, 10], [100, 0, 120, 10], [100, 0, 104.9, 10], [200, 0, 210, 10.0]])
TARGET = torch.tensor([[[0, 0, 18, 10.0]]])
OTHER = torch.tensor([[[100, 0, 110, 10], [200, 0, 210, 10.0]]])


def test_by_hand() -> None:
    """Of the box at 100 the anchors have IoU 1, exactly 1/2 and .49; that at 200 is not real."""
    real, others = torch.tensor([[True]]), (OTHER, torch.tensor([[True, False]]))
    labels, _ = label_anchors(ANCHORS, TARGET, real, RULE, others)
    assert labels.tolist() == [[POSITIVE, IGNORED, IGNORED, NEGATIVE, NEGATIVE]]
    labels, _ = label_anchors(ANCHORS, TARGET, real, BEFORE, others)
    assert labels.tolist() == [[POSITIVE, IGNORED, NEGATIVE, NEGATIVE, NEGATIVE]], "as before: at positive_iou"
    labels, _ = label_anchors(ANCHORS, TARGET, real, RULE, None)
    assert labels.tolist() == [[POSITIVE, NEGATIVE, NEGATIVE, NEGATIVE, NEGATIVE]]
    labels, _ = label_anchors(ANCHORS, TARGET, real, RULE, (TARGET, real))
    assert labels[0, 0] == POSITIVE, "what is a target is taught, even if it is listed twice"


def loss(recipe: RPNRecipe, others: tuple[torch.Tensor, torch.Tensor] | None):
    logits = torch.tensor([[0.3, -0.2, 0.9, 0.1, -1.1]])
    deltas, seed = torch.full((1, 5, 4), 0.1), torch.tensor([7])
    return rpn_loss(logits, deltas, [ANCHORS[:2], ANCHORS[2:]], TARGET, torch.tensor([[True]]), seed, recipe, others)


def test_the_share_and_the_loss() -> None:
    """Two of five anchors are ignored, and the loss is that of the other three."""
    others = (OTHER, torch.tensor([[True, False]]))
    found = loss(RULE, others)
    assert found.ignored.item() == pytest.approx(2 / 5)
    assert found.positives_L.tolist() == [1, 0]
    terms = torch.nn.functional.softplus(torch.tensor([-0.3, 0.1, -1.1])).sum()
    assert found.objectness.item() == pytest.approx(terms.item() / 256)
    assert loss(BEFORE, others).ignored.item() == pytest.approx(1 / 5)
    assert loss(RULE, None).ignored.item() == 0
    none = rpn_loss(torch.zeros(1, 5), torch.zeros(1, 5, 4), [ANCHORS], TARGET, torch.tensor([[False]]),
                    torch.tensor([7]), RULE, others)  # fmt: skip
    assert none.ignored.item() == 0, "an image without a target has no background to lose"


@pytest.mark.parametrize("recipe", [BEFORE, RULE])
def test_against_a_slow_loop(recipe: RPNRecipe) -> None:
    generator = torch.Generator().manual_seed(3)

    def boxes(*shape: int) -> torch.Tensor:
        corner = 60 * torch.rand(*shape, 2, generator=generator)
        return torch.cat([corner, corner + 10 + 30 * torch.rand(*shape, 2, generator=generator)], dim=-1)

    anchors, targets, rest = boxes(300), boxes(4, 3), boxes(4, 20)
    real, counted = torch.rand(4, 3, generator=generator) > 0.3, torch.rand(4, 20, generator=generator) > 0.3
    labels, _ = label_anchors(anchors, targets, real, recipe, (rest, counted))
    least = recipe.positive_iou if recipe.other_iou is None else recipe.other_iou
    seen = set()
    for n in range(4):
        mine = [box for box, counts in zip(targets[n].tolist(), real[n], strict=True) if counts]
        others = [box for box, counts in zip(rest[n].tolist(), counted[n], strict=True) if counts]
        best = [max((iou(a, box) for a in anchors.tolist()), default=0) for box in mine]
        for a, label in zip(anchors.tolist(), labels[n].tolist(), strict=True):
            overlaps = [iou(a, box) for box in mine]
            if not mine:
                expected = IGNORED
            elif max(overlaps) >= recipe.positive_iou or any(
                o == pytest.approx(top, abs=1e-9) and top > 0 for o, top in zip(overlaps, best, strict=True)
            ):
                expected = POSITIVE
            elif max((iou(a, box) for box in others), default=0) >= least:
                expected = IGNORED
            else:
                expected = NEGATIVE if max(overlaps) < recipe.negative_iou else IGNORED
            assert label == expected
            seen.add(label)
    assert seen == {POSITIVE, NEGATIVE, IGNORED}


@pytest.mark.parametrize("name", recipe_names())
def test_only_recipes_for_your_own_images_have_the_rule(name: str) -> None:
    """Those of the papers, and of the first bundled weights, give the losses that they gave before it."""
    recipe = load_recipe(name)
    if name.startswith(("own_photos", "detection", "contrast")):
        assert recipe.method.rpn.other_iou == 0.5
        assert recipe.data.proposals == "objects", (
            "boxes are ranked, and the table has more than those that are objects"
        )
        assert recipe.views.other_boxes > 0
    else:
        assert recipe.method.rpn.other_iou is None
        assert recipe.views.best == 0
