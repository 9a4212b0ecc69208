"""Pictures that the model sees alike, put together; how many other pictures belong to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

MOST = 4
LEAST_SILHOUETTE = 0.25
"""Below this two clusters are not told apart: one is assumed (Kaufman and Rousseeuw 1990)."""
LEAST_CUTOFF = 0.02
"""Cosine distance within which a picture always belongs to a cluster: equal but for noise."""


@dataclass(frozen=True)
class Clusters:
    """Groups of pictures, the largest first.

    Parameters
    ----------
    members : int64 (n,)
        Group of each picture, 0 for the largest.
    centres : float64 (k, D)
        Mean direction of each group, of length 1.
    cutoffs : float64 (k,)
        Cosine distance from the centre up to which a picture belongs to the group: that of its
        farthest member, at least :data:`LEAST_CUTOFF`.
    silhouette : float
        How well they stand apart, -1..1; NaN for a single group.
    """

    members: NDArray[np.int64]
    centres: NDArray[np.float64]
    cutoffs: NDArray[np.float64]
    silhouette: float

    def __len__(self) -> int:
        return len(self.centres)


def cluster(features: ArrayLike) -> Clusters:
    """Group pictures by average linkage on the cosine distance of their features.

    The number of groups, 1 to :data:`MOST`, is the one with the highest mean silhouette
    (Rousseeuw 1987), the lowest of several; 1 where it stays below :data:`LEAST_SILHOUETTE`.

    Parameters
    ----------
    features : float (n, D)
        One row a picture, n >= 1.

    Examples
    --------
    >>> cluster([[1, 0], [2, 0], [0, 1], [3, 0], [0, 2]]).members.tolist()
    [0, 0, 1, 0, 1]
    >>> cluster([[1, 2], [1, 2], [1, 2]]).members.tolist()
    [0, 0, 0]
    """
    vectors = normalised(features)
    distances = _distances(vectors, vectors)
    members, best = np.zeros(len(vectors), dtype=np.int64), float("nan")
    if len(vectors) > 2:
        tree = linkage(squareform(distances, checks=False), method="average")
        for count in range(2, min(MOST, len(vectors) - 1) + 1):
            tried = fcluster(tree, count, criterion="maxclust").astype(np.int64)
            value = silhouette(distances, tried)
            if value >= LEAST_SILHOUETTE and not value <= best:
                members, best = tried, value
    return _described(vectors, members, best)


def normalised(features: ArrayLike) -> NDArray[np.float64]:
    """Rows of length 1; a row of zeros stays one."""
    vectors = np.asarray(features, dtype=np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: NDArray[np.float64] = np.divide(
        vectors, length, out=np.zeros_like(vectors), where=length > 0
    )
    return rows


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine distances ``(n, m)`` of rows of length 1, by differences: exactly 0 for equal rows."""
    found: NDArray[np.float64] = ((a[:, None, :] - b[None, :, :]) ** 2).sum(2) / 2
    return found


def silhouette(distances: NDArray[np.float64], members: NDArray[np.int64]) -> float:
    """Mean silhouette of a grouping; NaN with fewer than two groups.

    Parameters
    ----------
    distances : float (n, n)
        Between the pictures.
    members : int (n,)
        The group of each; one that is alone in its group counts 0.
    """
    groups = np.unique(members)
    if len(groups) < 2:
        return float("nan")
    values = np.zeros(len(members))
    for i, own in enumerate(members):
        alike = members == own
        if alike.sum() == 1:
            continue
        inside = distances[i, alike].sum() / (alike.sum() - 1)
        outside = min(distances[i, members == other].mean() for other in groups if other != own)
        larger = max(inside, outside)
        values[i] = (outside - inside) / larger if larger > 0 else 0.0
    return float(values.mean())


def _described(vectors: NDArray[np.float64], members: NDArray[np.int64], value: float) -> Clusters:
    names, first, sizes = np.unique(members, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    renamed = np.empty(len(members), dtype=np.int64)
    for rank, index in enumerate(order):
        renamed[members == names[index]] = rank
    groups = range(len(names))
    centres = normalised([vectors[renamed == group].mean(0) for group in groups])
    cutoffs = [_distances(vectors[renamed == g], centres[g : g + 1]).max() for g in groups]
    return Clusters(renamed, centres, np.maximum(cutoffs, LEAST_CUTOFF), value)


def assign(features: ArrayLike, clusters: Clusters) -> NDArray[np.int64]:
    """Give each of other pictures the group of the nearest centre; -1 beyond its cut-off.

    Parameters
    ----------
    features : float (m, D)
        Of pictures that took no part in the grouping.
    clusters : Clusters
        From :func:`cluster`.

    Returns
    -------
    int64 (m,)
    """
    vectors = normalised(np.reshape(np.asarray(features, float), (-1, clusters.centres.shape[1])))
    distances = _distances(vectors, clusters.centres)
    nearest = distances.argmin(1)
    # A hair's breadth for rounding: a copy of the farthest member belongs to its group.
    inside = distances[np.arange(len(vectors)), nearest] <= clusters.cutoffs[nearest] + 1e-9
    return np.where(inside, nearest, -1)


def representatives(features: ArrayLike, clusters: Clusters, group: int, count: int) -> list[int]:
    """The positions of the `count` members of a group that are nearest to its centre."""
    vectors = normalised(features)
    positions = np.flatnonzero(clusters.members == group)
    distances = _distances(vectors[positions], clusters.centres[group : group + 1])[:, 0]
    # Rounded: alike pictures stay in the order of the samples.
    return [int(i) for i in positions[np.argsort(distances.round(9), kind="stable")][:count]]
