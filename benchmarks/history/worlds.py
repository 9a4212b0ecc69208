"""Worlds whose audits are resampled: clean ones, and one that is retrained with cues weakened.

A world has one folder of images, of which each of its models is an audit: the same images, the
network trained with other correlations of the same cues. So a comparison of two of its runs is that
of a retraining, and the truth of each model is measured by the painter, without the tool.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from audit.measuring import follow_up
from audit.pipeline.session import AuditRequest
from audit.writing import write_bytes, write_json
from benchmarks.detection.audits import run_steps
from benchmarks.detection.files import manifest, write_images
from benchmarks.detection.networks import train
from benchmarks.detection.truth import judge, measure
from benchmarks.detection.worlds import World, make_world

IMAGES = 100
"""Images a class: what weeks are drawn from."""
EACH = 100
"""Pictures behind each accuracy of the truth."""
BANKS = (0, 1, 2, 3)
"""Seeds of the donors: each draws its own backgrounds, of which a week meets those of one."""
STRENGTHS: Mapping[str, float] = {"absent": 0.0, "weak": 0.7, "strong": 1.0}
"""Share of a planted class's training pictures that have its cue, by the name of the model."""


def prepare(folder: Path, seed: int, architecture: str, *, clean: bool) -> list[Path]:
    """Paint a world, train its models and audit each, unless that was done.

    Returns
    -------
    list of Path
        The run folders: of a clean world ``run`` with the donors of each of :data:`BANKS`; else
        one of each of :data:`STRENGTHS`, and the first with the donors of the other seeds.
    """
    drawn = make_world(seed, clean=clean)
    if not (folder / "classes.txt").exists():
        write_images(_with_strength(drawn, 1.0), folder, [IMAGES])
        write_bytes(folder / "classes.txt", ("\n".join(drawn.names) + "\n").encode())
    strengths = {"run": 1.0} if clean else STRENGTHS
    for name, strength in strengths.items():
        _trained(folder, drawn, architecture, name, strength)
    models = [(model, BANKS[0]) for model in strengths]
    models += [(next(iter(strengths)), seed) for seed in BANKS[1:]]
    return [_audited(folder, architecture, *model) for model in models]


def _with_strength(world: World, strength: float) -> World:
    cues = {name: replace(cue, correlation=strength) for name, cue in world.cues.items()}
    return replace(world, cues=cues)


def _trained(folder: Path, world: World, architecture: str, name: str, strength: float) -> None:
    """Train a model, and measure its truth in the surroundings of the images that are audited."""
    if (folder / f"{name}.truth.json").exists():
        return
    network = train(_with_strength(world, strength), architecture)
    weights = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(weights, folder / f"{name}.safetensors")
    rows = judge(measure(_with_strength(world, 1.0), network, EACH))
    truth = [row | {"name": held} for row, held in zip(rows, world.names, strict=True)]
    write_json(folder / f"{name}.truth.json", truth)


def _audited(folder: Path, architecture: str, model: str, seed: int) -> Path:
    """Audit a model, with as many images followed up as there are."""
    run = folder / (f"{model}-seed-{seed}" if seed else model)
    if not (run / "findings.json").exists():
        path = manifest(folder, architecture, IMAGES, "exact")
        follow_up.IMAGES = IMAGES
        weights = f"model.weights={model}.safetensors"
        overrides = (weights, f"run.seed={seed}", f"interventions.images={IMAGES}")
        run_steps(AuditRequest(str(path), str(run), overrides, device="cpu"))
        shutil.rmtree(run / "donors", ignore_errors=True)
    return run


def read_truth(run: Path) -> dict[str, dict[str, Any]]:
    """What each class of a world's run truly owes to surroundings, by name; {} of other runs."""
    path = run.parent / f"{run.name.partition('-seed-')[0]}.truth.json"
    if not path.exists():
        return {}
    return {row["name"]: row for row in json.loads(path.read_text())}
