"""How a user's own model turns an image into its network's input, read off the model itself."""

from __future__ import annotations

from torch import nn

from adept_hub.convert.facts import Facts
from adept_hub.convert.framework import Framework
from adept_hub.doctor import diagnose
from adept_hub.spec import CheckpointConfig


def pixel_facts(model: nn.Module, framework: Framework) -> Facts:
    """Return mean, std (0-255) and channel order of a detector behind any wrapper; what it does not hold is None."""
    found = (facts for module in model.modules() if (facts := framework.read_pixels(module)))
    return next(found, Facts())


def pixel_notes(model: nn.Module, framework: Framework, config: CheckpointConfig) -> tuple[str, ...]:
    """Return one sentence for each disagreement between the model's pixels and those that the weights learned on."""
    return tuple(
        f"{finding.code} of the model's pixels is {finding.found}, the weights need {finding.wanted}: {finding.remedy}"
        for finding in diagnose(pixel_facts(model, framework), config, framework)
    )
