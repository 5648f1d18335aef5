"""The RPN of a source at the scale of its pre-training, where its regions are best."""

from __future__ import annotations

import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.load import load_pretrained
from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.models.options import DetectorOptions
from adept_hub.spec import CheckpointConfig

#: Side of the paper's views in pixels.
_PAPER_VIEWS = (224, 224, 112)
#: Shorter side and maximum of the longer side in every framework's stock config, pixels.
_STOCK = (800, 1333)


def at_pretraining_scale(source: str, config: CheckpointConfig) -> GeneralizedRCNN:
    """Load the detector with pre-training's own anchors and image size, the scale at which its RPN was trained.

    P6 has no anchors in pre-training; it gets those of twice the size of P5's. A checkpoint without the size of its
    views (one that was saved from memory) uses the paper's; one that was trained with labels, that of every
    framework's stock config.
    """
    return load_pretrained(source, **_options(config)).eval()


def random_start(config: CheckpointConfig, seed: int = 0) -> GeneralizedRCNN:
    """Build the detector of `at_pretraining_scale` with random values, to compare before and after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = DetectorParts(config.spec)
        return assemble_detector(parts, 2, "faster_rcnn", config.preprocessing, **_options(config)).eval()


def _options(config: CheckpointConfig) -> DetectorOptions:
    views = config.provenance.recipe.get("views", {})
    view, *_ = views.get("sizes", _PAPER_VIEWS)
    side, longest = _STOCK if config.provenance.labeled and not views else (view, 2 * view)
    return {
        "anchor_sizes": config.spec.anchors.with_p6, "min_size": side, "max_size": longest,
        "rpn_post_nms_top_n_test": 300, "rpn_nms_thresh": 0.5,
    }  # fmt: skip
