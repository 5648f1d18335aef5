"""Pre-trained two-stage detectors (ADePT, arXiv 2211.09022) for torchvision, Detectron2 and MMDetection.

Importing this package imports neither torch nor torchvision; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adept_hub.detectors.load import load_detector as load_detector
    from adept_hub.exporting import export as export
    from adept_hub.exporting import load_state_dict as load_state_dict
    from adept_hub.load import create_model as create_model
    from adept_hub.load import load_into as load_into
    from adept_hub.load import load_pretrained as load_pretrained
    from adept_hub.load_report import LoadReport as LoadReport
    from adept_hub.publish.push import push_to_hub as push_to_hub
    from adept_hub.publish.push import save_pretrained as save_pretrained
    from adept_hub.registry import ModelInfo as ModelInfo
    from adept_hub.registry import is_model as is_model
    from adept_hub.registry import is_model_pretrained as is_model_pretrained
    from adept_hub.registry import list_models as list_models
    from adept_hub.registry import list_pretrained as list_pretrained
    from adept_hub.registry import model_info as model_info

__version__ = "0.1.0.dev0"

_HOME = {
    "LoadReport": "load_report",
    "ModelInfo": "registry",
    "create_model": "load",
    "export": "exporting",
    "is_model": "registry",
    "is_model_pretrained": "registry",
    "list_models": "registry",
    "list_pretrained": "registry",
    "load_detector": "detectors.load",
    "load_into": "load",
    "load_pretrained": "load",
    "load_state_dict": "exporting",
    "model_info": "registry",
    "push_to_hub": "publish.push",
    "save_pretrained": "publish.push",
}

__all__ = sorted(_HOME)  # a list of str, sorted


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'adept_hub' has no attribute {name!r}")
    return getattr(importlib.import_module(f"adept_hub.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__", "errors"]
