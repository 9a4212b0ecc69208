"""Pictures of some classes by one recipe and objective, and the list of them: made anywhere."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audit.cmv import Cmv, CmvRequest, Execution, visualize_classes
from audit.cmv.objectives import pictures_each
from audit.findings import CmvEntry, made_before, write_index
from audit.pipeline.cmv_material import Material
from audit.pipeline.progress import SILENT, Progress, counted
from audit.pipeline.session import Session
from audit.pixels import to_picture
from audit.plugins import importable
from audit.report.overlays import to_png
from audit.report.sentences import english
from audit.run_folder import RunFolder, file_slug
from audit.writing import write_bytes

Keys = dict[tuple[int, str, str], str]
Entries = dict[tuple[int, str, str, int], CmvEntry]


@dataclass(frozen=True)
class CmvPart:
    """Some classes whose pictures are made together.

    Parameters
    ----------
    folder : str
        The run folder.
    number : int
        Of the part, by which its list is named.
    recipe, objective : str
        How the pictures are made.
    side : int
        Of the pictures.
    classes : tuple of (label, name, key, steps)
        Output index, name, what is equal where the same pictures would be made, and steps at most.
    rivals : tuple of (label, rival)
        Rather than which class, for the objective ``contrast``.
    """

    folder: str
    number: int
    recipe: str
    objective: str
    side: int
    classes: tuple[tuple[int, str, str, int], ...]
    rivals: tuple[tuple[int, int], ...] = ()

    @property
    def run(self) -> RunFolder:
        """The run folder."""
        return RunFolder(Path(self.folder))

    @property
    def path(self) -> Path:
        """The list of the pictures that are made."""
        return self.run.cmv / f"part-{self.number:05d}.json"


def make_cmvs(session: Session, part: CmvPart, progress: Progress = SILENT) -> bool:
    """Make the pictures of a part that are missing; returns whether any was made now."""
    run, each = part.run, pictures_each(part.objective)
    names = {label: name for label, name, _, _ in part.classes}
    keys: Keys = {(label, part.recipe, part.objective): key for label, _, key, _ in part.classes}
    entries = listed(run, part.path, keys)
    missing = [
        label
        for label in names
        if any((label, part.recipe, part.objective, v) not in entries for v in range(each))
    ]
    progress.advance("cmvs", len(names) - len(missing))
    if not missing:
        return False
    material = Material(session, dict(part.rivals), part.side)
    total = sum(steps for label, _, _, steps in part.classes if label in missing)
    # Closed, since a traceback would keep it alive, and with it the threads that climb.
    with (
        importable(session.manifest.folder),
        counted(progress, "cmvs", f"{part.recipe} {part.objective}", total) as done,
        closing(_visualize(material, missing, part, done)) as pictures,
    ):
        for made in pictures:
            key = keys[made.label, made.recipe, made.objective]
            entry = _write(run, made, names[made.label], material, key)
            entries[made.label, made.recipe, made.objective, made.variant] = entry
            if made.variant == each - 1:
                progress.advance("cmvs", 1)
                # After each class: a crash loses none that was finished.
                write_index(part.path, entries.values())
    return True


def listed(run: RunFolder, path: Path, keys: Keys) -> Entries:
    """The entries of a list that still hold, with their pictures."""
    entries = made_before(path, CmvEntry)
    # Names of ours only: an index that was tampered with copies nothing from elsewhere.
    if any(Path(name).parent != Path("cmv") for entry in entries for name in files_of(entry)):
        return {}
    return {
        (e.label, e.recipe, e.objective, e.variant): e
        for e in entries
        if keys.get((e.label, e.recipe, e.objective)) == e.key
        and all((run.path / name).is_file() for name in files_of(e))
    }


def files_of(entry: CmvEntry) -> list[str]:
    """The pictures of an entry, below the run folder."""
    return [entry.path, *([entry.strip] if entry.strip else [])]


def _visualize(
    material: Material, missing: list[int], part: CmvPart, done: Callable[[int], object]
) -> Generator[Cmv, None, None]:
    session, before = material.session, 0

    def tell(at: int, _total: int) -> None:
        nonlocal before
        done(at - before)
        before = at

    steps = {label: most for label, _, _, most in part.classes}
    return visualize_classes(
        session.engine,
        missing,
        CmvRequest(
            part.recipe,
            part.objective,
            session.manifest.run.seed,
            images=material.images() if part.recipe == "maco" else None,
            rivals=material.rivals,
            second=material.second,
            fewer=steps,
        ),
        steps=max(steps.values()),
        early=session.manifest.cmv.early,
        size=material.side,
        execution=Execution(half=material.half, on_progress=tell),
    )


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
