import numpy as np
import pytest

from adept_training.proposals.objects.suppress import overlap, suppress, vote


def random_boxes(count: int, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    return np.hstack([corner, corner + rng.uniform(8, 40, (count, 2))])


def iou(a, b) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = np.prod(np.clip(high - low, 0, None))
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


@pytest.mark.parametrize("most_iou", [0.2, 0.45])
@pytest.mark.parametrize("most", [7, 500])
def test_suppression_is_that_of_the_definition(most_iou, most):
    boxes, order = random_boxes(200), np.random.default_rng(5).permutation(200)
    kept = []
    for i in order:
        if all(iou(boxes[i], boxes[k]) <= most_iou for k in kept):
            kept.append(int(i))
    assert suppress(boxes, order, most_iou, most).tolist() == kept[:most]
    assert len(kept) > 7


def test_overlap_of_hand_worked_boxes():
    box = np.array([0.0, 0.0, 4.0, 2.0])
    assert overlap(box, np.array([2.0, 0.0, 6.0, 2.0])) == pytest.approx(4 / 12)
    assert overlap(box, np.array([4.0, 0.0, 6.0, 2.0])) == 0
    assert overlap(box, np.array([0.0, 3.0, 4.0, 5.0])) == 0


def test_a_vote_weighs_by_overlap_and_score():
    """The second box has IoU 8/12 with the first; the third, 1/4, is not asked."""
    boxes = np.array([[0.0, 0, 10, 1], [2.0, 0, 12, 1], [6.0, 0, 16, 1]])
    share = 3 * (8 / 12)  # of the second, against 5 of the first
    voted = vote(boxes, np.array([5.0, 3.0, 7.0]), np.array([0]), 0.6)
    assert voted == pytest.approx(np.array([[2 * share / (5 + share), 0, 10 + 2 * share / (5 + share), 1]]))
