"""Clusters of about equal size: principal components, and k-means with Sinkhorn's assignment.

Legend: B boxes, D features, C components, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adept_training.data.arrays import Array, Ints

Doubles = npt.NDArray[np.float64]

COMPONENTS = 32
_ROUNDS = 30
_SINKHORN_ROUNDS = 3
#: Temperature of the assignment, as a share of the deviation of all squared distances.
_TEMPERATURE = 0.1


@dataclass(frozen=True)
class Clusters:
    """Clusters of features, which other features can be assigned to."""

    mean_D: Doubles
    scale_D: Doubles
    axes_DC: Doubles
    centers_KC: Doubles
    #: What a cluster is preferred by, or avoided if negative, so that all are of about equal size.
    bias_K: Doubles
    temperature: float

    def assign(self, features_BD: Array) -> Ints:
        """Return the cluster (B,) of each row."""
        return _nearest(self.reduce(features_BD), self.centers_KC, self.bias_K, self.temperature)

    def reduce(self, features_BD: Array) -> Doubles:
        """Return the principal components (B, C) of the standardized features."""
        reduced: Doubles = ((features_BD - self.mean_D) / self.scale_D) @ self.axes_DC
        return reduced


def fit_clusters(features_BD: Array, classes: int, seed: int) -> Clusters:
    """Fit ``classes`` clusters of about equal size; the result is a function of the features and the seed.

    Args:
        features_BD: at least ``classes`` rows.
        classes: number of clusters.
        seed: seed of the first centers.
    """
    mean_D, scale_D = features_BD.mean(0, dtype=np.float64), features_BD.std(0, dtype=np.float64) + 1e-6
    standard_BD = (features_BD - mean_D) / scale_D
    # Eigenvalues come in ascending order.
    axes_DC = np.linalg.eigh(standard_BD.T @ standard_BD).eigenvectors[:, ::-1][:, :COMPONENTS]
    reduced_BC = standard_BD @ axes_DC
    centers_KC = _first_centers(reduced_BC, classes, np.random.default_rng(seed))
    for _ in range(_ROUNDS):
        labels_B = _nearest(reduced_BC, centers_KC, *_balance(reduced_BC, centers_KC))
        for k in np.unique(labels_B):
            centers_KC[k] = reduced_BC[labels_B == k].mean(0)
    return Clusters(mean_D, scale_D, axes_DC, centers_KC, *_balance(reduced_BC, centers_KC))


def _first_centers(reduced_BC: Doubles, classes: int, rng: np.random.Generator) -> Doubles:
    """Draw rows, each with a probability as its squared distance from the nearest one so far (k-means++)."""
    centers_KC = np.zeros((classes, reduced_BC.shape[1]))
    square_B = np.ones(len(reduced_BC))
    for k in range(classes):
        total = np.maximum(square_B, 0) + 1e-12  # rows may all be the same
        centers_KC[k] = reduced_BC[rng.choice(len(reduced_BC), p=total / total.sum())]
        square_B = np.minimum(square_B if k else np.inf, _distances(reduced_BC, centers_KC[k : k + 1])[:, 0])
    return centers_KC


def _balance(reduced_BC: Doubles, centers_KC: Doubles) -> tuple[Doubles, float]:
    """Return the bias of each cluster by a few rounds of Sinkhorn's algorithm, and the temperature."""
    square_BK = _distances(reduced_BC, centers_KC)
    temperature = _TEMPERATURE * float(square_BK.std()) + 1e-9
    plan_BK = np.exp(-(square_BK - square_BK.min(1, keepdims=True)) / temperature)
    bias_K = np.zeros(len(centers_KC))
    for _ in range(_SINKHORN_ROUNDS):
        total_K = plan_BK.sum(0) + 1e-12
        bias_K -= np.log(total_K)
        plan_BK /= total_K
        plan_BK /= plan_BK.sum(1, keepdims=True) + 1e-12
    return bias_K, temperature


def _nearest(reduced_BC: Doubles, centers_KC: Doubles, bias_K: Doubles, temperature: float) -> Ints:
    nearest: Ints = (bias_K - _distances(reduced_BC, centers_KC) / temperature).argmax(1)
    return nearest


def _distances(reduced_BC: Doubles, centers_KC: Doubles) -> Doubles:
    square_BK: Doubles = (reduced_BC**2).sum(1)[:, None] - 2 * reduced_BC @ centers_KC.T + (centers_KC**2).sum(1)
    return square_BK
