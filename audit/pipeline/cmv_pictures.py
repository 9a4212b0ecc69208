"""Class model visualizations as files: made once for a model, kept over resumes and runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np

from audit.cmv import Cmv, CmvRequest, Execution, visualize_classes
from audit.cmv.objectives import pictures_each
from audit.errors import RunFolderError
from audit.findings import CmvEntry, read_index, write_index
from audit.manifest import CmvSection
from audit.measuring.plan import Counted, uncounted
from audit.pipeline.cmv_material import Material
from audit.pixels import to_picture
from audit.plugins import importable
from audit.report.overlays import to_png
from audit.report.sentences import english
from audit.run_folder import RunFolder, file_slug
from audit.writing import write_bytes

Keys = dict[tuple[int, str, str], str]
Entries = dict[tuple[int, str, str, int], CmvEntry]


def draw_cmvs(
    run: RunFolder,
    classes: Mapping[int, str],
    section: CmvSection,
    material: Material,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
    counted: Counted = uncounted,
) -> list[CmvEntry]:
    """Make the pictures that are missing and write ``cmv/index.json``.

    Pictures that this run or one beside it made of the same model, in the same way, are taken
    over; an interrupted step goes on after the last class that was finished.

    Parameters
    ----------
    run : RunFolder
        Where the pictures go.
    classes : mapping of int to str
        Names by output index.
    section : CmvSection
        Recipes and objectives.
    material : Material
        The model, and what else is needed.
    on_progress : callable
        Called with the number of classes, once for each recipe and objective.
    counted : callable
        Is told of each recipe and objective, in steps of one class.
    """
    index_path = run.cmv / "index.json"
    kinds = [(recipe, objective) for recipe in section.recipes for objective in section.objectives]
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
        with (
            importable(material.session.manifest.folder),
            counted(f"{recipe} {objective}", len(missing) * section.steps) as done,
            closing(_visualize(material, missing, (recipe, objective), done)) as pictures,
        ):
            for made in pictures:
                key = keys[made.label, recipe, objective]
                entry = _write(run, made, classes[made.label], material, key)
                entries[made.label, recipe, objective, made.variant] = entry
                if made.variant == each - 1:
                    on_progress(1)
                    # After each class: a crash loses none that was finished.
                    write_index(index_path, entries.values())
    chosen = [entries[position] for position in sorted(entries)]
    write_index(index_path, chosen)
    return chosen


def _visualize(
    material: Material, missing: list[int], kind: tuple[str, str], done: Callable[[int], object]
) -> Generator[Cmv, None, None]:
    session, (recipe, objective), before = material.session, kind, 0

    def tell(at: int, _total: int) -> None:
        nonlocal before
        done(at - before)
        before = at

    section = session.manifest.cmv
    return visualize_classes(
        session.engine,
        missing,
        CmvRequest(
            recipe,
            objective,
            session.manifest.run.seed,
            images=material.images() if recipe == "maco" else None,
            rivals=material.rivals,
            second=material.second,
        ),
        steps=section.steps,
        early=section.early,
        size=material.side,
        execution=Execution(half=material.half, on_progress=tell),
    )


def _kept(run: RunFolder, keys: Keys) -> Entries:
    """The entries of a folder that still hold, with their pictures."""
    try:
        entries = read_index(run.cmv / "index.json", CmvEntry)
    except RunFolderError:
        # Of another version, or half written by something else: made again.
        return {}
    # Names of ours only: an index that was tampered with copies nothing from elsewhere.
    if any(Path(path).parent != Path("cmv") for entry in entries for path in _paths(entry)):
        return {}
    return {
        (e.label, e.recipe, e.objective, e.variant): e
        for e in entries
        if keys.get((e.label, e.recipe, e.objective)) == e.key
        and all((run.path / path).is_file() for path in _paths(e))
    }


def _adopt(run: RunFolder, keys: Keys, entries: Entries) -> None:
    """Copy what a run beside this one made of the same model in the same way."""
    for index in sorted(run.path.parent.glob("*/cmv/index.json")):
        other = RunFolder(index.parent.parent)
        if other.path.resolve() == run.path.resolve() or other.path.is_symlink():
            continue
        for position, entry in _kept(other, keys).items():
            if position in entries:
                continue
            for path in _paths(entry):
                (run.path / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(other.path / path, run.path / path)
            entries[position] = entry


def _paths(entry: CmvEntry) -> list[str]:
    return [entry.path, *([entry.strip] if entry.strip else [])]


def _write(run: RunFolder, made: Cmv, name: str, material: Material, key: str) -> CmvEntry:
    kind = made.objective if made.recipe == "robust" else f"{made.recipe}-{made.objective}"
    ending = "" if kind == "logit" else f".{kind}"
    ending += f"-{made.variant + 1}" if pictures_each(made.objective) > 1 else ""
    stem = f"{made.label:04d}-{file_slug(name)}{ending}"
    metadata = _told(made, name, material)
    path = run.cmv / f"{stem}.png"
    write_bytes(path, to_png(to_picture(made.image), metadata))
    strip = run.cmv / f"{stem}.steps.png" if made.stages else None
    if strip is not None:
        shown = [to_picture(picture) for _, picture in made.stages]
        write_bytes(strip, to_png(np.concatenate(shown, axis=1), metadata))
    return CmvEntry(
        label=made.label,
        label_name=name,
        key=key,
        recipe=made.recipe,
        objective=made.objective,
        variant=made.variant,
        path=path.relative_to(run.path).as_posix(),
        strip=None if strip is None else strip.relative_to(run.path).as_posix(),
        strip_steps=tuple(step for step, _ in made.stages),
        score=made.score,
        probability=made.probability,
        robust_probability=made.robust_probability,
        rank=made.rank,
        rank_jpeg=made.rank_jpeg,
        rank_shift=made.rank_shift,
        transfer_rank=made.transfer_rank,
        transfer_probability=made.transfer_probability,
        steps=made.steps,
        rival=_rival(made, material),
        failure=made.failure,
    )


def _told(made: Cmv, name: str, material: Material) -> dict[str, str]:
    """What the file says of itself, as text chunks of its PNG."""
    return {
        "Title": f"Class model visualization of {name}",
        "class": name,
        "label": str(made.label),
        "recipe": made.recipe,
        "objective": made.objective,
        "seed": str(made.seed),
        "steps": str(made.steps),
        "model_sha256": material.session.model.sha256,
        "status": english(made.failure) if made.failure else "The class is reached.",
    }


def _rival(made: Cmv, material: Material) -> str | None:
    if made.objective != "contrast" or made.label not in material.rivals:
        return None
    return material.session.class_names[material.rivals[made.label]]
