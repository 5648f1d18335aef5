"""The online and the target network and their heads for the contrast (BYOL; SoCo), or a frozen teacher.

Legend: N images, K boxes per image, B boxes of all images, D dimensions, E of targets.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from adept_hub.models.parts import DetectorParts
from adept_hub.spec import DetectorSpec
from adept_training.method.levels import pool_level

#: Variance of a principal component relative to the first, below which it is not scaled to 1.
_LEAST_VARIANCE = 1e-4


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


class Teacher(nn.Module):
    """The backbone of a start, whose whitened features of boxes are targets. Nothing in it is trained.

    A feature is the mean of the box's RoIAlign on C4 and on C5, D channels in all; the target are its E principal
    components, each of variance 1 over the boxes that `fit` has seen.

    Args:
        backbone: shared with the online network if that has it frozen, else a copy.
        channels: D.
        dim: E.
    """

    mean_D: Tensor
    whitening_DE: Tensor

    def __init__(self, backbone: nn.Module, channels: int, dim: int) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.register_buffer("mean_D", torch.zeros(channels))
        self.register_buffer("whitening_DE", torch.zeros(channels, dim))

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode."""
        del mode
        return super().train(False)

    def stages(self, images_NCHW: Tensor) -> list[Tensor]:
        """Compute C2-C5."""
        return list(self.backbone(images_NCHW).values())

    @torch.no_grad()
    def features(self, stages_NCHW: list[Tensor], boxes_NK4: Tensor, view: int) -> Tensor:
        """Return the features (N, K, D) of boxes in pixels of a view with ``view`` pixels per side."""
        image_NK = torch.arange(len(boxes_NK4), device=boxes_NK4.device)[:, None].expand(boxes_NK4.shape[:2])
        pooled = [pool_level(feat, boxes_NK4, image_NK, view).mean(dim=(2, 3)) for feat in stages_NCHW[2:]]
        return torch.cat(pooled, dim=1).reshape(*boxes_NK4.shape[:2], -1)

    @torch.no_grad()
    def targets(self, stages_NCHW: list[Tensor], boxes_NK4: Tensor, view: int) -> Tensor:
        """Return the whitened features (N, K, E)."""
        features_NKD = self.features(stages_NCHW, boxes_NK4, view).to(self.mean_D.dtype)
        return (features_NKD - self.mean_D) @ self.whitening_DE

    @torch.no_grad()
    def fit(self, features_BD: Tensor) -> None:
        """Measure mean and principal components on more than E boxes."""
        features_BD = features_BD.double()
        mean_D = features_BD.mean(dim=0)
        centered_BD = features_BD - mean_D
        values_D, vectors_DD = torch.linalg.eigh(centered_BD.T @ centered_BD / (len(features_BD) - 1))
        values_E = values_D.flip(0)[: self.whitening_DE.shape[1]]
        # Directions that hardly vary are noise, which must not become as large as the rest.
        scale_E = values_E.clamp(min=_LEAST_VARIANCE * float(values_E[0])).rsqrt()
        self.mean_D.copy_(mean_D)
        self.whitening_DE.copy_(vectors_DD.flip(1)[:, : len(scale_E)] * scale_E)


def make_target(online: Network, shared: Iterable[nn.Module] = ()) -> Network:
    """Return a frozen copy without predictor and RPN. Its norms stay in training mode with separate statistics.

    Args:
        shared: modules of ``online`` that the target has in common with it instead of copies.
    """
    target = copy.deepcopy(online, {id(module): module for module in shared})
    target.predictor = nn.Identity()
    target.parts.rpn = nn.Identity()
    return target.requires_grad_(False)
