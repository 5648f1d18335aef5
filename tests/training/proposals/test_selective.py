"""The preset ``paper`` against selectivesearch 0.4 itself, region by region."""

import io
import warnings

import numpy as np
import pytest
import selectivesearch
import skimage.data
from PIL import Image

from adept_hub.errors import ProposalsError
from adept_hub.images.decode import decode
from adept_training.proposals import search_regions, selective_search
from adept_training.proposals.search import segment
from tests.training.proposals.photographs import load, skimage_photographs, workplace_photographs

rng = np.random.default_rng(0)


def assert_as_the_reference(image):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, expected = selectivesearch.selective_search(image, scale=500, sigma=0.9, min_size=10)
    found = search_regions(image, "paper")
    xywh = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)
    assert xywh.astype(int).tolist() == [list(region["rect"]) for region in expected]
    assert found.sizes.tolist() == [region["size"] for region in expected]


@pytest.mark.parametrize("name", skimage_photographs())
def test_paper_is_the_reference_on_photographs_of_scikit_image(name):
    assert_as_the_reference(skimage_photographs()[name])


@pytest.mark.parametrize("path", workplace_photographs())
def test_paper_is_the_reference_on_photographs(path):
    assert_as_the_reference(load(path))


def checkerboard(cell):
    board = (np.arange(64)[:, None] // cell + np.arange(96)[None] // cell) % 2 * 255
    return np.repeat(board.astype(np.uint8)[:, :, None], 3, axis=2)


def from_file(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return decode(buffer.getvalue(), kind)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return from_file(PHOTO, "JPEG", exif=exif)


PHOTO = Image.fromarray(skimage.data.astronaut()[100:220, 150:330])
EDGE_CASES = {
    "constant": lambda: np.full((50, 70, 3), 200, np.uint8),
    "black": lambda: np.zeros((40, 40, 3), np.uint8),
    "one pixel": lambda: np.full((1, 1, 3), 9, np.uint8),
    "two pixels": lambda: np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8),
    "one row": lambda: rng.integers(0, 256, (1, 80, 3), dtype=np.uint8),
    "one column": lambda: rng.integers(0, 256, (80, 1, 3), dtype=np.uint8),
    "12 x 9": lambda: rng.integers(0, 256, (9, 12, 3), dtype=np.uint8),
    "noise": lambda: rng.integers(0, 256, (90, 120, 3), dtype=np.uint8),
    "faint noise": lambda: rng.integers(100, 103, (90, 120, 3), dtype=np.uint8),
    "two colors": lambda: rng.integers(0, 2, (60, 60, 1), dtype=np.uint8).repeat(3, 2) * 255,
    "checkerboard of 1": lambda: checkerboard(1),
    "checkerboard of 2": lambda: checkerboard(2),
    "checkerboard of 3": lambda: checkerboard(3),
    "checkerboard of 8": lambda: checkerboard(8),
    "ramp": lambda: np.broadcast_to(np.arange(120, dtype=np.uint8)[None, :, None], (60, 120, 3)),
    "enlarged without interpolation": lambda: np.asarray(PHOTO.resize((45, 30))).repeat(4, 0).repeat(4, 1),
    "flat blocks of a poor JPEG": lambda: from_file(PHOTO, "JPEG", quality=3),
    "gray": lambda: from_file(PHOTO.convert("L")),
    "alpha": lambda: from_file(PHOTO.convert("RGBA")),
    "CMYK": lambda: from_file(PHOTO.convert("CMYK"), "JPEG"),
    "palette": lambda: from_file(PHOTO.convert("P")),
    "16 bit": lambda: from_file(Image.fromarray(np.asarray(PHOTO.convert("L")).astype(np.uint16) * 257)),
    "EXIF-rotated": lambda: turned(6),
    "EXIF-mirrored": lambda: turned(5),
    "not contiguous": lambda: np.asarray(PHOTO)[::2, ::-1],
    "huge": lambda: np.asarray(PHOTO.resize((660, 440), Image.Resampling.BICUBIC)),
    "very wide": lambda: np.asarray(PHOTO.resize((6000, 20))),
}


@pytest.mark.parametrize("case", EDGE_CASES)
def test_paper_is_the_reference_on_edge_cases(case):
    assert_as_the_reference(EDGE_CASES[case]())


def test_ties_that_matter_are_settled_as_numpy_settles_them(monkeypatch):
    """Without the second look, small segments on this picture are joined to other neighbors than in scikit-image."""
    from skimage.segmentation import felzenszwalb

    asked = []
    original = segment._places_in_numpys_order
    monkeypatch.setattr(segment, "_places_in_numpys_order", lambda *a: asked.append(1) or original(*a))
    differing = 0
    for seed in range(12):
        image = np.random.default_rng(seed).integers(0, 3, (60, 80, 1), dtype=np.uint8).repeat(3, 2) * 120
        expected = felzenszwalb(image, scale=50, sigma=0.2, min_size=10)
        labels, count = segment.felzenszwalb(image, 50, 0.2, 10)
        assert np.array_equal(labels, expected)
        assert count == expected.max() + 1
        stable, _ = segment.felzenszwalb(image, 50, 0.2, 10, stable_ties=True)
        differing += not np.array_equal(stable, expected)
    assert asked
    assert differing


@pytest.mark.parametrize(("scale", "sigma", "min_size"), [(1, 0.8, 20), (100, 0.0, 5), (300, 0.9, 100), (500, 2.5, 1)])
def test_segments_are_scikit_images_at_other_parameters(scale, sigma, min_size):
    from skimage.segmentation import felzenszwalb

    image = skimage.data.coffee()[100:250, 200:400]
    labels, _ = segment.felzenszwalb(image, scale, sigma, min_size)
    assert np.array_equal(labels, felzenszwalb(image, scale=scale, sigma=sigma, min_size=min_size))


def test_what_it_returns():
    boxes = selective_search(skimage.data.chelsea()[:100, :150])
    assert boxes.dtype == np.float32
    assert boxes.shape[1] == 4
    assert (boxes[:, :2] <= boxes[:, 2:]).all()


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_only_rgb_uint8_is_taken(image):
    with pytest.raises(ProposalsError, match="RGB uint8"):
        selective_search(image)


def test_unknown_preset_lists_the_known():
    with pytest.raises(ProposalsError, match="paper, soco, fixed, opencv-fast, opencv-quality"):
        selective_search(np.zeros((4, 4, 3), np.uint8), "papr")
