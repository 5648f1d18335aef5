"""The ADePT trainer: unlabeled images in, a checkpoint folder out.

Importing this package imports nothing else; each call is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adept_hub.detectors.load import load_detector as load_detector
    from adept_training.calls.comparing import compare as compare
    from adept_training.calls.finetuning import evaluate as evaluate
    from adept_training.calls.finetuning import finetune as finetune
    from adept_training.calls.pretraining import pretrain as pretrain
    from adept_training.calls.pretraining import propose as propose
    from adept_training.planning.planner import plan as plan

_HOME = {
    "compare": "adept_training.calls.comparing",
    "evaluate": "adept_training.calls.finetuning",
    "finetune": "adept_training.calls.finetuning",
    "plan": "adept_training.planning.planner",
    "pretrain": "adept_training.calls.pretraining",
    "propose": "adept_training.calls.pretraining",
    "load_detector": "adept_hub.detectors.load",
}

__all__ = sorted(_HOME)  # a list of str, sorted


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'adept_training' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
