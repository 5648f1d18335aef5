"""Cues of objects and their ranking against numbers worked by hand."""

import cv2
import numpy as np
import pytest

from adept_training.proposals.objects import ranking
from adept_training.proposals.objects.contours import Gradients, contour_pieces, gradients, thin_edges
from adept_training.proposals.objects.cues import CONTOUR, CUES, REGION, WINDOW, measure_cues, summed_area
from adept_training.proposals.objects.windows import ellipse_flux, running_sums, window_boxes

STEP = np.full((60, 80, 3), 128, np.uint8)
STEP[20:40, 30:60, 0] = 178  # L is 50 above that around it


def cue(values: np.ndarray, name: str) -> np.ndarray:
    return values[:, CUES.index(name)]


def measured(boxes, origin, score=None) -> np.ndarray:
    boxes = np.array(boxes, np.float64)
    scores = np.zeros(len(boxes)) if score is None else np.array(score)
    return measure_cues(STEP, gradients(STEP), boxes, np.array(origin), scores)


def test_gradients_are_levels_per_pixel_of_the_strongest_channel():
    ramp = np.zeros((20, 40, 3), np.uint8)
    ramp[:, :, 1] = 3 * np.arange(40)
    ramp[:, :, 2] = 2 * np.arange(20)[:, None]
    field = gradients(ramp)
    assert field.gx_HW[10, 20] == pytest.approx(3)
    assert field.gy_HW[10, 20] == pytest.approx(0, abs=1e-5)
    assert field.magnitude_HW[10, 20] == pytest.approx(3)


def test_flux_through_the_outline_of_a_radial_field_is_its_strength_and_of_a_constant_field_zero():
    y, x = np.mgrid[:81, :81].astype(np.float32) + 0.5
    away = np.stack([x - 40.5, y - 40.5]) / np.maximum(np.hypot(x - 40.5, y - 40.5), 1)
    radial = [np.repeat(part[:, :, None], 3, axis=2) * np.float32([5, 0, 12]) for part in away]
    box = np.array([[15.5, 15.5, 65.5, 65.5]])
    assert ellipse_flux(*radial, box) == pytest.approx(13, rel=0.02)  # 5, 12, 13
    same = np.full((81, 81, 3), 7, np.float32)
    assert ellipse_flux(same, same, box) == pytest.approx(0, abs=1e-5)


def test_running_sums_end_with_the_sums_of_lines():
    gx, gy = np.random.default_rng(0).normal(size=(2, 6, 9, 3)).astype(np.float32)
    down, across = running_sums(gx, gy)
    assert down[:, 4] == pytest.approx(gx[:4].sum(axis=0).T, abs=1e-5)
    assert across[:, :, 5] == pytest.approx(gy[:, :5].sum(axis=1).T, abs=1e-5)


def test_windows_find_a_disc_and_their_edges_are_moved_onto_it():
    image = np.full((120, 160, 3), 90, np.uint8)
    cv2.circle(image, (70, 60), 22, (180, 90, 90), -1)
    field = gradients(image)
    boxes = window_boxes(field.gx_HWC, field.gy_HWC)
    assert min(np.abs(box - [48, 38, 93, 83]).max() for box in boxes) <= 3
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [160, 120]).all()


def test_summed_areas():
    magnitude = np.arange(60 * 80, dtype=np.float32).reshape(60, 80)
    sums = summed_area(STEP, magnitude)
    assert sums[60, 80, 0] == STEP[:, :, 0].sum()
    assert sums[10, 10, 3] == 100 * 3 * 128**2
    assert sums[2, 3, 4] == 0 + 1 + 2 + 80 + 81 + 82


def test_contrast_is_color_apart_over_spread():
    """Inside 178 and around 128, both flat: the whole image's variance, a twentieth of it, is the spread."""
    found = measured([[30, 20, 60, 40], [5, 5, 20, 15]], [WINDOW, REGION])
    share = 600 / 4800
    variance = 50**2 * share * (1 - share) + 1
    assert cue(found, "contrast")[0] == pytest.approx(np.log(0.02 + 50 / np.sqrt(0.05 * variance)))
    assert cue(found, "contrast")[1] == pytest.approx(np.log(0.02))


