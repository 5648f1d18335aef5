"""The online and the target network, their heads for the contrast, and the momentum between them (BYOL; SoCo).

Legend: N images, K boxes, D dimensions.
"""

from __future__ import annotations

import copy

from torch import Tensor, nn

from adept_hub.models.parts import DetectorParts
from adept_hub.spec import DetectorSpec


class MLP(nn.Sequential):
    """Linear, batch norm, ReLU, Linear: projector and predictor (SoCo, ``mlps.py``); no norm after the last."""

    def __init__(self, in_dim: int, hidden: int, out_dim: int) -> None:
        super().__init__(
            nn.Linear(in_dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out_dim)
        )


class PartsNetwork(nn.Module):
    """Detector parts and, in a subclass, what a method needs to train them."""

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__()
        self.parts = DetectorParts(spec)

    def layers(self) -> list[nn.Module]:
        """Return the modules other than the RPN that take most of the time of a step."""
        return [self.parts.backbone, self.parts.fpn, self.parts.head]


class Network(PartsNetwork):
    """Detector parts, projector (its last layer with a batch norm if ``norm``) and, online only, predictor."""

    def __init__(self, spec: DetectorSpec, hidden: int, dim: int, in_dim: int, *, norm: bool = False) -> None:
        super().__init__(spec)
        self.projector = MLP(in_dim, hidden, dim)
        if norm:
            self.projector.append(nn.BatchNorm1d(dim, affine=False))
        self.predictor: nn.Module = MLP(dim, hidden, dim)

    def layers(self) -> list[nn.Module]:
        """Return the modules other than the RPN that take most of the time of a step."""
        return [*super().layers(), self.projector, self.predictor]

    def embed(self, features_BD: Tensor) -> Tensor:
        """Return the embedding for the loss: the projection, and on the online network its prediction."""
        embedding: Tensor = self.predictor(self.projector(features_BD))
        return embedding


def make_target(online: Network) -> Network:
    """Return a frozen copy without predictor and RPN. Its norms stay in training mode with separate statistics."""
    target = copy.deepcopy(online)
    target.predictor = nn.Identity()
    target.parts.rpn = nn.Identity()
    return target.requires_grad_(False)
