"""The RPN of a source at the scale of its pre-training, where its regions are best."""

from __future__ import annotations

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

import adept_hub
from adept_hub.spec import CheckpointConfig

#: Side of the paper's views in pixels.
_PAPER_VIEWS = (224, 224, 112)


def at_pretraining_scale(source: str, config: CheckpointConfig) -> GeneralizedRCNN:
    """Load the detector with pre-training's own anchors and image size, the scale at which its RPN was trained.

    P6 has no anchors in pre-training; it gets those of twice the size of P5's. A checkpoint without the size of its
    views (one that was saved from memory) uses the paper's.
    """
    view, *_ = config.provenance.recipe.get("views", {"sizes": _PAPER_VIEWS})["sizes"]
    sizes = config.spec.anchors.sizes
    return adept_hub.load_pretrained(
        source,
        anchor_sizes=(*sizes, 2 * sizes[-1]),
        min_size=view,
        max_size=2 * view,
        rpn_post_nms_top_n_test=300,
        rpn_nms_thresh=0.5,
    ).eval()
