"""Clusters: of about equal size, the same again under a seed, and an assignment that is Sinkhorn's."""

from __future__ import annotations

import math

import numpy as np

from adept_training.method.pseudo_classes.clusters import Clusters, fit_clusters


def _features(count: int = 600, seed: int = 0) -> np.ndarray:
    """Return skewed features of unequal scales, one of them constant."""
    rng = np.random.default_rng(seed)
    features = rng.gamma(1.0, 1.0, (count, 40)) * rng.uniform(0.1, 9, 40) + rng.normal(0, 5, 40)
    features[:, 7] = 3.0
    return features.astype(np.float32)


def _slow_assign(clusters: Clusters, features: np.ndarray) -> list[int]:
    """Run Sinkhorn's algorithm row by row on all features that were fitted."""
    mean, scale = features.astype(np.float64).mean(0), features.astype(np.float64).std(0) + 1e-6
    points = [((row - mean) / scale) @ clusters.axes_DC for row in features]
    square = [[sum((p - c) ** 2) for c in clusters.centers_KC] for p in points]
    temperature = 0.1 * math.sqrt(sum((s - np.mean(square)) ** 2 for row in square for s in row) / np.size(square))
    plan = [[math.exp(-(s - min(row)) / temperature) for s in row] for row in square]
    for _ in range(3):
        totals = [sum(column) for column in zip(*plan, strict=True)]
        plan = [[share / total for share, total in zip(row, totals, strict=True)] for row in plan]
        plan = [[share / sum(row) for share in row] for row in plan]
    return [max(range(len(row)), key=row.__getitem__) for row in plan]


def test_the_assignment_is_that_of_a_slow_sinkhorn() -> None:
    features = _features(150)
    clusters = fit_clusters(features, 5, seed=1)
    assert clusters.assign(features).tolist() == _slow_assign(clusters, features)


def test_axes_are_those_of_the_largest_variance() -> None:
    features = _features()
    clusters = fit_clusters(features, 4, seed=0)
    reduced = clusters.reduce(features)
    assert reduced.shape == (600, 32)
    standard = (features - features.mean(0, dtype=np.float64)) / (features.std(0, dtype=np.float64) + 1e-6)
    expected = np.linalg.svd(standard, compute_uv=False)[:32] ** 2 / len(features)
    np.testing.assert_allclose(reduced.var(0), expected, rtol=1e-4)


def test_sizes_are_balanced_where_those_of_the_nearest_centers_are_not() -> None:
    features = _features()
    clusters = fit_clusters(features, 8, seed=0)
    sizes = np.bincount(clusters.assign(features), minlength=8)
    reduced = clusters.reduce(features)
    nearest = ((reduced[:, None] - clusters.centers_KC) ** 2).sum(2).argmin(1)
    plain = np.bincount(nearest, minlength=8)
    assert sizes.max() < 2 * len(features) / 8
    assert sizes.min() > len(features) / 8 / 3
    assert sizes.std() < plain.std()


def test_groups_of_one_size_that_lie_apart_are_found() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 50)
    features = (10 * np.eye(6)[truth] + rng.normal(0, 0.1, (200, 6))).astype(np.float32)
    labels = fit_clusters(features, 4, seed=3).assign(features)
    assert {tuple(sorted(set(labels[truth == k].tolist()))) for k in range(4)} == {(k,) for k in range(4)}


def test_they_are_a_function_of_the_seed_and_assign_each_row_on_its_own() -> None:
    features = _features()
    labels = fit_clusters(features, 6, seed=4).assign(features)
    again = fit_clusters(features.copy(), 6, seed=4)
    assert (labels == again.assign(features)).all()
    assert (labels[100:103] == again.assign(features[100:103])).all()
    assert (labels != fit_clusters(features, 6, seed=5).assign(features)).any()
