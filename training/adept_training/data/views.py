"""The geometry of the three views of one image and of the boxes that they share (SoCo, ``dataset.py``; ADePT 3.1).

V1 is the whole image resized to a square, V2 a random resized crop, V3 either V2 downsampled (the paper) or an
independent crop (SoCo's code). Colors are changed on the device, where views of cached images are cut too (`cuts`).

Legend: M boxes of the image, K boxes drawn for a view, S sets of K boxes on V1 (1 if V2 and V3 share theirs).
Boxes are float32 xyxy, continuous, right and bottom edges exclusive, in pixels of the image or of a view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from PIL import Image

from adept_hub.io.schema import Range
from adept_training.data.arrays import Array, Bools, Floats, Ints, Pixels
from adept_training.data.draw import draw_rows, octaves

Side = Annotated[int, Range(1, 4096)]
Share = Annotated[float, Range(0.0, 1.0)]
Area = Annotated[float, Range(0.0, 1.0, above=True)]
Aspect = Annotated[float, Range(0.0, 100.0, above=True)]


#: Pixels of a view that is cut later, on the device.
UNCUT = np.zeros((0, 0, 3), dtype=np.uint8)


@dataclass(frozen=True)
class ViewsRecipe:
    """Sampling of views and their boxes; the defaults are the paper's, or SoCo's where the paper gives none."""

    #: Side of V1, V2 and V3 in pixels.
    sizes: tuple[Side, Side, Side] = (224, 224, 112)
    #: V3 is V2 made smaller (paper) or an independent crop (SoCo's code).
    v3_mode: Literal["resize_v2", "independent"] = "resize_v2"
    #: One set of boxes for all three views (Eq. 6) or one for (V1, V2) and one for (V1, V3) (SoCo's code).
    box_sets: Literal["shared", "separate"] = "shared"
    #: Boxes per image, K.
    boxes: Annotated[int, Range(1, 1000)] = 4
    #: Area of the crop as a fraction of the image's, least and most.
    crop_scale: tuple[Area, Area] = (0.5, 1.0)
    #: Width / height of the crop, least and most.
    crop_ratio: tuple[Aspect, Aspect] = (3 / 4, 4 / 3)
    #: The boxes of an image are the first N of its list, for tables whose best come first; 0: all. If it is set, the
    #: RPN's targets in V1 are all of them, whichever are drawn, and `other_boxes` are those listed after.
    best: Annotated[int, Range(0, 10_000)] = 0
    #: Boxes are drawn evenly over sizes, by octaves of sqrt(w h) in V1 as the levels are, instead of uniformly: most
    #: boxes of a list may be small.
    stratify: bool = False
    #: Boxes of V1 that were not drawn but go along, at most, so that the RPN need not call them background.
    other_boxes: Annotated[int, Range(0, 10_000)] = 0
    #: Probability of a horizontal flip, drawn for every view.
    flip: Share = 0.5
    #: Probability that a box of V1 is jittered.
    jitter_prob: Share = 0.5
    #: Each of x, y, w, h moves by at most this fraction of the width or height.
    jitter_ratio: Share = 0.1
    #: Crops drawn again while too few boxes are common.
    max_tries: Annotated[int, Range(1, 10_000)] = 5


class Window(NamedTuple):
    """A view's window on the image, in its pixels, and the view's own side and flip."""

    x: float
    y: float
    w: float
    h: float
    size: int
    flip: bool

    def overlaps(self, boxes_M4: Array) -> Bools:
        """Return which boxes share an area with the window: SoCo's only condition."""
        x1, y1, x2, y2 = boxes_M4.T
        hit: Bools = (x1 < self.x + self.w) & (x2 > self.x) & (y1 < self.y + self.h) & (y2 > self.y)
        return hit

    def project(self, boxes_M4: Array) -> Array:
        """Clip boxes of the image to the window, and convert them to pixels of the view."""
        low = np.array([self.x, self.y, self.x, self.y], dtype=np.float64)
        span = np.array([self.w, self.h, self.w, self.h], dtype=np.float64)
        out = (boxes_M4.astype(np.float64) - low).clip(0, span) / span * self.size
        if self.flip:
            out[:, [0, 2]] = self.size - out[:, [2, 0]]
        return out.astype(np.float32)

    def cut(self, image: Image.Image) -> Pixels:
        """Return the view's pixels, uint8 (size, size, 3): crop, antialiased bilinear resize, flip."""
        box = (int(self.x), int(self.y), int(self.x + self.w), int(self.y + self.h))
        view = image if box == (0, 0, *image.size) else image.crop(box)
        return _flipped(np.asarray(view.resize((self.size, self.size), Image.Resampling.BILINEAR)), self.flip)


