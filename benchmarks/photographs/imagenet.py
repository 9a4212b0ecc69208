"""``python -m benchmarks.photographs.imagenet``: our gap beside the truth of Spurious ImageNet.

For those who have ImageNet's validation images (a folder a class) and the photographs of Spurious
ImageNet (Neuhaus et al. 2023, "Spurious features everywhere", ICCV): of 100 classes, photographs
that show a harmful cue and not the object. Their score of a class is the area under the curve of
precision over recall by which the class's probability tells its validation images from those
photographs; 1 where the cue alone is never taken for the class. Beside it the area under the ROC,
and what an audit of the same validation images says.

    python -m benchmarks.photographs.imagenet --imagenet VAL --spurious DIR \
        --model torchvision:resnet50 --weights resnet50.pth --masks MASKS --out runs/spurious

Nothing is fetched. ``--masks`` holds a mask an image in the folders of its class; ``--set`` lays
over the manifest what else is wanted (``--set foreground.source=estimated``).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import stats
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

import audit
from audit.models import MODELS
from audit.models.audited import IMAGENET_MEAN, IMAGENET_STD, AuditedModel
from audit.pipeline.opening import open_declared
from benchmarks.detection.quality import auroc, average_precision

COMPONENTS = Path(__file__).with_name("spurious_imagenet_components.json")
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
BATCH = 16


class CueOnly(NamedTuple):
    """The photographs of one class that show its cue alone."""

    label: int
    component: int
    paths: tuple[Path, ...]


def cue_only(folder: Path) -> list[CueOnly]:
    """The classes of Spurious ImageNet, by the names of its folders.

    A name's third part is the class's index, its last the component of the cue.

    Raises
    ------
    SystemExit
        There is none, or one that the published list does not know.
    """
    known = json.loads(COMPONENTS.read_text())
    found = []
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        parts = place.name.split("_")
        if len(parts) < 4 or not (parts[2].isdigit() and parts[-1].isdigit()):
            raise SystemExit(f"--spurious: {place.name}: expected ..._..._CLASS_..._COMPONENT")
        label, component = int(parts[2]), int(parts[-1])
        if component not in known.get(str(label), ()):
            raise SystemExit(
                f"--spurious: {place.name}: the published list has no component {component} of "
                f"class {label}"
            )
        paths = tuple(sorted(p for p in place.iterdir() if p.suffix.lower() in PICTURES))
        found.append(CueOnly(label, component, paths))
    if not found:
        raise SystemExit(f"--spurious: no folders in {folder.name}")
    return found


def folders_of(imagenet: Path) -> list[Path]:
    """The classes' folders in the order of torchvision's indices: sorted by name."""
    return sorted(place for place in imagenet.iterdir() if place.is_dir())


def pictures_of(folder: Path) -> list[Path]:
    """The pictures of a class."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)


def probabilities(
    model: AuditedModel, paths: Sequence[Path], label: int, size: int, *, cropped: bool
) -> NDArray[np.float64]:
    """Softmax of one class ``(N,)``, the pictures prepared as the publication does.

    Parameters
    ----------
    model : AuditedModel
        Takes pixels in 0..1.
    paths : sequence of N Path
        Pictures.
    label : int
        The class.
    size : int
        Side of the model's input.
    cropped : bool
        True for validation images: the shorter side at 256/224 of the size, then the middle.
        False for those that show the cue alone, which are square: the shorter side at the size.
    """
    found = []
    for start in range(0, len(paths), BATCH):
        batch = []
        for path in paths[start : start + BATCH]:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            shorter = int(256 / 224 * size) if cropped else size
            image = transforms.resize(image, [shorter], InterpolationMode.BICUBIC)
            batch.append(transforms.to_tensor(transforms.center_crop(image, [size, size])))
        with torch.no_grad():
            found.append(model(torch.stack(batch)).double().softmax(1)[:, label])
    return torch.cat(found).numpy()


