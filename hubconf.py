"""torch.hub entry points: ``torch.hub.load("org/adept", "adept_joint", num_classes=21)``.

They call `adept_hub.create_model` and load weights unless ``pretrained=False`` is passed. The package, installed from a
checkout, provides the same without GitHub's rate limits.
"""

from inspect import cleandoc as _cleandoc
from typing import Unpack as _Unpack

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN as _GeneralizedRCNN

from adept_hub.arguments.calls import checked as _checked
from adept_hub.load import create_model as _create_model
from adept_hub.load import load_pretrained as _load_pretrained
from adept_hub.loading.options import LoadOptions as _LoadOptions

dependencies = ["filelock", "torch", "torchvision", "huggingface_hub", "safetensors"]


@_checked
def adept_joint(*, tag: str = "", pretrained: bool = True, **options: _Unpack[_LoadOptions]) -> _GeneralizedRCNN:
    """Build a detector pre-trained by ADePT, jointly with its RPN; ``tag`` is a full name instead of the default.

    ``pretrained=False`` builds the same detector without weights. All other options are those of
    ``adept_hub.load_pretrained``:
    """
    return _create_model(tag or "adept_joint", pretrained, **options)


@_checked
def adept_separate(*, tag: str = "", pretrained: bool = True, **options: _Unpack[_LoadOptions]) -> _GeneralizedRCNN:
    """Build a detector pre-trained by ADePT, its RPN separately; ``tag`` is a full name instead of the default.

    ``pretrained=False`` builds the same detector without weights. All other options are those of
    ``adept_hub.load_pretrained``:
    """
    return _create_model(tag or "adept_separate", pretrained, **options)


@_checked
def detection(*, tag: str = "", pretrained: bool = True, **options: _Unpack[_LoadOptions]) -> _GeneralizedRCNN:
    """Build a detector pre-trained by its own losses on clustered boxes; ``tag`` is a full name instead of the default.

    ``pretrained=False`` builds the same detector without weights. All other options are those of
    ``adept_hub.load_pretrained``:
    """
    return _create_model(tag or "detection", pretrained, **options)


for _entry in (adept_joint, adept_separate, detection):  # torch.hub.help prints only the docstring
    _entry.__doc__ = f"{_cleandoc(_entry.__doc__ or '')}\n\n{_cleandoc(_load_pretrained.__doc__ or '')}"