class Boxes(NamedTuple):
    """K boxes in one view. Equal ids in two views are the same box of the image."""

    boxes_K4: Array
    ids_K: Ints
    #: False for duplicates that only fill up, and for whole views and images that replace missing boxes.
    real_K: Bools


class Views(NamedTuple):
    """Three views of one image with their boxes; see the module's legend."""

    #: Empty if they are cut later.
    pixels: tuple[Pixels, Pixels, Pixels]
    boxes1_S: tuple[Boxes, ...]
    boxes2: Boxes
    boxes3: Boxes
    #: The RPN's targets: V1's boxes before the jitter, or `ViewsRecipe.best` of the image.
    targets1: Boxes
    #: Boxes of V1 that are not targets, `ViewsRecipe.other_boxes` of them (one unreal if it is 0).
    others1: Boxes
    #: Each view's window, float32 (3, 5): x, y, w, h as shares of the image, and 1 if the view is flipped.
    windows_35: Array


def draw_views(rng: np.random.Generator, image: Pixels, boxes_M4: Array, recipe: ViewsRecipe) -> Views:
    """Draw the three views of one image.

    Args:
        rng: the sample's own generator; nothing else is random.
        image: RGB uint8 (H, W, 3).
        boxes_M4: its proposals, in its pixels; may be empty.
        recipe: sizes, modes and probabilities.
    """
    (w1, w2, w3), views = draw_geometry(rng, (image.shape[1], image.shape[0]), boxes_M4, recipe)
    picture = Image.fromarray(image)
    pixels1, pixels2 = w1.cut(picture), w2.cut(picture)
    if recipe.v3_mode == "independent":
        pixels3 = w3.cut(picture)
    else:
        small = Image.fromarray(pixels2).resize((w3.size, w3.size), Image.Resampling.BILINEAR)
        pixels3 = _flipped(np.asarray(small), w3.flip != w2.flip)
    return views._replace(pixels=(pixels1, pixels2, pixels3))


def draw_geometry(
    rng: np.random.Generator, size: tuple[int, int], boxes_M4: Array, recipe: ViewsRecipe
) -> tuple[tuple[Window, Window, Window], Views]:
    """Draw windows and boxes of the three views of an image of ``size`` (width, height); pixels stay uncut."""
    width, height = size
    if len(boxes_M4) == 0:
        boxes_M4 = np.array([[0, 0, width, height]], dtype=np.float32)
    whole_M = is_whole(boxes_M4, size)
    listed_M4 = boxes_M4[: recipe.best or len(boxes_M4)]
    octaves_M = octaves(listed_M4, size, recipe.sizes[0]) if recipe.stratify else None
    w1, w2, w3, chosen_S = _draw_windows(rng, size, listed_M4, octaves_M, recipe)
    targets = np.arange(len(listed_M4)) if recipe.best else chosen_S[0]

    def place(window: Window, chosen: Ints, source_M4: Array, count: int = recipe.boxes) -> Boxes:
        return _fill(rng, window, chosen, source_M4, count, whole_M)

    jittered_S = [_jitter(rng, listed_M4, recipe) for _ in chosen_S]
    boxes1_S = tuple(place(w1, c, j) for c, j in zip(chosen_S, jittered_S, strict=True))
    views = Views(
        pixels=(UNCUT, UNCUT, UNCUT),
        boxes1_S=boxes1_S,
        boxes2=place(w2, chosen_S[0], boxes_M4),
        boxes3=place(w3, chosen_S[-1], boxes_M4),
        targets1=place(w1, targets, boxes_M4, recipe.best or recipe.boxes),
        others1=place(w1, _others(rng, targets, len(boxes_M4), recipe), boxes_M4, max(recipe.other_boxes, 1)),
        windows_35=np.array(
            [[w.x / width, w.y / height, w.w / width, w.h / height, w.flip] for w in (w1, w2, w3)], dtype=np.float32
        ),
    )
    return (w1, w2, w3), views


