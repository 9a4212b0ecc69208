"""Does the map that the experiment draws show what was planted? Swap maps beside saliency.

Worlds of `benchmarks.detection`, whose networks are trained anew or lie ready. Of each class that
truly leans on its own cue, pictures with the cue; of each unaffected class as many. Asked is

- where: which part each map points at (a swap map by its most negative effect, a saliency map by
  its mean), and whether the cue lies there: among the parts of the surroundings (of a scene all of
  them), and among all parts, the object's too;
- whether: how well the effect of the surroundings, beyond that of their own class's, tells own-cue
  pictures from others; for saliency the mass in the surroundings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from audit.geometry import Geometry
from audit.interventions import FILLS, feather, paste, removal_mask
from audit.measuring.swap_maps import CELLS, Donors, parts_of, swap_map
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import METHODS, class_scores, explain
from audit.saliency.choosing import choose_method
from audit.scoring import foreground_mass
from benchmarks.detection.lessons import MEAN, STD
from benchmarks.detection.networks import build, train
from benchmarks.detection.pictures import Painted, paint
from benchmarks.detection.truth import judge, measure
from benchmarks.detection.worlds import World, make_world
from benchmarks.swap_map_figures import show

SEEDS = (7701, 7702, 7703, 7704, 7705, 7706)
ARCHITECTURES = ("plain", "residual", "depthwise")
EXHIBITS, DONORS = 6, 9
FEWER: Mapping[str, Mapping[str, Any]] = {"rise": {"samples": 64}, "occlusion": {"stride": 0.25}}
_COVERED, _HELD = 0.2, 0.5
"""A cue lies in a part that it covers so far, or that holds so much of it: a tag is smaller."""


def _floats(pictures: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def _backgrounds(painted: Painted) -> Tensor:
    masks = torch.from_numpy(painted.masks)
    hole = removal_mask(masks, torch.zeros_like(masks))
    return FILLS["inpaint"](_floats(painted.images), hole)


def _pointed(values: NDArray[np.floating], parts: NDArray[np.bool_]) -> int:
    return int(np.argmax([values[part].mean() for part in parts]))


def _lies(cue: NDArray[np.bool_], part: NDArray[np.bool_]) -> bool:
    return bool(cue[part].mean() >= _COVERED or cue[part].sum() >= _HELD * max(1, cue.sum()))


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
    methods = _served(engine, images[:1])
    maps = {
        method: explain(
            engine, images[chosen], targets, method=function, seeds=[int(i) for i in chosen]
        ).maps
        for method, function in methods.items()
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
            Donors(donors[worst][1:], donors[label]),
            seed=int(index),
        )
        held, is_object = parts_of(masks[index], CELLS)
        every = held.numpy()
        parts = every[~is_object]
        lies = [_lies(painted.cues[index], part) for part in parts]
        anywhere = [_lies(painted.cues[index], part) for part in every]
        beyond = found.beyond_control
        row: dict[str, object] = {
            "swap_map": bool(lies[_pointed(-found.effect, parts)]),
            "swap_map anywhere": bool(anywhere[_pointed(-found.effect, every)]),
            "swap_map score": -beyond.effect / beyond.error,
            "chance": float(np.mean(lies)),
            "surroundings": beyond.effect,
            "error": beyond.error,
        }
        for method, drawn in maps.items():
            saliency = drawn[at].numpy()
            row[method] = bool(lies[_pointed(saliency, parts)])
            row[f"{method} anywhere"] = bool(anywhere[_pointed(saliency, every)])
            mass = foreground_mass(drawn[at : at + 1], masks[index : index + 1])
            row[f"{method} score"] = 1 - float(mass)
        rows.append(row)
    return rows


def _served(engine: Engine, image: Tensor) -> dict[str, Callable[..., Any]]:
    """The methods that serve a network themselves."""
    chosen = {
        name: choose_method(function, name, FEWER.get(name, {}), model=engine, image=image)
        for name, function in METHODS.items()
    }
    return {name: held.method for name, held in chosen.items() if held.reason is None}


def trained_anew(seed: int, architecture: str, each: int) -> tuple[World, nn.Module, list[str]]:
    """A world, a network, and what each class truly is, by `each` pictures a number."""
    world = make_world(seed)
    network = train(world, architecture)
    return world, network, [str(row["truth"]) for row in judge(measure(world, network, each))]


def lying_ready(folder: Path) -> tuple[World, nn.Module, list[str]]:
    """The same of a folder that `benchmarks.detection` prepared."""
    held = json.loads((folder / "world.json").read_text())
    network = build(held["architecture"], len(held["classes"])).eval()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    truth = [row["truth"] for row in held["classes"]]
    return make_world(held["seed"], clean=held["clean"]), network, truth


def exhibits_of(
    world: World, network: nn.Module, truth: Sequence[str], counted: Sequence[str]
) -> pd.DataFrame:
    """Exhibits of a world's classes that truly are `counted`: ``own``, ``innocent``."""
    geometry = Geometry(world.side, None, "none")
    engine = Engine(AuditedModel(network, None, geometry, MEAN, STD))
    if not set(counted) & set(truth):
        return pd.DataFrame()
    random = np.random.default_rng([world.seed, 7])
    donors = [
        _backgrounds(paint(world, [n] * DONORS, [n] * DONORS, world.seed * 10 + 3, random))
        for n in world.names
    ]
    rows = []
    for label, word in enumerate(truth):
        if word in counted:
            cue = world.cues.get(world.names[label])
            kind = cue.kind if cue is not None and word == "own" else ""
            for row in _of_class(world, engine, label, donors, random):
                rows.append({"seed": world.seed, "label": label, "kind": kind, **row})
    return pd.DataFrame(rows)


def main() -> None:
    """Run the worlds one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", help="worlds to train networks on")
    parser.add_argument(
        "--worlds", type=Path, nargs="*", default=[], help="folders of prepared ones"
    )
    parser.add_argument("--each", type=int, default=100, help="pictures behind each true accuracy")
    parser.add_argument("--own-only", action="store_true", help="where alone, not whether")
    parser.add_argument("--out", type=Path, help="write the rows here, as CSV")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    counted = ("own",) if asked.own_only else ("own", "innocent")
    seeds = asked.seeds or (() if asked.worlds else SEEDS)
    jobs: list[Callable[[], tuple[World, nn.Module, list[str]]]] = [
        *(partial(lying_ready, folder) for folder in asked.worlds),
        *(
            partial(trained_anew, seed, ARCHITECTURES[place % len(ARCHITECTURES)], asked.each)
            for place, seed in enumerate(seeds)
        ),
    ]
    tables: list[pd.DataFrame] = []
    for job in jobs:
        tables.append(exhibits_of(*job(), counted))
        rows = pd.concat(tables, ignore_index=True)
        if len(rows):
            print(show(rows), flush=True)
            if asked.out:
                rows.to_csv(asked.out, index=False)


if __name__ == "__main__":
    main()
