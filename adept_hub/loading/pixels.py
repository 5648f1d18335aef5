"""Preprocessing of a user's own model, read from the model itself."""

from __future__ import annotations

from torch import nn

from adept_hub.convert.facts import Facts
from adept_hub.convert.framework import Framework
from adept_hub.doctor import diagnose
from adept_hub.spec import CheckpointConfig


def pixel_facts(model: nn.Module, framework: Framework) -> Facts:
    """Return mean, std (0-255) and channel order of a detector inside any wrapper; None for what it does not define."""
    candidates = (facts for module in model.modules() if (facts := framework.read_pixels(module)))
    return next(candidates, Facts())


def pixel_notes(model: nn.Module, framework: Framework, config: CheckpointConfig) -> tuple[str, ...]:
    """Return one sentence for each difference between the model's preprocessing and that of the weights."""
    return tuple(
        f"the model's {finding.code} is {finding.actual}, but the weights need {finding.expected}: {finding.remedy}"
        for finding in diagnose(pixel_facts(model, framework), config, framework)
    )