def is_whole(boxes_M4: Array, size: tuple[int, int]) -> Bools:
    """Return which boxes cover an image of ``size`` (width, height): every preset's last fallback, not an object."""
    width, height = size
    whole_M: Bools = (boxes_M4[:, 2] - boxes_M4[:, 0] >= width - 1) & (boxes_M4[:, 3] - boxes_M4[:, 1] >= height - 1)
    return whole_M


def random_crop(
    rng: np.random.Generator, size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Draw x, y, w, h of a random resized crop of a (width, height) image, distributed as in torchvision."""
    width, height = size
    for _ in range(10):
        area = width * height * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h
    if width / height < ratio[0]:
        w, h = width, round(width / ratio[0])
    elif width / height > ratio[1]:
        w, h = round(height * ratio[1]), height
    else:
        w, h = width, height
    return (width - w) // 2, (height - h) // 2, w, h


def _draw_windows(
    rng: np.random.Generator,
    size: tuple[int, int],
    boxes_M4: Array,
    octaves_M: Floats | None,
    recipe: ViewsRecipe,
) -> tuple[Window, Window, Window, tuple[Ints, ...]]:
    flips = rng.random(3) < recipe.flip
    w1 = Window(0, 0, *size, recipe.sizes[0], bool(flips[0]))
    least = max(recipe.boxes // 2, 1)
    for _ in range(max(recipe.max_tries, 1)):
        crop2 = random_crop(rng, size, recipe.crop_scale, recipe.crop_ratio)
        independent = recipe.v3_mode == "independent"
        crop3 = random_crop(rng, size, recipe.crop_scale, recipe.crop_ratio) if independent else crop2
        w2 = Window(*crop2, recipe.sizes[1], bool(flips[1]))
        w3 = Window(*crop3, recipe.sizes[2], bool(flips[2]))
        seen2, seen3 = w2.overlaps(boxes_M4), w3.overlaps(boxes_M4)
        candidates = (seen2 & seen3,) if recipe.box_sets == "shared" else (seen2, seen3)
        chosen_S = tuple(draw_rows(rng, c, recipe.boxes, octaves_M) for c in candidates)
        if min(len(c) for c in chosen_S) >= least:
            break
        least = max(least // 2, 1)
    return w1, w2, w3, chosen_S


def _others(rng: np.random.Generator, chosen: Ints, count: int, recipe: ViewsRecipe) -> Ints:
    if recipe.other_boxes == 0:
        return chosen[:0]
    left_M = np.ones(count, dtype=np.bool_)
    left_M[chosen] = False
    return draw_rows(rng, left_M, recipe.other_boxes)


def _jitter(rng: np.random.Generator, boxes_M4: Array, recipe: ViewsRecipe) -> Array:
    """Move and stretch each box, with ``jitter_prob``, by up to ``jitter_ratio`` of its width and height."""
    x1, y1, x2, y2 = boxes_M4.T.astype(np.float64)
    w, h = x2 - x1, y2 - y1
    moves_4M = rng.uniform(-recipe.jitter_ratio, recipe.jitter_ratio, (4, len(boxes_M4)))
    moves_4M *= rng.random(len(boxes_M4)) < recipe.jitter_prob
    x, y = x1 + moves_4M[0] * w, y1 + moves_4M[1] * h
    w, h = w * (1 + moves_4M[2]), h * (1 + moves_4M[3])
    return np.stack([x, y, x + w, y + h], axis=1).astype(np.float32)


def _fill(rng: np.random.Generator, window: Window, chosen: Ints, boxes_M4: Array, count: int, whole_M: Bools) -> Boxes:
    """Fill the chosen boxes in the view up to ``count`` by duplicates; use the whole view if there are none."""
    if len(chosen) == 0:
        whole = np.tile(np.array([0, 0, window.size, window.size], dtype=np.float32), (count, 1))
        return Boxes(whole, np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_))
    extra = rng.choice(chosen, size=count - len(chosen)) if len(chosen) < count else chosen[:0]
    rows = np.concatenate([chosen, extra])
    real = (np.arange(count) < len(chosen)) & ~whole_M[rows]
    return Boxes(window.project(boxes_M4[rows]), rows.astype(np.int64), real)


def _flipped(pixels: Pixels, flip: bool) -> Pixels:
    return np.array(pixels[:, ::-1] if flip else pixels)
