"""Can these maps be believed? A few of them tried, with the model as it is and as it forgets.

Measured here and judged in :mod:`audit.verdicts.maps`. No score and no verdict depends on it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from audit.dataset.batches import Batch, iterate_batches
from audit.findings import MapAgreement, MapChecks, MapOrder, RandomisedMaps
from audit.measuring.plan import Workbench
from audit.measuring.randomised import restart, weighted_layers
from audit.measuring.rows import maps_of
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.pixels import to_float
from audit.saliency import METHODS, class_scores, explain
from audit.saliency.choosing import choose_method
from audit.saliency.contributions import BASELINES
from audit.sampling import at_most, sample_seed
from audit.scoring import rank_correlation

IMAGES = 12
"""Images whose maps are tried."""
DEPTHS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the layers that forget, from the end; before them the last layer alone."""
TILES = 14
"""Most places a side at which maps are compared and parts removed."""
SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Of the image that is removed or shown."""
OTHERS: Mapping[str, Mapping[str, int]] = {
    "gradcam": {},
    "gradient": {},
    "integrated_gradients": {"steps": 8},
    "gradient_rollout": {},
}
"""Methods that the maps are compared with, where they serve the network; what needs more passes is
left out."""
PASSES = IMAGES * len(SHARES) * 4
"""Without derivatives."""
MAPS = IMAGES * (len(DEPTHS) + 2)
"""By the run's method; those of other methods cost about as many passes as twelve each of these."""


def check_maps(scores: pd.DataFrame, bench: Workbench, method: str) -> MapChecks | None:
    """Try the maps of some images that the model answers rightly.

    The network forgets from its end, layer by layer (Adebayo et al. 2018, "Sanity checks for
    saliency maps"); parts of the image are removed and shown in the order of the map (Petsiuk, Das
    and Saenko 2018, "RISE": deletion and insertion), and in an order by chance; and the maps are
    compared with those of other methods.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    bench : Workbench
        Of the run.
    method : str
        By its name in ``METHODS``, or as the user named it.

    Returns
    -------
    MapChecks or None
        None where no image is answered rightly, or none can be read.
    """
    right = scores[scores["prediction"] == scores["label"]]
    few = at_most(right, IMAGES, bench.plan.seed, "map checks")["sample_id"]
    table = bench.table[bench.table["sample_id"].isin(set(few))]
    batches = list(iterate_batches(table, bench.loader, IMAGES)) if len(table) else []
    if not batches or not len(batches[0]):
        return None
    batch = batches[0]
    maps = maps_of(bench.model, batch, bench.plan)
    deletion, insertion = orders(bench.model, batch, maps, bench.plan.seed)
    return MapChecks(
        method=method,
        images=len(batch),
        cascade=tuple(_cascade(bench, batch, maps)),
        deletion=deletion,
        insertion=insertion,
        agreements=tuple(_agreements(bench, batch, maps, method)),
    )


def similarity(maps: Tensor, others: Tensor) -> float:
    """Mean rank correlation of maps ``(N, H, W)`` on tiles; NaN where all are blank."""
    found = [
        rank_correlation(one, other)
        for one, other in zip(_tiled(maps), _tiled(others), strict=True)
    ]
    known = [value for value in found if value == value]
    return float(np.mean(known)) if known else float("nan")


def _tiled(maps: Tensor) -> NDArray[np.float32]:
    side = min(TILES, *maps.shape[1:])
    tiles: NDArray[np.float32] = F.adaptive_avg_pool2d(maps.float()[:, None], side)[:, 0].numpy(
        force=True
    )
    return tiles


def _cascade(bench: Workbench, batch: Batch, maps: Tensor) -> Iterator[RandomisedMaps]:
    for layer, share, blank in forgetting(bench.model.model, bench.plan.seed):
        found = similarity(maps, maps_of(Engine(blank), batch, bench.plan))
        yield RandomisedMaps(layer=layer, share=share, similarity=found)


def forgetting(model: AuditedModel, seed: int) -> Iterator[tuple[str, float, AuditedModel]]:
    """Let a copy of a model forget from its end on: the last layer, then more and more.

    Yields
    ------
    layer, share, model
        The first layer that forgot, the share of all that did, and the copy, which goes on
        forgetting.
    """
    blank = copy.deepcopy(model)
    layers = weighted_layers(blank.module)
    counts = sorted({1, *(max(1, round(share * len(layers))) for share in DEPTHS)})
    done = 0
    for count in counts if layers else ():
        _restart(layers[len(layers) - count : len(layers) - done], seed + count)
        done = count
        name = layers[-count][0]
        yield name, count / len(layers), blank


def _restart(layers: Sequence[tuple[str, nn.Module]], seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        for _, module in layers:
            restart(module)


def orders(model: Engine, batch: Batch, maps: Tensor, seed: int) -> tuple[MapOrder, MapOrder]:
    """Remove parts of each image, and show them, in the order of its map and in one by chance."""
    images = to_float(batch.images.to(model.device))
    targets = batch.targets.to(model.device)
    tiles = torch.from_numpy(_tiled(maps)).flatten(1)
    chance = torch.stack(
        [
            torch.rand(
                tiles.shape[1],
                generator=torch.Generator().manual_seed(sample_seed(seed, name, "map checks")),
            )
            for name in batch.ids
        ]
    )
    gone, coarse = BASELINES["mean"](images), BASELINES["blur"](images)
    found = {}
    for kind, ranks in (("by_map", tiles), ("by_chance", chance)):
        first = [_first(ranks, share, images) for share in SHARES]
        removed = [torch.where(marked, gone, images) for marked in first]
        shown = [torch.where(marked, images, coarse) for marked in first]
        found[kind] = (_probability(model, removed, targets), _probability(model, shown, targets))
    return (
        MapOrder(by_map=found["by_map"][0], by_chance=found["by_chance"][0]),
        MapOrder(by_map=found["by_map"][1], by_chance=found["by_chance"][1]),
    )


def _first(ranks: Tensor, share: float, images: Tensor) -> Tensor:
    """Where the highest tiles lie, as many as make up a share of the image: bool (N, 1, H, W)."""
    side = round(ranks.shape[1] ** 0.5)
    count = max(1, round(share * ranks.shape[1]))
    marked = torch.zeros_like(ranks)
    marked.scatter_(1, ranks.topk(count).indices, 1.0)
    tiles = marked.view(len(ranks), 1, side, side).to(images)
    return F.interpolate(tiles, size=images.shape[2:], mode="nearest-exact") > 0


def _probability(model: Engine, variants: Sequence[Tensor], targets: Tensor) -> tuple[float, ...]:
    """The class's mean probability over the variants of each image."""
    total = sum(
        class_scores(model, one).softmax(1).gather(1, targets[:, None])[:, 0].double()
        for one in variants
    )
    return tuple((torch.as_tensor(total) / len(variants)).tolist())


def _agreements(
    bench: Workbench, batch: Batch, maps: Tensor, method: str
) -> Iterator[MapAgreement]:
    images = to_float(batch.images.to(bench.model.device))
    targets = batch.targets.to(bench.model.device)
    seeds = [sample_seed(bench.plan.seed, name, "saliency") for name in batch.ids]
    for name, options in OTHERS.items():
        if name == method:
            continue
        chosen = choose_method(METHODS[name], name, options, model=bench.model, image=images[:1])
        if chosen.name != name:
            continue
        made = explain(
            bench.model,
            images,
            targets,
            method=chosen.method,
            target=bench.plan.target,
            seeds=seeds,
        )
        yield MapAgreement(method=name, similarity=similarity(maps, made.maps))
