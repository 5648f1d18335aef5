"""The supported frameworks, one `Framework` value each; to support another one, add a module here.

Its name is also in `adept_hub.spec.FRAMEWORKS`, which commands read without importing torch.
"""

from __future__ import annotations

from adept_hub.arguments.choices import check_choice
from adept_hub.convert.framework import Framework
from adept_hub.errors import UnsupportedDetectorError
from adept_hub.frameworks.detectron2 import DETECTRON2
from adept_hub.frameworks.mmdet import MMDET
from adept_hub.frameworks.torchvision import TORCHVISION

__all__ = ["DETECTRON2", "FRAMEWORKS", "MMDET", "TORCHVISION", "Framework", "find_framework"]

FRAMEWORKS: dict[str, Framework] = {value.name: value for value in (TORCHVISION, DETECTRON2, MMDET)}


def find_framework(name: str) -> Framework:
    """Return the framework with a name.

    Raises:
        UnsupportedDetectorError: no framework has this name.
    """
    check_choice("framework", name, FRAMEWORKS, UnsupportedDetectorError)
    return FRAMEWORKS[name]
