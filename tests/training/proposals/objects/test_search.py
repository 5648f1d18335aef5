from dataclasses import replace

import cv2
import numpy as np
import pytest

from adept_hub.errors import MissingExtraError
from adept_training.proposals import PRESETS, get_preset, selective_search
from adept_training.proposals.search.boxes import to_proposals
from adept_training.proposals.search.presets import preset_from_dict
from tests.training.proposals.objects.test_suppress import iou
from tests.training.proposals.photographs import skimage_photographs

TRUE = np.array([100, 60, 190, 150])


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A bright rectangle on noise."""
    rng = np.random.default_rng(7)
    image = rng.integers(60, 110, (240, 400, 3), dtype=np.uint8)
    image[TRUE[1] : TRUE[3], TRUE[0] : TRUE[2]] += 90
    return image


def settings(**changes):
    preset = get_preset("objects")
    return replace(preset, objects=replace(preset.objects, **changes))


def test_a_bright_rectangle_on_noise_is_among_the_first_boxes(scene):
    boxes = selective_search(scene, "objects")
    assert boxes.dtype == np.float32
    assert max(iou(box, TRUE) for box in boxes[:3]) > 0.85


def test_the_same_again_and_no_two_candidates_alike(scene):
    boxes = selective_search(scene, "objects")
    assert np.array_equal(boxes, selective_search(scene, "objects"))
    selective_search(skimage_photographs()["coins"], "objects")
    assert np.array_equal(boxes, selective_search(scene, "objects"))
    assert 50 < len(boxes) <= 200


def test_the_best_are_the_same_in_a_shorter_list(scene):
    """Whoever takes the first 50 of 200 has the boxes that a list of 50 would have."""
    np.testing.assert_array_equal(selective_search(scene, "objects")[:50], selective_search(scene, settings(most=50)))


def test_boxes_are_in_pixels_of_the_image(scene):
    large = cv2.resize(scene, (1000, 600), interpolation=cv2.INTER_NEAREST)
    boxes = selective_search(large, "objects")
    assert max(iou(box, TRUE * 2.5) for box in boxes[:3]) > 0.8
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= [1000, 600]).all()


def test_number_and_sizes_are_the_users():
    image = skimage_photographs()["coins"]
    boxes = selective_search(image, settings(most=9, sizes=(0.05, 0.15)))
    assert len(boxes) == 9
    size = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)) / min(image.shape[:2])
    assert (size > 0.045).all()
    assert (size < 0.16).all()
    every = selective_search(image, settings(most=9))
    assert (np.sqrt(np.prod(every[:, 2:] - every[:, :2], axis=1)) / min(image.shape[:2])).max() > 0.16


def test_aspect_and_area_are_bounded():
    for name in ("page", "brick"):
        image = skimage_photographs()[name]
        kept, fallback = to_proposals(
            selective_search(image, settings(most=200)), (image.shape[1], image.shape[0]), get_preset("objects")
        )
        w, h = (kept[:, 2:] - kept[:, :2]).T
        assert not fallback
        assert (np.maximum(w, h) <= 5 * np.minimum(w, h)).all()
        assert (w * h <= 0.85 * image.shape[0] * image.shape[1]).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (9, 300, 3), (3, 2, 3)])
def test_tiny_images_fall_back_to_the_whole_image(shape):
    image = np.full(shape, 90, np.uint8)
    kept, fallback = to_proposals(selective_search(image, "objects"), (shape[1], shape[0]), get_preset("objects"))
    assert fallback
    assert kept.tolist() == [[0, 0, shape[1], shape[0]]]


def test_without_contrib_the_message_says_what_to_install(scene, monkeypatch):
    monkeypatch.delattr(cv2, "ximgproc")
    with pytest.raises(MissingExtraError, match="opencv-contrib-python-headless"):
        selective_search(scene, "objects")


def test_only_objects_records_its_settings():
    """Tables that older versions wrote with the other presets are resumed: their record is unchanged."""
    for name, preset in PRESETS.items():
        assert ("objects" in preset.as_dict()) == (name == "objects")
    own = settings(most=7, sizes=(0.1, float("inf")), size_prior=(0.5, -1.0), survey=False)
    recorded = own.as_dict()
    assert recorded["objects"] == {"most": 7, "sizes": [0.1, None], "size_prior": [0.5, -1.0], "survey": False}
    assert preset_from_dict(recorded) == own
