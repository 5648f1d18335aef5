"""What the processes that are killed find imported and compiled, so that they spend their time on their work."""

from __future__ import annotations

import importlib

import numpy as np
from PIL import Image

from adept_training.proposals import get_preset
from adept_training.proposals.selective import selective_search

_MODULES = (
    "adept_hub.cli.main", "adept_hub.load", "adept_training.comparing.compare", "adept_training.labels.datasets",
    "adept_training.deploying.deploy", "adept_training.finetuning.run", "adept_training.pretraining.pretrain",
    "adept_training.proposals.run", "matplotlib.backends.backend_svg", "onnx", "tests.training.support",
)  # fmt: skip

for _module in _MODULES:
    importlib.import_module(_module)
Image.init()
selective_search(np.zeros((16, 16, 3), np.uint8), get_preset("fixed"))
