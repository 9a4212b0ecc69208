"""Class model visualizations as files: made once for a model, kept over resumes and runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence

from audit.cmv import CPU_BATCH
from audit.cmv.objectives import pictures_each
from audit.errors import AuditError
from audit.findings import CmvEntry, write_index
from audit.pipeline.cmv_material import Material
from audit.pipeline.cmv_orders import CmvOrder
from audit.pipeline.cmv_parts import CmvPart, Entries, Keys, files_of, listed, make_cmvs
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.steps import SEQUENTIAL, StepRunner
from audit.run_folder import RunFolder

_CPU_CLASSES = 4 * CPU_BATCH
_GPU_CLASSES = 64
"""Classes of a part, where others make it: as many as climb in one batch."""


def draw_cmvs(
    run: RunFolder,
    classes: Mapping[int, str],
    orders: Sequence[CmvOrder],
    material: Material,
    *,
    progress: Progress = SILENT,
    runner: StepRunner = SEQUENTIAL,
) -> list[CmvEntry]:
    """Have the pictures made that are missing, and write ``cmv/index.json``.

    Pictures that this run or one beside it made of the same model, in the same way, are taken
    over; an interrupted step goes on after the last class that was finished.

    Parameters
    ----------
    run : RunFolder
        Where the pictures go.
    classes : mapping of int to str
        Names by output index.
    orders : sequence of CmvOrder
        From :func:`audit.pipeline.cmv_orders.orders_of`.
    material : Material
        The model, and what else is needed.
    progress : Progress
        Is told of each class, once for each recipe and objective.
    runner : StepRunner
        Who makes the pictures.

    Raises
    ------
    AuditError
        Who made them wrote them elsewhere.
    """
    steps = {(c, o.recipe, o.objective): count for o in orders for c, count in o.steps.items()}
    keys: Keys = {key: material.key(*key, count) for key, count in steps.items()}
    entries = _kept(run, keys)
    _adopt(run, keys, entries)
    _write(run, entries)
    missing = [
        key
        for key in keys
        if any((*key, variant) not in entries for variant in range(pictures_each(key[2])))
    ]
    progress.advance("cmvs", len(keys) - len(missing))
    parts = {
        part: len(part.classes) for part in _parts(run, classes, missing, (keys, steps), material)
    }
    runner.run_parts("cmv", make_cmvs, material.session, progress, parts)
    entries |= _kept(run, keys)
    if lost := [key for key in missing if (*key, 0) not in entries]:
        raise AuditError(
            f"cmv: {len(lost)} pictures were made and are not in {run.path}, such as that of "
            f"{classes[lost[0][0]]}. Workers must see the run folder under the same path."
        )
    return _write(run, entries)


def _parts(
    run: RunFolder,
    classes: Mapping[int, str],
    missing: list[tuple[int, str, str]],
    known: tuple[Keys, Mapping[tuple[int, str, str], int]],
    material: Material,
) -> Iterator[CmvPart]:
    """What is missing, cut into what is made together: here all that is made alike."""
    session, (keys, steps) = material.session, known
    most = _CPU_CLASSES if session.model.device.type == "cpu" else _GPU_CLASSES
    if session.manifest.run.runner.kind == "threads":
        most = max(1, len(classes))
    number = 0
    for kind in dict.fromkeys((recipe, objective) for _, recipe, objective in missing):
        own = [label for label, *its in missing if tuple(its) == kind]
        for start in range(0, len(own), most):
            some = own[start : start + most]
            named = tuple(
                (label, classes[label], keys[label, *kind], steps[label, *kind]) for label in some
            )
            rivals = tuple((k, material.rivals[k]) for k in some if k in material.rivals)
            yield CmvPart(str(run.path), number, *kind, material.side, named, rivals)
            number += 1


def _write(run: RunFolder, entries: Entries) -> list[CmvEntry]:
    """Write the index, which then says what the lists of the parts say."""
    chosen = [entries[position] for position in sorted(entries)]
    write_index(run.cmv / "index.json", chosen)
    for path in run.cmv.glob("part-*.json"):
        path.unlink()
    return chosen


def _kept(run: RunFolder, keys: Keys) -> Entries:
    """The entries of a folder that still hold: of its index, and of parts of an earlier attempt."""
    found: Entries = {}
    for path in (run.cmv / "index.json", *sorted(run.cmv.glob("part-*.json"))):
        found |= listed(run, path, keys)
    return found


def _adopt(run: RunFolder, keys: Keys, entries: Entries) -> None:
    """Copy what a run beside this one made of the same model in the same way."""
    for index in sorted(run.path.parent.glob("*/cmv/index.json")):
        other = RunFolder(index.parent.parent)
        if other.path.resolve() == run.path.resolve() or other.path.is_symlink():
            continue
        for position, entry in _kept(other, keys).items():
            if position in entries:
                continue
            for path in files_of(entry):
                (run.path / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(other.path / path, run.path / path)
            entries[position] = entry
