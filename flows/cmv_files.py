"""Class model visualizations as files: made once for a model, kept over resumes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from audit.cmv import Cmv, visualize_classes
from audit.manifest import CmvSection, fingerprint
from audit.models import AuditedModel
from audit.report.pictures import to_png
from audit.run_folder import RunFolder, file_slug, write_bytes, write_json


def draw_cmvs(
    run: RunFolder,
    model: AuditedModel,
    classes: Mapping[int, str],
    wanted: CmvSection,
    *,
    seed: int,
    model_key: str,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Make the pictures that are missing and write ``cmv/index.json``.

    Parameters
    ----------
    run : RunFolder
        Where the pictures go.
    model : AuditedModel
        Needs no dataset.
    classes : mapping of int to str
        Names by output index.
    wanted : CmvSection
        Of the manifest.
    seed : int
        Of the run.
    model_key : str
        Hash of the weights; pictures of another model are made again.
    on_progress : callable
        Called with 1 after each picture.
    """
    index_path = run.cmv / "index.json"
    recipe_key = fingerprint(model_key, wanted.steps, wanted.size, seed)
    kept = [
        entry
        for entry in _read(index_path)
        if entry["key"] == recipe_key and (run.path / entry["path"]).exists()
    ]
    entries = {(e["label"], e["recipe"], e["objective"]): e for e in kept}
    for recipe in wanted.recipes:
        for objective in wanted.objectives:
            missing = [c for c in classes if (c, recipe, objective) not in entries]
            on_progress(len(classes) - len(missing))
            for made in visualize_classes(
                model,
                missing,
                recipe=recipe,
                objective=objective,
                steps=wanted.steps,
                size=wanted.size,
                seed=seed,
            ):
                entry = _write(run, made, classes[made.label], recipe_key)
                entries[made.label, recipe, objective] = entry
                on_progress(1)
                # After each picture: a crash loses none that was finished.
                write_json(index_path, list(entries.values()))
    chosen = [entry for entry in entries.values() if entry["label"] in classes]
    write_json(index_path, chosen)
    return chosen


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return entries


def _write(run: RunFolder, made: Cmv, name: str, key: str) -> dict[str, Any]:
    ending = (
        ""
        if (made.recipe, made.objective) == ("robust", "logit")
        else (
            f".{made.objective}" if made.recipe == "robust" else f".{made.recipe}-{made.objective}"
        )
    )
    path = run.cmv / f"{made.label:04d}-{file_slug(name)}{ending}.png"
    pixels = (made.image.permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
    write_bytes(path, to_png(pixels))
    return {
        "label": made.label,
        "label_name": name,
        "recipe": made.recipe,
        "objective": made.objective,
        "path": path.relative_to(run.path).as_posix(),
        "probability": made.probability,
        "robust_probability": made.robust_probability,
        "note": _note(made),
        "key": key,
    }


def _note(made: Cmv) -> str:
    """What a reader must know before looking."""
    if made.recipe == "simonyan":
        return (
            "Simonyan's own form (class score minus an L2 penalty); on modern networks it looks "
            "like noise."
        )
    if made.robust_probability < 0.5:
        return (
            "Failed: after small shifts and zooms the model gives this picture only "
            f"{made.robust_probability:.0%} for the class. Read nothing into it."
        )
    return ""
