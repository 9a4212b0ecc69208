"""Class model visualizations as files: made once for a model, kept over resumes and runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from audit.cmv import Cmv, visualize_classes
from audit.cmv.objectives import pictures_each
from audit.manifest import CmvSection
from audit.pipeline.cmv_material import Material
from audit.pixels import to_picture
from audit.report.overlays import to_png
from audit.run_folder import RunFolder, file_slug, write_bytes, write_json

_SIMONYAN = "Simonyan's own form (class score minus an L2 penalty)."

Keys = dict[tuple[int, str, str], str]
Entries = dict[tuple[int, str, str, int], dict[str, Any]]


def draw_cmvs(
    run: RunFolder,
    classes: Mapping[int, str],
    wanted: CmvSection,
    material: Material,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Make the pictures that are missing and write ``cmv/index.json``.

    Pictures that this run or one beside it made of the same model, in the same way, are taken
    over; an interrupted step goes on after the last class that was finished.

    Parameters
    ----------
    run : RunFolder
        Where the pictures go.
    classes : mapping of int to str
        Names by output index.
    wanted : CmvSection
        Recipes and objectives.
    material : Material
        The model, and what else is needed.
    on_progress : callable
        Called with the number of classes, once for each recipe and objective.
    """
    index_path = run.cmv / "index.json"
    kinds = [(recipe, objective) for recipe in wanted.recipes for objective in wanted.objectives]
    keys: Keys = {(c, *kind): material.key(c, *kind) for c in classes for kind in kinds}
    entries = _kept(run, keys)
    _adopt(run, keys, entries)
    for recipe, objective in kinds:
        each = pictures_each(objective)
        missing = [
            c for c in classes if any((c, recipe, objective, v) not in entries for v in range(each))
        ]
        on_progress(len(classes) - len(missing))
        if not missing:
            continue
        # Closed, since a traceback would keep it alive, and with it the threads that climb.
        with closing(_visualize(material, missing, recipe, objective)) as pictures:
            for made in pictures:
                entry = _write(run, made, classes[made.label], material)
                entry["key"] = keys[made.label, recipe, objective]
                entries[made.label, recipe, objective, made.variant] = entry
                if made.variant == each - 1:
                    on_progress(1)
                    # After each class: a crash loses none that was finished.
                    write_json(index_path, list(entries.values()))
    chosen = [entries[place] for place in sorted(entries)]
    write_json(index_path, chosen)
    return chosen


def _visualize(
    material: Material, missing: list[int], recipe: str, objective: str
) -> Generator[Cmv, None, None]:
    session = material.session
    wanted = session.manifest.cmv
    return visualize_classes(
        session.engine,
        missing,
        recipe=recipe,
        objective=objective,
        steps=wanted.steps,
        early=wanted.early,
        size=wanted.size,
        seed=session.manifest.run.seed,
        images=material.images() if recipe == "maco" else None,
        rivals=material.rivals,
        second=material.second,
        half=material.half,
    )


def _kept(run: RunFolder, keys: Keys) -> Entries:
    """The entries of a folder that still hold, with their pictures."""
    path = run.cmv / "index.json"
    try:
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        return {
            (e["label"], e["recipe"], e["objective"], e["variant"]): e
            for e in held
            if keys.get((e["label"], e["recipe"], e["objective"])) == e["key"]
            and all((run.path / p).is_file() for p in _paths(e))
        }
    except (OSError, ValueError, KeyError, TypeError):
        # Of an older version, or half written by something else: made again.
        return {}


def _adopt(run: RunFolder, keys: Keys, entries: Entries) -> None:
    """Copy what a run beside this one made of the same model in the same way."""
    for index in sorted(run.path.parent.glob("*/cmv/index.json")):
        other = RunFolder(index.parent.parent)
        if other.path.resolve() == run.path.resolve() or other.path.is_symlink():
            continue
        for place, entry in _kept(other, keys).items():
            if place in entries:
                continue
            for path in _paths(entry):
                (run.path / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(other.path / path, run.path / path)
            entries[place] = entry


def _paths(entry: Mapping[str, Any]) -> list[str]:
    found = [entry["path"], *([entry["strip"]] if entry["strip"] else [])]
    # Names of ours only: an index that was tampered with copies nothing from elsewhere.
    if any(Path(p).parent != Path("cmv") for p in found):
        raise ValueError(f"expected files in the folder cmv, found {found}")
    return found


def _write(run: RunFolder, made: Cmv, name: str, material: Material) -> dict[str, Any]:
    kind = made.objective if made.recipe == "robust" else f"{made.recipe}-{made.objective}"
    ending = "" if kind == "logit" else f".{kind}"
    ending += f"-{made.variant + 1}" if pictures_each(made.objective) > 1 else ""
    stem = f"{made.label:04d}-{file_slug(name)}{ending}"
    told = {
        "Title": f"Class model visualization of {name}",
        "class": name,
        "label": str(made.label),
        "recipe": made.recipe,
        "objective": made.objective,
        "seed": str(made.seed),
        "steps": str(made.steps),
        "model_sha256": material.session.model.sha256,
        "status": made.failure or "The class is reached.",
    }
    path = run.cmv / f"{stem}.png"
    write_bytes(path, to_png(to_picture(made.image), told))
    strip = run.cmv / f"{stem}.steps.png" if made.stages else None
    if strip is not None:
        shown = [to_picture(picture) for _, picture in made.stages]
        write_bytes(strip, to_png(np.concatenate(shown, axis=1), told))
    return {
        "label": made.label,
        "label_name": name,
        "recipe": made.recipe,
        "objective": made.objective,
        "variant": made.variant,
        "path": path.relative_to(run.path).as_posix(),
        "strip": None if strip is None else strip.relative_to(run.path).as_posix(),
        "strip_steps": [step for step, _ in made.stages],
        "score": made.score,
        "probability": made.probability,
        "robust_probability": made.robust_probability,
        "rank": made.rank,
        "rank_jpeg": made.rank_jpeg,
        "rank_shift": made.rank_shift,
        "transfer_rank": made.transfer_rank,
        "transfer_probability": made.transfer_probability,
        "steps": made.steps,
        "rival": _rival(made, material),
        "failed": bool(made.failure),
        "note": " ".join(
            filter(None, [_SIMONYAN if made.recipe == "simonyan" else "", made.failure])
        ),
    }


def _rival(made: Cmv, material: Material) -> str | None:
    if made.objective != "contrast" or made.label not in material.rivals:
        return None
    return material.session.class_names[material.rivals[made.label]]
