"""torch.hub entry points: ``torch.hub.load("org/adept", "adept_joint", num_classes=21)``.

They are `adept_hub.load_pretrained` under the methods' names. ``pip install adept-hub`` gives the same without
GitHub's rate limits.
"""

import os as _os

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN as _GeneralizedRCNN

from adept_hub.load import NUM_CLASSES as _NUM_CLASSES
from adept_hub.load import load_pretrained as _load_pretrained

dependencies = ["torch", "torchvision", "huggingface_hub", "safetensors"]


def adept_joint(
    *,
    tag: str = "",
    num_classes: int = _NUM_CLASSES,
    detector: str = "faster_rcnn",
    revision: str | None = None,
    cache_dir: str | _os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
) -> _GeneralizedRCNN:
    """A detector pre-trained by ADePT, RPN and the rest jointly; ``tag`` takes a full name instead of the default.

    ``num_classes`` counts the background; ``detector`` is ``faster_rcnn`` or ``mask_rcnn``. Images are a list of
    float32 RGB tensors (3, H, W) in [0, 1]. ``model.load_report`` says what was loaded.
    """
    return _load_pretrained(
        tag or "adept_joint",
        num_classes=num_classes,
        detector=detector,
        revision=revision,
        cache_dir=cache_dir,
        offline=offline,
        token=token,
    )


def adept_separate(
    *,
    tag: str = "",
    num_classes: int = _NUM_CLASSES,
    detector: str = "faster_rcnn",
    revision: str | None = None,
    cache_dir: str | _os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
) -> _GeneralizedRCNN:
    """A detector pre-trained by ADePT, the RPN after and apart from the rest; arguments as in `adept_joint`."""
    return _load_pretrained(
        tag or "adept_separate",
        num_classes=num_classes,
        detector=detector,
        revision=revision,
        cache_dir=cache_dir,
        offline=offline,
        token=token,
    )
