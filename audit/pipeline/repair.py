"""From a run to a repaired model: refit, write, audit again, lay side by side."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from audit.errors import RepairError
from audit.findings import (
    PartCounts,
    RefitFacts,
    Repair,
    RepairOutcome,
    SplitPart,
    Verdict,
    WholeQuality,
    write_repair,
)
from audit.measuring.plan import Workbench
from audit.pipeline.opening import Declared, LaidOver
from audit.pipeline.outlines import ensure_outlines
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.repair_exports import write_exports
from audit.pipeline.repair_proof import Proof, prove
from audit.pipeline.repair_source import (
    Source,
    folder_for,
    open_source,
    proof_minimum,
    weights_file,
    why_not,
)
from audit.pixels import to_float
from audit.repairs.head import Head, find_head
from audit.repairs.material import PartMaterial, gather, part_bank
from audit.repairs.quality import Quality
from audit.repairs.refit import Refitted, refit
from audit.repairs.split import fold_images
from audit.repairs.weights import write_weights
from audit.run_folder import RunFolder
from audit.saliency import class_scores

MAX_LOSS = 0.01
"""Accuracy on own backgrounds that may be lost on the images that choose: one point."""


def repair(
    run_dir: str | Path,
    manifest: Declared = "data_manifest.yaml",
    out: str | Path | None = None,
    *,
    device: str = "auto",
    overrides: LaidOver = (),
    max_loss: float = MAX_LOSS,
    progress: Progress = SILENT,
) -> Repair:
    """Refit the last layer of an audited model on swaps, and prove on other images what it brings.

    Half of the images of each class are kept for the proof. The way to refit is chosen by
    cross-validation on the rest, and the layer fitted on all of the rest. No image, no copy of one
    and no background is in two parts. The model's own file is never changed.

    Parameters
    ----------
    run_dir : str or Path
        Of a finished audit.
    manifest : str, Path or mapping
        Of that audit. The copy in the run folder is not taken: a model would be loaded, and maybe
        code run, on the word of a folder that somebody else may have made.
    out : str or Path, optional
        The folder to write; None: beside the run, with ``-repair`` behind its name.
    device, overrides
        As for :func:`audit.run`.
    max_loss : float
        Accuracy on photographs as they are, and on swaps onto backgrounds of the own class, that
        may be lost, 0..1; of a measured loss what chance explains is not counted.
    progress : Progress
        Is told how far the two audits of the proof are.

    Returns
    -------
    Repair
        As ``repair.json`` holds it.

    Raises
    ------
    RepairError
        No class is suspect, no last linear layer can be refitted, or there are too few images.
        What helps a retraining was written nevertheless.
    InputError
        Run folder and manifest do not belong together, or something given is wrong.
    """
    began = time.monotonic()
    run = RunFolder(Path(run_dir).resolve())
    folder = folder_for(run.path, out)
    source = open_source(run, folder, manifest, overrides, device)
    with RunFolder(folder).locked(), source.session.loader:
        ensure_outlines(source.session, source.session.table)
        proof = _refit(source, folder, max_loss)
        found = prove(proof, progress) if proof.weights else proof.record
        found = found.model_copy(update={"seconds": round(time.monotonic() - began, 1)})
        write_repair(folder / "repair.json", found)
    return found


def _refit(source: Source, folder: Path, max_loss: float) -> Proof:
    """Write what helps a retraining, refit, and write the new weights.

    Raises
    ------
    RepairError
        It cannot be repaired; the exports are written.
    """
    session, problem = source.session, why_not(source)
    head: Head | None = None
    with session.workbench() as bench, tempfile.TemporaryDirectory() as temporary:
        try:
            images = to_float(next(bench.batches(bench.table.index[:4])).images)
            head = find_head(session.engine, images.to(session.model.device))
        except RepairError as error:
            problem = problem or str(error)
        material = _material(source, bench, head, Path(temporary))
        made = write_exports(
            folder, session, source.findings, source.scores, source.parts, material
        )
    weights = weights_file(session)
    if problem or head is None or weights is None:
        raise RepairError(
            f"Nothing was refitted: {problem}. For a retraining, {made} counter-examples, "
            f"groups.csv and to_photograph.csv lie in {folder}."
        )
    folds = fold_images(source.scores, source.parts, session.manifest.run.seed)
    refitted = refit(head.linear, [part.material for part in material], folds, max_loss)
    record = _record(source, head, refitted, max_loss, material, made)
    if refitted.choice is None:
        return Proof(session, folder, record, None, refitted.linear, head)
    keys = write_weights(weights, folder / weights.name, head, refitted.linear)
    record = record.model_copy(update={"replaced": keys})
    return Proof(session, folder, record, folder / weights.name, refitted.linear, head)


def _material(
    source: Source, bench: Workbench, head: Head | None, temporary: Path
) -> list[PartMaterial]:
    """What is refitted on, and what is chosen by; nothing where there are no foregrounds."""
    made: list[PartMaterial] = []

    def read(images: Tensor) -> Tensor:
        return head.read(images) if head else class_scores(bench.model, images).cpu()

    for part in (SplitPart.REFIT, SplitPart.SELECTION) if source.session.has_foregrounds else ():
        some = dataclasses.replace(bench, table=source.rows(part))
        with torch.no_grad():
            bank = part_bank(temporary / part, some)
            gathered = gather(some, bank, read)
        scores = head.linear.scores(gathered.vectors) if head else gathered.vectors
        made.append(PartMaterial(part, some, bank, gathered, scores))
    return made


def _record(
    source: Source,
    head: Head,
    refitted: Refitted,
    max_loss: float,
    material: list[PartMaterial],
    made: int,
) -> Repair:
    counts = {part: int((source.parts == part).sum()) for part in SplitPart}
    names = source.session.class_names

    def whole(quality: Quality) -> WholeQuality:
        return WholeQuality(
            clean=quality.clean,
            swapped=quality.swapped,
            worst=quality.worst,
            worst_class=None if quality.worst_label is None else names[quality.worst_label],
        )

    choice = refitted.choice
    pictured = {label for part in material for label in part.material.labels.tolist()}
    suspects = source.findings.with_verdict(Verdict.SUSPECT)
    return Repair(
        outcome=RepairOutcome.NOTHING_GAINED if choice is None else RepairOutcome.REPAIRED,
        source_run=source.findings.run_id,
        suspects=tuple(finding.label_name for finding in suspects),
        images=PartCounts.model_validate({part.value: n for part, n in counts.items()}),
        minimum_images=proof_minimum(source, {finding.label for finding in suspects}),
        refit=RefitFacts(
            layer=head.name,
            tried=refitted.tried,
            penalty=None if choice is None else choice.penalty,
            swap_share=None if choice is None else choice.swap_share,
            max_loss=max_loss,
            refit_pictures=sum(len(part.material.table) for part in material),
            other_classes=len(head.linear.weight) - len(pictured),
            selection_before=whole(refitted.before),
            selection_after=whole(refitted.after),
        ),
        counter_examples=made,
    )
