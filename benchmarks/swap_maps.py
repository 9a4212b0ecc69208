"""Does the map that the experiment draws show what was planted? Swap maps beside saliency.

Worlds of `benchmarks.detection`, whose networks are trained anew or lie ready. Of each class that
truly leans on its own cue, pictures with the cue; of each unaffected class as many. Asked is

- where: which part each map points at (a swap map by its most negative effect, a saliency map by
  its mean), and whether the cue lies there: among the parts of the surroundings (of a scene all of
  them), among all parts, the object's too, and by sums, where what is spread over the surroundings
  is compared in sum (`pointed_part`); of unaffected classes, whether that is on the object;
- whether: how well the effect of the surroundings, beyond that of their own class's, tells own-cue
  pictures from others; for saliency the mass in the surroundings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from audit.measuring.part_findings import SwapMap, pointed_part
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


def _lies(cue: NDArray[np.bool_], part: NDArray[np.bool_]) -> bool:
    return bool(cue[part].mean() >= _COVERED or cue[part].sum() >= _HELD * max(1, cue.sum()))


@dataclass(frozen=True)
class Exhibit:
    """A picture, the parts of it, and which of them hold its cue."""

    parts: NDArray[np.bool_]
    is_object: NDArray[np.bool_]
    lies: NDArray[np.bool_]

    def pointing(self, method: str, lost: NDArray[np.floating]) -> dict[str, object]:
        """Where a map points, of what each place ``(H, W)`` adds to the class.

        A part by its mean, in the surroundings and anywhere; and as a swap map points, by sums.
        """
        means = np.array([lost[part].mean() for part in self.parts])
        around = np.where(self.is_object, -np.inf, means)
        sums = means * self.parts.sum((1, 2))
        by_sums = pointed_part(-sums.astype(np.float64), self.is_object)
        return {
            method: bool(self.lies[around.argmax()]),
            f"{method} anywhere": bool(self.lies[means.argmax()]),
            f"{method} by sums": bool(self.lies[by_sums]),
            f"{method} on object": bool(self.is_object[by_sums]),
        }


def _exhibit(mask: Tensor, cue: NDArray[np.bool_]) -> Exhibit:
    held, is_object = parts_of(mask, CELLS)
    parts = held.numpy()
    lies = [_lies(cue, part) and not own for part, own in zip(parts, is_object, strict=True)]
    return Exhibit(parts, is_object, np.array(lies, bool))


def _swapped_parts(
    engine: Engine,
    image: Tensor,
    mask: Tensor,
    label: int,
    donors: Sequence[Tensor],
    random: np.random.Generator,
    seed: int,
) -> SwapMap:
    """As in a report: other backgrounds of the class whose one cost most; rival: what it became."""
    others = [other for other in range(len(donors)) if other != label]
    met = random.permutation(others)[:4]
    lent = torch.stack([donors[k][0] for k in met])
    swaps = paste(image[None], feather(mask[None]), lent)
    answers = class_scores(engine, swaps).softmax(1)
    costliest = int(answers[:, label].argmin())
    worst, became = met[costliest], int(answers[costliest].argmax())
    scores = partial(class_scores, engine)
    rival = None if became == label else became
    lenders = Donors(donors[worst][1:], donors[label], rival)
    return swap_map(scores, image, mask, label, lenders, seed=seed)


def _row(exhibit: Exhibit, found: SwapMap) -> dict[str, object]:
    """What the swap map says of an exhibit; its parts are compared by their whole effects."""
    around = np.where(found.is_object, np.inf, found.effects)
    beyond = found.beyond_control
    return {
        "swap_map": bool(exhibit.lies[around.argmin()]),
        "swap_map anywhere": bool(exhibit.lies[found.effects.argmin()]),
        "swap_map by sums": bool(exhibit.lies[found.pointed]),
        "swap_map on object": bool(found.is_object[found.pointed]),
        "swap_map score": -beyond.effect / beyond.error,
        "chance": float(np.mean(exhibit.lies[~found.is_object])),
        "surroundings": beyond.effect,
        "error": beyond.error,
        "difference": found.difference.effect,
        "difference error": found.difference.error,
    }


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
    targets, seeds = torch.full((len(chosen),), label), [int(i) for i in chosen]
    maps = {
        method: explain(engine, images[chosen], targets, method=function, seeds=seeds).maps
        for method, function in _served(engine, images[:1]).items()
    }
    rows: list[dict[str, object]] = []
    for at, index in enumerate(seeds):
        exhibit = _exhibit(masks[index], painted.cues[index])
        asked = (images[index], masks[index], label, donors, random, index)
        row = _row(exhibit, _swapped_parts(engine, *asked))
        for method, drawn in maps.items():
            row |= exhibit.pointing(method, drawn[at].numpy())
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
