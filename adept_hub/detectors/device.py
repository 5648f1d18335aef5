"""Choose the device of a command."""

from __future__ import annotations

import torch

from adept_hub.arguments.choices import check_choice
from adept_hub.errors import OptionValueError
from adept_hub.spec import DEVICES


def find_device(device: str) -> torch.device:
    """Return the device of a word in `adept_hub.spec.DEVICES`; ``auto`` is a CUDA GPU if there is one, else the CPU.

    Apple's ``mps`` has to be asked for: it has not been tested (docs/platforms.md).

    Raises:
        OptionValueError: no such word, or this machine has no such device.
    """
    check_choice("device", device, DEVICES)
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[device]:
        raise OptionValueError(
            f"device={device!r} is not available here: torch {torch.__version__} finds no such GPU.\n"
            "Use the CPU: device='cpu', or --device cpu on the command line."
        )
    return torch.device(device)
