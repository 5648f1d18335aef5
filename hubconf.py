"""torch.hub entry points: ``torch.hub.load("org/adept", "adept_joint", num_classes=21)``.

They are `adept_hub.create_model` under the methods' names, with weights unless ``pretrained=False`` is given.
``pip install adept-hub`` gives the same without GitHub's rate limits.
"""

from inspect import cleandoc as _cleandoc
from typing import Unpack as _Unpack

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN as _GeneralizedRCNN

from adept_hub.arguments.calls import checked as _checked
from adept_hub.load import create_model as _create_model
from adept_hub.load import load_pretrained as _load_pretrained
from adept_hub.loading.options import LoadOptions as _LoadOptions

dependencies = ["torch", "torchvision", "huggingface_hub", "safetensors"]


@_checked
def adept_joint(*, tag: str = "", pretrained: bool = True, **options: _Unpack[_LoadOptions]) -> _GeneralizedRCNN:
    """Build a detector pre-trained by ADePT, the RPN with the rest; ``tag`` takes a full name instead of the default.

    ``pretrained=False`` builds the same detector without weights. All other options are those of
    ``adept_hub.load_pretrained``:
    """
    return _create_model(tag or "adept_joint", pretrained, **options)


@_checked
def adept_separate(*, tag: str = "", pretrained: bool = True, **options: _Unpack[_LoadOptions]) -> _GeneralizedRCNN:
    """Build a detector pre-trained by ADePT, the RPN after and apart from the rest; ``tag`` takes a full name instead.

    ``pretrained=False`` builds the same detector without weights. All other options are those of
    ``adept_hub.load_pretrained``:
    """
    return _create_model(tag or "adept_separate", pretrained, **options)


for _entry in (adept_joint, adept_separate):  # torch.hub.help shows a docstring and nothing else
    _entry.__doc__ = f"{_cleandoc(_entry.__doc__ or '')}\n\n{_cleandoc(_load_pretrained.__doc__ or '')}"
