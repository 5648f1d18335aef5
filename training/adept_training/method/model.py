"""Interface of all methods to the loop, the probes and the export: networks, and the output of a step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from adept_hub.spec import DetectorSpec, Preprocessing
from adept_training.method.networks import PartsNetwork
from adept_training.method.recipe import MethodRecipe


class StepOutput(NamedTuple):
    """Output of a step: the total loss, its terms, and statistics to log (all detached but ``loss``)."""

    loss: Tensor
    terms: dict[str, Tensor]
    stats: dict[str, Tensor]


class PretrainModel(nn.Module):
    """The networks of a method; a batch in, a `StepOutput` out."""

    online: PartsNetwork
    #: Of methods that contrast, only.
    target: PartsNetwork

    def __init__(self, spec: DetectorSpec, recipe: MethodRecipe, preprocessing: Preprocessing | None = None) -> None:
        super().__init__()
        self.spec, self.recipe = spec, recipe
        self.preprocessing = preprocessing or Preprocessing()
        #: Whether the warm-up of the learning rate is over; the training loop sets it.
        self.warm = False

    def frozen(self) -> list[nn.Module]:
        """Return the modules that stay as they are in the start; the target shares those of `MethodRecipe.freeze`."""
        return [self.online.parts.get_submodule(path) for path in self.recipe.frozen]

    def keep_start(self) -> None:
        """Copy what stays of a start while its tensors are trained; called once they are loaded."""

    def train(self, mode: bool = True) -> PretrainModel:
        """Set training mode, except that frozen modules stay in evaluation mode: their statistics must not change."""
        super().train(mode)
        for module in self.frozen():
            module.eval()
        return self


def summed(terms: dict[str, Tensor], stats: dict[str, Tensor]) -> StepOutput:
    """Return the output of a step whose loss is the sum of its terms."""
    loss = torch.stack(list(terms.values())).sum()
    return StepOutput(loss, {k: v.detach() for k, v in terms.items()}, {k: v.detach() for k, v in stats.items()})
