"""From a run to a repaired model: refit, write, audit again, lay side by side."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from audit.errors import RepairError, RunFolderError
from audit.findings import (
    Findings,
    PartCounts,
    RefitFacts,
    Repair,
    RepairOutcome,
    SplitPart,
    Verdict,
    WholeQuality,
    read_facts,
    read_findings,
    write_repair,
)
from audit.measuring.plan import Workbench
from audit.pipeline.outlines import ensure_outlines
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.repair_exports import write_exports
from audit.pipeline.repair_proof import Proof, prove
from audit.pipeline.session import Declared, LaidOver, Session, open_declared
from audit.pixels import to_float
from audit.repairs.head import Head, find_head
from audit.repairs.material import PartMaterial, gather, part_bank
from audit.repairs.refit import Quality, Refitted, refit
from audit.repairs.split import LEAST_IMAGES, split_images
from audit.repairs.weights import write_weights
from audit.run_folder import RunFolder
from audit.saliency import class_scores

MAX_LOSS = 0.01
"""Clean accuracy that may be lost on the selection part: one point."""
LEAST_PROOF = 10
"""Proof images of a class below which no rule gives a verdict."""


@dataclass(frozen=True, eq=False)
class _Source:
    """What is repaired: the run, and the model and images that it was about."""

    run: RunFolder
    findings: Findings
    session: Session
    scores: pd.DataFrame
    parts: pd.Series[SplitPart]

    def rows(self, part: SplitPart) -> pd.DataFrame:
        """The rows of the list of samples that are in a part."""
        return self.session.table.loc[self.parts.index[self.parts == part]]


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

    Half of the images of each class are kept for the proof; of the rest, one part is refitted on
    and one chosen by. No image, no copy of one and no background is in two parts. The model's own
    file is never changed.

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
        Accuracy on photographs as they are that may be lost, 0..1.
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
    source = _open(run, manifest, overrides, device)
    with RunFolder(folder).locked(), source.session.loader:
        ensure_outlines(source.session, source.session.table)
        proof = _refit(source, folder, max_loss)
        found = prove(proof, progress) if proof.weights else proof.record
        found = found.model_copy(update={"seconds": round(time.monotonic() - began, 1)})
        write_repair(folder / "repair.json", found)
    return found


def folder_for(run: Path, out: str | Path | None) -> Path:
    """Choose the folder of a repair, and see that nothing else lies there.

    Raises
    ------
    RunFolderError
        It holds something that no repair wrote.
    """
    folder = Path(out).resolve() if out else run.with_name(f"{run.name}-repair")
    taken = folder.exists() and any(path.name != ".lock" for path in folder.iterdir())
    if taken and not (folder / "split.csv").exists():
        raise RunFolderError(
            f"{folder}: not empty and not the folder of a repair. Choose another --out."
        )
    return folder


def _open(run: RunFolder, manifest: Declared, overrides: LaidOver, device: str) -> _Source:
    """Open the model that a run was about, and see that it is that one.

    Raises
    ------
    RunFolderError
        The run is not finished, or was of another model or dataset than the manifest declares.
    """
    findings, facts = read_findings(run.findings), read_facts(run.run_json)
    session = open_declared(manifest, overrides, limit=facts.limit, device=device)
    scores = pd.read_parquet(run.scores)
    same_model = session.model.sha256 == facts.hashes.model
    same_images = scores["sample_id"].tolist() == session.table["sample_id"].tolist()
    if not (same_model and same_images):
        raise RunFolderError(
            f"{run.path.name}: the run was of {'other images' if same_model else 'another model'} "
            "than the manifest declares now. Name the manifest of that audit with --manifest, with "
            "the same --set, or audit again."
        )
    parts = split_images(scores, session.manifest.run.seed)
    return _Source(run, findings, session, scores, parts)


def _refit(source: _Source, folder: Path, max_loss: float) -> Proof:
    """Write what helps a retraining, refit, and write the new weights.

    Raises
    ------
    RepairError
        It cannot be repaired; the exports are written.
    """
    session, problem = source.session, _problem(source)
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
    if problem or head is None:
        raise RepairError(
            f"Nothing was refitted: {problem}. For a retraining, {made} counter-examples, "
            f"groups.csv and to_photograph.csv lie in {folder}."
        )
    refitting, selection = (held.material for held in material)
    refitted = refit(head.linear, refitting, selection, max_loss)
    record = _record(source, head, refitted, max_loss, len(refitting.table), made)
    if refitted.choice is None:
        return Proof(session, folder, record, None, refitted.linear, head)
    weights = _weights_file(session)
    keys = write_weights(weights, folder / weights.name, head, refitted.linear)
    record = record.model_copy(update={"replaced": keys})
    return Proof(session, folder, record, folder / weights.name, refitted.linear, head)


def _problem(source: _Source) -> str | None:
    """Why nothing can be refitted, before anything is measured; None where it can be tried."""
    suspects = source.findings.with_verdict(Verdict.SUSPECT)
    if not source.session.has_foregrounds:
        return "the audit had no foregrounds, so there are no swaps to refit on"
    if not suspects:
        return "the run found no class suspect"
    swapped = source.scores[source.scores["swap_other_margin"].notna()]
    counts = swapped["label"].value_counts()
    held = {finding.label_name: int(counts.get(finding.label, 0)) for finding in suspects}
    few = [f"{name} ({count})" for name, count in held.items() if count < LEAST_IMAGES]
    if few:
        return (
            f"too few images with a foreground to refit on some and to prove it on others: "
            f"{', '.join(few[:5])}; {LEAST_IMAGES} of each suspect class are needed, 40 advised"
        )
    if not isinstance(_weights_option(source.session), Path):
        return (
            "the manifest names no weights file (model.weights), so no drop-in file can be written"
        )
    return None


def _weights_option(session: Session) -> Path | None:
    named = session.manifest.model.options.get("weights")
    path = session.manifest.path(named) if isinstance(named, str) else None
    return path if path is not None and path.is_file() else None


def _weights_file(session: Session) -> Path:
    path = _weights_option(session)
    assert path is not None
    return path


def _material(
    source: _Source, bench: Workbench, head: Head | None, temporary: Path
) -> list[PartMaterial]:
    """What is refitted on, and what is chosen by; nothing where there are no foregrounds."""
    made: list[PartMaterial] = []

    def read(images: Tensor) -> Tensor:
        return head.read(images) if head else class_scores(bench.model, images).cpu()

    for part in (SplitPart.REFIT, SplitPart.SELECTION) if source.session.has_foregrounds else ():
        some = dataclasses.replace(bench, table=source.rows(part))
        with torch.no_grad():
            bank = part_bank(temporary / part, some)
            held = gather(some, bank, read)
        scores = head.linear.scores(held.vectors) if head else held.vectors
        made.append(PartMaterial(part, some, bank, held, scores))
    return made


def _record(
    source: _Source, head: Head, refitted: Refitted, max_loss: float, swaps: int, made: int
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
    suspects = source.findings.with_verdict(Verdict.SUSPECT)
    return Repair(
        outcome=RepairOutcome.NOTHING_GAINED if choice is None else RepairOutcome.REPAIRED,
        source_run=source.findings.run_id,
        suspects=tuple(finding.label_name for finding in suspects),
        images=PartCounts.model_validate({part.value: n for part, n in counts.items()}),
        minimum_images=_minimum(source, {finding.label for finding in suspects}),
        refit=RefitFacts(
            layer=head.name,
            tried=refitted.tried,
            penalty=None if choice is None else choice.penalty,
            swap_share=None if choice is None else choice.swap_share,
            max_loss=max_loss,
            refit_pictures=swaps,
            selection_before=whole(refitted.before),
            selection_after=whole(refitted.after),
        ),
        counter_examples=made,
    )


def _minimum(source: _Source, suspects: set[int]) -> int:
    """Images that the proof demands of a class: as the manifest, or as many as the suspect have."""
    proof = source.scores.loc[source.parts.index[source.parts == SplitPart.PROOF]]
    swapped = proof[proof["swap_other_margin"].notna() & proof["label"].isin(suspects)]
    fewest = int(swapped["label"].value_counts().min()) if len(swapped) else LEAST_PROOF
    return min(source.session.manifest.verdict.minimum_images, max(LEAST_PROOF, fewest))
