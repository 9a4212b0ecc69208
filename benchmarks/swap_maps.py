"""Does the map that the experiment draws show what was planted? Swap maps beside saliency.

Worlds of `benchmarks.detection` whose networks are trained anew. Of each class that truly leans on
its own cue, pictures with the cue; of each unaffected class as many. Asked is

- where: which part of the surroundings each map points at (a swap map by its most negative effect,
  a saliency map by its mean), and whether a tag or companion lies there;
- whether: how well the effect of the surroundings, beyond that of their own class's, tells own-cue
  pictures from others; for saliency the mass in the surroundings.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from audit.geometry import Geometry
from audit.interventions import FILLS, feather, paste, removal_mask
from audit.measuring.swap_maps import CELLS, parts_of, swap_map
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import METHODS, class_scores, explain
from audit.scoring import foreground_mass
from benchmarks.detection.networks import MEAN, STD, train
from benchmarks.detection.pictures import Painted, paint
from benchmarks.detection.truth import judge, measure
from benchmarks.detection.worlds import World, make_world

SEEDS = (7701, 7702, 7703, 7704, 7705, 7706)
ARCHITECTURES = ("plain", "residual", "depthwise")
EXHIBITS, DONORS = 6, 9
_COVERED = 0.2
"""Share of a part that the cue must cover for it to lie there."""


def _floats(pictures: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def _backgrounds(painted: Painted) -> Tensor:
    masks = torch.from_numpy(painted.masks)
    hole = removal_mask(masks, torch.zeros_like(masks))
    return FILLS["inpaint"](_floats(painted.images), hole)


def _pointed(values: NDArray[np.floating], parts: NDArray[np.bool_]) -> int:
    return int(np.argmax([values[part].mean() for part in parts]))


def _of_class(
    world: World, engine: Engine, label: int, donors: Sequence[Tensor], random: np.random.Generator
) -> list[dict[str, object]]:
    name = world.names[label]
    own = [name] * EXHIBITS * 4
    painted = paint(world, own, own, world.seed * 10 + 3, random)
    images, masks = _floats(painted.images), torch.from_numpy(painted.masks)
    right = class_scores(engine, images).argmax(1).numpy() == label
    wanted = right & (painted.cues.any((1, 2)) if name in world.cues else True)
    chosen = np.flatnonzero(wanted)[:EXHIBITS]
    if not len(chosen):
        return []
    targets = torch.full((len(chosen),), label)
    maps = {
        method: explain(
            engine, images[chosen], targets, method=function, seeds=[int(i) for i in chosen]
        ).maps
        for method, function in METHODS.items()
    }
    others = [other for other in range(len(donors)) if other != label]
    rows: list[dict[str, object]] = []
    for at, index in enumerate(chosen):
        alpha = feather(masks[index : index + 1])
        met = random.permutation(others)[:4]
        swaps = paste(images[index : index + 1], alpha, torch.stack([donors[k][0] for k in met]))
        # As in a report: other backgrounds of the class whose one background cost most.
        worst = met[int(class_scores(engine, swaps).softmax(1)[:, label].argmin())]
        found = swap_map(
            lambda pictures: class_scores(engine, pictures),
            images[index],
            masks[index],
            label,
            donors[worst][1:],
            donors[label],
            seed=int(index),
        )
        held, is_object = parts_of(masks[index], CELLS)
        parts = held.numpy()[~is_object]
        lies = [painted.cues[index][part].mean() >= _COVERED for part in parts]
        beyond = found.beyond_control
        row: dict[str, object] = {
            "swap_map": bool(lies[_pointed(-found.effect, parts)]),
            "swap_map score": -beyond.effect / beyond.error,
            "chance": float(np.mean(lies)),
            "surroundings": beyond.effect,
            "error": beyond.error,
        }
        for method, drawn in maps.items():
            saliency = drawn[at].numpy()
            row[method] = bool(lies[_pointed(saliency, parts)])
            mass = foreground_mass(drawn[at : at + 1], masks[index : index + 1])
            row[f"{method} score"] = 1 - float(mass)
        rows.append(row)
    return rows


def one_world(seed: int, architecture: str) -> pd.DataFrame:
    """Exhibits of the own-cue and of the unaffected classes of a world."""
    world = make_world(seed)
    network: nn.Module = train(world, architecture)
    truth = judge(measure(world, network, 100))
    geometry = Geometry(world.side, None, "none")
    engine = Engine(AuditedModel(network, None, geometry, MEAN, STD))
    random = np.random.default_rng([seed, 7])
    donors = [
        _backgrounds(paint(world, [n] * DONORS, [n] * DONORS, seed * 10 + 3, random))
        for n in world.names
    ]
    rows = []
    for label, judged in enumerate(truth):
        if judged["truth"] in ("own", "innocent"):
            cue = world.cues.get(world.names[label])
            kind = cue.kind if cue is not None and judged["truth"] == "own" else ""
            for row in _of_class(world, engine, label, donors, random):
                rows.append({"seed": seed, "label": label, "kind": kind, **row})
    return pd.DataFrame(rows)


def _auroc(positive: pd.Series, negative: pd.Series) -> float:
    return float(mannwhitneyu(positive, negative).statistic / len(positive) / len(negative))


def show(table: pd.DataFrame) -> str:
    """The figures as Markdown."""
    innocent = table[table["kind"] == ""]
    lines = ["| map | " + " | ".join(f"{k}: where" for k in ("tag", "companion"))]
    lines[0] += " | own cue or not, AUROC: images | classes |"
    lines.append("|---|---|---|---|---|")
    for method in ("swap_map", *METHODS):
        where = [
            f"{table.loc[table['kind'] == k, method].mean():.2f}" for k in ("tag", "companion")
        ]
        score = f"{method} score"
        by_class = table.groupby(["seed", "label", "kind"])[score].mean().reset_index()
        images = _auroc(table.loc[table["kind"] != "", score], innocent[score])
        classes = _auroc(
            by_class.loc[by_class["kind"] != "", score], by_class.loc[by_class["kind"] == "", score]
        )
        lines.append(f"| {method} | {' | '.join(where)} | {images:.2f} | {classes:.2f} |")
    counts = table.groupby("kind").size().to_dict()
    chance = table[table["kind"].isin(["tag", "companion"])].groupby("kind")["chance"].mean()
    lines.append(f"\nexhibits by cue: {counts}; a part at random: {chance.round(2).to_dict()}")
    return "\n".join(lines)


def main() -> None:
    """Run the worlds one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tables = []
    for place, seed in enumerate(asked.seeds):
        tables.append(one_world(seed, ARCHITECTURES[place % len(ARCHITECTURES)]))
        print(show(pd.concat(tables)), flush=True)


if __name__ == "__main__":
    main()