def test_the_object_has_border_flux_and_its_contour_inside_and_uncut():
    found = measured([[30, 20, 60, 40], [42, 8, 72, 30]], [WINDOW, REGION])
    for name in ("flux", "border", "enclosed"):
        assert cue(found, name)[0] > cue(found, name)[1] + 0.3
    assert cue(found, "cut").tolist() == pytest.approx([np.log(0.02), cue(found, "cut")[1]])
    assert cue(found, "cut")[1] > -2


def test_density_is_the_gradient_inside_over_that_of_the_image():
    field = gradients(STEP)
    found = measured([[30, 20, 60, 40], [0, 0, 80, 60]], [WINDOW, REGION])
    inside = field.magnitude_HW[20:40, 30:60].mean() / (field.magnitude_HW.mean() + 1e-6)
    assert cue(found, "density") == pytest.approx([np.log(0.02 + inside), np.log(1.02)], abs=1e-4)


def test_agreement_counts_other_boxes_of_iou_above_a_half():
    """IoU of the first two is 8/12, of the last none with any; EdgeBoxes' score spreads by the square of the IoU."""
    boxes = [[0, 0, 10, 10], [2, 0, 12, 10], [40, 40, 60, 50]]
    found = measured(boxes, [REGION, CONTOUR, WINDOW], [0, 0.9, 0])
    iou = 8 / 12
    assert cue(found, "crowd") == pytest.approx(np.log(0.2 + np.array([iou - 0.5, iou - 0.5, 0])))
    assert cue(found, "edge_boxes") == pytest.approx(np.log(0.02 + np.array([0.9 * iou**2, 0.9, 0])))
    assert cue(found, "regions") == pytest.approx([0, iou, 0])
    assert cue(found, "windows") == pytest.approx([0, 0, 0])


def test_contours_are_thin_and_in_one_piece_per_side():
    field = gradients(STEP)
    edges = thin_edges(field)
    assert (edges[30, 20:40] > 1).sum() in (1, 2)  # two where the edge runs between pixels
    assert (edges[10:30, 45] > 1).sum() in (1, 2)
    pieces = contour_pieces(field)
    assert len(pieces) >= 4
    left = pieces[np.argmin(pieces[:, 2])]
    assert left[3] - left[1] > 14
    assert left[2] - left[0] <= 3


def test_a_flat_image_has_no_contour():
    zero = np.zeros((8, 9), np.float32)
    flat = Gradients(np.zeros((8, 9, 3), np.float32), np.zeros((8, 9, 3), np.float32), zero, zero, zero)
    assert contour_pieces(flat).shape == (0, 5)


def test_every_cue_has_a_weight_and_scores_add_them():
    assert tuple(ranking.WEIGHTS) == CUES
    cues = np.zeros((4, len(CUES)))
    cues[:, CUES.index("enclosed")] = [0, 2, 4, 6]  # standardized: mean 3, deviation sqrt 5
    expected = ranking.WEIGHTS["enclosed"] * (np.array([0, 2, 4, 6]) - 3) / np.sqrt(5)
    assert ranking.score(cues) == pytest.approx(expected, rel=1e-5)


def test_sizes_of_a_set_that_recur_more_than_usual_get_a_bonus():
    counts = np.zeros(len(ranking.SIZE_BINS) - 1, np.int64)
    counts[[4, 8]] = [1, 3]
    prior = ranking.size_prior(counts)
    assert prior[8] == pytest.approx(np.log((0.75 + 0.02) / (ranking.USUAL_SIZES[8] + 0.02)), abs=1e-4)
    assert prior[9] == pytest.approx(np.log(0.02 / (ranking.USUAL_SIZES[9] + 0.02)), abs=1e-4)
    assert ranking.size_prior(np.zeros_like(counts)) == ()
    assert sum(ranking.USUAL_SIZES) == pytest.approx(1, abs=0.01)


def test_the_size_prior_can_turn_the_order():
    boxes = np.array([[0.0, 0, 60, 60], [100.0, 100, 115, 115]])
    cues = np.zeros((2, len(CUES)))
    cues[0, CUES.index("enclosed")] = 1
    bins = len(ranking.SIZE_BINS) - 1
    small = np.where(ranking.SIZE_BINS[:-1] < 3, 4.0, 0.0)
    assert len(small) == bins
    assert ranking.rank(boxes, cues, (), 5)[0].tolist() == boxes[0].tolist()
    assert ranking.rank(boxes, cues, tuple(small), 5)[0].tolist() == boxes[1].tolist()
    assert len(ranking.rank(boxes, cues, (), 1)) == 1