def scores(
    model: AuditedModel, classes: Sequence[CueOnly], imagenet: Path, size: int
) -> pd.DataFrame:
    """A row a class: the published score, the ROC's area, and how often the cue alone suffices."""
    places, rows = folders_of(imagenet), []
    for held in classes:
        own = probabilities(model, pictures_of(places[held.label]), held.label, size, cropped=True)
        cue = probabilities(model, held.paths, held.label, size, cropped=False)
        rows.append(
            {
                "label": held.label,
                "label_name": places[held.label].name,
                "component": held.component,
                "validation": len(own),
                "cue_only": len(cue),
                "spurious_score": average_precision(pd.Series(own), pd.Series(cue)),
                "roc": auroc(pd.Series(own), pd.Series(cue)),
                "probability": float(own.mean()),
                "cue_probability": float(cue.mean()),
            }
        )
    return pd.DataFrame(rows)


def manifest(options: argparse.Namespace, labels: Sequence[int]) -> dict[str, Any]:
    """The audit of the validation images of some classes; its list of images is written first."""
    places = folders_of(options.imagenet)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "classes.txt").write_text("".join(f"{place.name}\n" for place in places))
    index = options.out / "index.csv"
    with index.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["path", "label"])
        for label in sorted(set(labels)):
            for path in pictures_of(places[label]):
                writer.writerow([path.relative_to(options.imagenet).as_posix(), places[label].name])
    size = options.size
    loader, name = options.model.split(":", 1)
    model: dict[str, Any] = {"loader": loader, "name": name}
    if loader not in MODELS:
        model = {"loader": options.model}
    if options.weights:
        model["weights"] = str(options.weights.resolve())
    foreground: dict[str, Any] = {"source": "none"}
    if options.masks:
        foreground = {"source": "mask_file", "root": str(options.masks.resolve())}
    return {
        "version": 1,
        "name": f"spurious-imagenet-{name}",
        "dataset": {
            "reader": "csv_index",
            "root": str(options.imagenet.resolve()),
            "index": str(index.resolve()),
        },
        "foreground": foreground,
        "model": model
        | {
            "classes": str((options.out / "classes.txt").resolve()),
            "input": _input(options, size),
        },
        "cmv": {"classes": "none"},
        "report": {"formats": []},
    }


def _input(options: argparse.Namespace, size: int) -> dict[str, Any]:
    mean, std = list(options.mean), list(options.std)
    return {"size": size, "resize": int(256 / 224 * size), "mean": mean, "std": std}


def compare(published: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """A row each effect of ours: its rank correlation with 1 - the published score, and n."""
    both = published.groupby("label")["spurious_score"].min().reset_index()
    both = both.merge(found, on="label")
    rows = []
    for effect in ("background_gap", "background_only", "attraction", "mass_lift"):
        known = both[both[effect].notna()]
        pair = (1 - known["spurious_score"], known[effect].astype(float))
        rank = stats.spearmanr(*pair) if len(known) >= 3 else None
        rows.append(
            {
                "effect": effect,
                "classes": len(known),
                "spearman": float(rank.statistic) if rank else float("nan"),
                "p": float(rank.pvalue) if rank else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, audit, compare; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs.imagenet")
    parser.add_argument("--imagenet", type=Path, required=True, help="validation, a folder a class")
    parser.add_argument("--spurious", type=Path, required=True, help="Spurious ImageNet's images")
    parser.add_argument(
        "--model", required=True, help="torchvision:NAME, timm:NAME, or a loader of one's own"
    )
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--mean", type=float, nargs=3, default=IMAGENET_MEAN)
    parser.add_argument("--std", type=float, nargs=3, default=IMAGENET_STD)
    parser.add_argument("--out", type=Path, default=Path("runs/spurious-imagenet"))
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args(arguments)
    classes = cue_only(options.spurious)
    declared = manifest(options, [held.label for held in classes])
    session = open_declared(declared, options.overrides, limit=None, device="cpu")
    published = scores(session.model, classes, options.imagenet, options.size)
    published.to_csv(options.out / "scores.csv", index=False)
    print(published.round(3).to_string(index=False))
    print(f"mean score of {len(published)}: {published['spurious_score'].mean():.3f}")
    run = audit.run(declared, options.out / "run", overrides=options.overrides, device="cpu")
    print(compare(published, run.classes).round(3).to_string(index=False))
    beside = published.merge(run.classes[["label", "verdict"]], on="label")
    print(beside.groupby("verdict")["spurious_score"].agg(["mean", "size"]).round(3).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
