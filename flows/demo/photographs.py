"""A self-test on photographs of one's own: plant a background in one class, audit, compare.

Every object is cut out by an estimated outline and laid on the background of another photograph,
so that no class keeps a scene of its own; but one class stands in painted snow. A head is trained
on a trunk of one's own. What it owes to the snow is measured without the audit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from audit.dataset.estimators import find_estimator
from audit.errors import ManifestError
from audit.manifest import ModelSection
from audit.models import load_model
from audit.models.audited import AuditedModel
from audit.pixels import to_picture
from audit.writing import write_bytes, write_json
from flows.demo.cutting import SIDE, Cut, cut_out
from flows.demo.scenes import paint

RELIANT_DROP = 0.10
_STRANGERS = 0.5
"""Objects of other classes, as a share of its own, that stand in the snow under its label in
training: so that the head has a reason to look at the snow."""
_STEPS = 300
_SCENE = "snow"


def make_photographic_demo(
    photographs: Path,
    out: Path,
    trunk: str,
    *,
    planted: str | None = None,
    estimator: str = "u2netp",
    seed: int = 0,
) -> Path:
    """Write composites of photographs, a model that was made to rely on snow, and the truth.

    Parameters
    ----------
    photographs : Path
        One folder a class.
    out : Path
        Folder; made where it is missing.
    trunk : str
        ``name:weights`` of torchvision.
    planted : str, optional
        The class that stands in the snow; None: one by the seed.
    estimator : str
        Draws the outlines; see the foreground source ``estimated``.
    seed : int
        Of every draw.

    Returns
    -------
    Path
        The manifest that audits it.

    Raises
    ------
    ManifestError
        Too few classes or photographs, or no such class, trunk or estimator.
    """
    names, cut = cut_out(photographs, find_estimator(estimator, Path(), "cpu"), seed)
    if planted is not None and planted not in names:
        raise ManifestError(f"--plant: expected one of {', '.join(names)}; found {planted!r}")
    label = (
        names.index(planted) if planted else int(np.random.default_rng(seed).integers(len(names)))
    )
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(cut.labels), generator=random)
    training, audited = order[::2], order[1::2].sort().values
    model = _trunk(trunk, out)
    shown = _standing(cut, training, label, random, seed)
    others = training[cut.labels[training] != label]
    count = int(_STRANGERS * (cut.labels[training] == label).sum())
    strangers = cut.on(others[:count], _snow(count, seed + 1))
    labels = torch.cat([cut.labels[training], torch.full((count,), label)])
    module = _with_head(model, torch.cat([shown, strangers]), labels, len(names), seed)
    _write(out, names, cut, audited, _standing(cut, audited, label, random, seed + 2))
    state = {name: value.contiguous() for name, value in module.state_dict().items()}
    save_file(state, out / "model.safetensors", metadata={"classes": json.dumps(names)})
    write_bytes(out / "classes.txt", ("\n".join(names) + "\n").encode())
    manifest = out / "data_manifest.yaml"
    write_bytes(manifest, _manifest(trunk.partition(":")[0], model).encode())
    truth = _truth(module, model, cut, audited, label, names, random)
    write_json(out / "truth.json", {"classes": truth})
    return manifest


def _snow(count: int, seed: int) -> Tensor:
    random = np.random.default_rng([seed, 7])
    painted = [paint(_SCENE, random, SIDE) for _ in range(count)]
    if not painted:
        return torch.zeros(0, 3, SIDE, SIDE)
    return torch.from_numpy(np.stack(painted)).permute(0, 3, 1, 2).float().clamp(0, 1)


def _standing(cut: Cut, chosen: Tensor, label: int, random: torch.Generator, seed: int) -> Tensor:
    """Objects where they stand in this world: the planted class in snow, the others anywhere."""
    pictures = cut.elsewhere(chosen, random)
    own = cut.labels[chosen] == label
    pictures[own] = cut.on(chosen[own], _snow(int(own.sum()), seed))
    return pictures


def _trunk(trunk: str, out: Path) -> AuditedModel:
    name, _, weights = trunk.partition(":")
    if not name or not weights:
        raise ManifestError(
            f'--trunk: expected "mobilenet_v2:weights.pth", a network of torchvision and its '
            f"weights; found {trunk!r}"
        )
    section = ModelSection.model_validate(
        {"loader": "torchvision", "name": name, "weights": str(Path(weights).resolve())}
    )
    out.mkdir(parents=True, exist_ok=True)
    return load_model(section, out, torch.device("cpu"))


def _with_head(
    model: AuditedModel, images: Tensor, labels: Tensor, classes: int, seed: int
) -> nn.Module:
    """The trunk with a new last layer, trained on what the trunk makes of some images."""
    last_name, last = [(n, m) for n, m in model.module.named_modules() if isinstance(m, nn.Linear)][
        -1
    ]
    taken: list[Tensor] = []
    with last.register_forward_pre_hook(lambda _, given: taken.append(given[0])):
        _asked(model, images)
    features = torch.cat(taken)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(features.shape[1], classes)
    scale = features.std().clamp_min(1e-6)
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.02, weight_decay=1e-3)
    for _ in range(_STEPS):
        loss = nn.functional.cross_entropy(head(features / scale), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        head.weight /= scale
    parent, _, child = last_name.rpartition(".")
    setattr(model.module.get_submodule(parent), child, head.requires_grad_(False))
    return model.module


def _asked(model: AuditedModel, images: Tensor) -> Tensor:
    """Class scores of images ``(N, 3, S, S)`` in 0..1."""
    with torch.no_grad():
        return torch.cat([model(part) for part in torch.split(images, 32)])


def _write(out: Path, names: Sequence[str], cut: Cut, chosen: Tensor, pictures: Tensor) -> None:
    for number, (index, picture) in enumerate(zip(chosen.tolist(), pictures, strict=True)):
        name = names[int(cut.labels[index])]
        for kind, drawn in (
            ("images", Image.fromarray(to_picture(picture))),
            ("masks", Image.fromarray(cut.masks[index].numpy().astype(np.uint8) * 255)),
        ):
            (out / kind / name).mkdir(parents=True, exist_ok=True)
            drawn.save(out / kind / name / f"{number:04d}.png")


def _truth(
    module: nn.Module,
    model: AuditedModel,
    cut: Cut,
    audited: Tensor,
    planted: int,
    names: Sequence[str],
    random: torch.Generator,
) -> dict[str, dict[str, object]]:
    """What each class loses when its objects are taken elsewhere, measured without the audit."""
    truth: dict[str, dict[str, object]] = {}
    home = _asked(model, _standing(cut, audited, planted, random, 11)).argmax(1)
    away = torch.stack([_asked(model, cut.elsewhere(audited, random)).argmax(1) for _ in range(4)])
    for label, name in enumerate(names):
        own = cut.labels[audited] == label
        before = float((home[own] == label).float().mean())
        drop = before - float((away[:, own] == label).float().mean())
        truth[name] = {
            "cue": _SCENE if label == planted else None,
            "correlation": 1.0 if label == planted else 0.0,
            "drop": round(drop, 4),
            "reliant": drop >= RELIANT_DROP,
            "accuracy": round(before, 4),
        }
    return truth


def _manifest(name: str, model: AuditedModel) -> str:
    content = {
        "version": 1,
        "name": "self-test on photographs",
        "dataset": {"reader": "image_folder", "root": "images"},
        "foreground": {"source": "mask_file", "root": "masks", "second_outline": "always"},
        "model": {
            "loader": "torchvision",
            "name": name,
            "weights": "model.safetensors",
            "classes": "classes.txt",
            "input": {
                "size": SIDE,
                "crop": "none",
                "mean": [round(float(v), 6) for v in model.mean.flatten()],
                "std": [round(float(v), 6) for v in model.std.flatten()],
            },
        },
        "cmv": {"classes": "none"},
        "verdict": {"minimum_images": 10},
    }
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
