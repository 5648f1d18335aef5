"""Presets: every parameter of selective search and of the filter after it, as data.

Importing this module is cheap, so that the command line can list the names.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from adept_hub.arguments.calls import checked
from adept_hub.errors import ProposalsError
from adept_hub.words.spelling import did_you_mean


@dataclass(frozen=True)
class BoxFilter:
    """A rule for regions to become proposals. Bounds are inclusive; the defaults are the paper's (section 4.1)."""

    min_ratio: float = 1 / 3  # width / height
    max_ratio: float = 3.0
    min_scale: float = 0.3  # sqrt(w h) / sqrt(W H)
    max_scale: float = 0.8
    min_side: float = 0.0  # pixels of the image


# Images that the filter leaves without a box: SoCo retries with the ratio only, then with the 32-pixel minimum only
# (its filter_ratio_size, filter_ratio, filter_none). If still empty, the whole image is the one box.
_ANY = float("inf")
_RATIO_ONLY = BoxFilter(min_scale=0.0, max_scale=_ANY, min_side=32)
_SIDE_ONLY = BoxFilter(min_ratio=0.0, max_ratio=_ANY, min_scale=0.0, max_scale=_ANY, min_side=32)


@dataclass(frozen=True)
class ObjectSearch:
    """Parameters of the algorithm ``objects`` alone."""

    most: int = 200  # boxes per image; recipes take the best 30 to 50 of them as objects
    sizes: tuple[float, float] = (0.0, _ANY)  # bounds of sqrt(w h) / shorter side of the image
    # How much likelier than usual each size is (see ranking.size_prior), measured on the images of a run. Empty: none.
    size_prior: tuple[float, ...] = ()
    survey: bool = True  # measure it


@dataclass(frozen=True)
class Preset:
    """Parameters for computing proposals."""

    name: str
    algorithm: Literal["alpacadb", "opencv-fast", "opencv-quality", "objects"]
    scale: float  # Felzenszwalb's k; OpenCV: base and increment of its several k
    sigma: float
    min_size: int  # pixels; OpenCV derives its own from k
    # The reference's quirks. True: as in AlpacaDB's selectivesearch 0.4.
    narrow_color_range: bool = False  # H and S in [0, 1] are histogrammed over (0, 255): only V distinguishes regions
    narrow_texture_range: bool = False  # LBP codes 0..255 are histogrammed over (0, 1): only 0 and 1 count
    box_neighbors: bool = False  # neighbors are boxes with a corner inside the other, not regions that touch
    short_boxes: bool = False  # right and bottom edges are the last pixel, not one past it
    # Edges of equal cost are taken in a fixed order, not in that of numpy.argsort, which depends on the processor
    stable_ties: bool = False
    # Filter of the regions.
    filter: BoxFilter = BoxFilter()
    fallback: tuple[BoxFilter, ...] = (_RATIO_ONLY, _SIDE_ONLY)
    # Several regions may have one box. Kept, a uniform draw over rows weights such a box by its regions.
    keep_duplicates: bool = False
    objects: ObjectSearch | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready parameters, as recorded with the boxes (an absent bound is null)."""
        values = {name: _finite(value) for name, value in dataclasses.asdict(self).items()}
        if self.objects is None:  # tables of the other presets keep the record that they had before it existed
            del values["objects"]
        return values


def preset_from_dict(recorded: dict[str, Any]) -> Preset:
    """Return the inverse of ``Preset.as_dict``."""

    def rule(bounds: dict[str, float | None]) -> BoxFilter:
        return BoxFilter(**{name: _ANY if bound is None else bound for name, bound in bounds.items()})

    values = {**recorded, "filter": rule(recorded["filter"]), "fallback": tuple(map(rule, recorded["fallback"]))}
    if found := recorded.get("objects"):
        low, high = (_ANY if bound is None else bound for bound in found["sizes"])
        values["objects"] = ObjectSearch(found["most"], (low, high), tuple(found["size_prior"]), found["survey"])
    return Preset(**values)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if value == _ANY else value


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        # The paper's "default parameters" are the example of AlpacaDB's README. Neither it nor SoCo drops duplicates.
        Preset(
            "paper", "alpacadb", 500, 0.9, 10,
            narrow_color_range=True, narrow_texture_range=True, box_neighbors=True, short_boxes=True,
            keep_duplicates=True,
        ),
        # SoCo's generate_imagenet_ss_proposals.py: its copy of AlpacaDB's code fixes only the texture range.
        Preset(
            "soco", "alpacadb", 300, 0.9, 100,
            narrow_color_range=True, box_neighbors=True, short_boxes=True,
            filter=BoxFilter(min_side=32), keep_duplicates=True,
        ),
        Preset("fixed", "alpacadb", 500, 0.9, 10, stable_ties=True),
        Preset("opencv-fast", "opencv-fast", 150, 0.8, 0),
        Preset("opencv-quality", "opencv-quality", 150, 0.8, 0),
        # Beyond the paper: see objects.py. Aspect below 5, at most 85 % of the image.
        Preset(
            "objects", "objects", 150, 0.8, 30, stable_ties=True,
            filter=BoxFilter(min_ratio=1 / 5, max_ratio=5.0, min_scale=0.0, max_scale=0.92),
            objects=ObjectSearch(),
        ),
    )
}  # fmt: skip
DEFAULT_PRESET = "paper"


@checked
def get_preset(preset: str | Preset) -> Preset:
    """Return the preset of that name. Raises ProposalsError, listing the names, if it does not exist."""
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ProposalsError(
            f"Unknown preset {preset!r}.{did_you_mean(preset, PRESETS)}\nPresets: {', '.join(PRESETS)}"
        )
    return PRESETS[preset]
