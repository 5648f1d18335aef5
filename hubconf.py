"""torch.hub entry points: ``torch.hub.load("org/adept", "adept_joint", num_classes=21)``.

They are `adept_hub.load_pretrained` under the methods' names. ``pip install adept-hub`` gives the same without
GitHub's rate limits.
"""

from inspect import cleandoc as _cleandoc
from typing import Any as _Any

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN as _GeneralizedRCNN

from adept_hub.load import load_pretrained as _load_pretrained

dependencies = ["torch", "torchvision", "huggingface_hub", "safetensors"]


def adept_joint(*, tag: str = "", **options: _Any) -> _GeneralizedRCNN:
    """A detector pre-trained by ADePT, the RPN with the rest; ``tag`` takes a full name instead of the default.

    All other options are those of ``adept_hub.load_pretrained``:
    """
    return _load_pretrained(tag or "adept_joint", **options)


def adept_separate(*, tag: str = "", **options: _Any) -> _GeneralizedRCNN:
    """A detector pre-trained by ADePT, the RPN after and apart from the rest; ``tag`` takes a full name instead.

    All other options are those of ``adept_hub.load_pretrained``:
    """
    return _load_pretrained(tag or "adept_separate", **options)


for _entry in (adept_joint, adept_separate):  # torch.hub.help shows a docstring and nothing else
    _entry.__doc__ = f"{_cleandoc(_entry.__doc__ or '')}\n\n{_cleandoc(_load_pretrained.__doc__ or '')}"
