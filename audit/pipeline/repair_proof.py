"""The proof of a repair: old and new weights audited alike on images that were kept apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import yaml

from audit.errors import RepairError
from audit.findings import (
    ChangedPicture,
    Repair,
    RepairedClass,
    WholeQuality,
    read_facts,
    read_findings,
    write_repair,
)
from audit.measuring.swaps import Objects, swapped
from audit.models.hashes import file_sha256
from audit.pipeline.measure import open_bank
from audit.pipeline.opening import open_declared
from audit.pipeline.progress import Progress
from audit.pipeline.run import begun, take_steps
from audit.pipeline.session import Session
from audit.pipeline.steps import P, Sequential, T
from audit.pixels import to_float, to_picture
from audit.repairs.head import Head, Linear
from audit.repairs.proof import (
    changed_swaps,
    repaired_classes,
    shown_changes,
    whole_quality,
)
from audit.report.overlays import to_png
from audit.run_folder import RunFolder
from audit.writing import write_bytes

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, eq=False)
class Proof:
    """What is to be proved.

    Parameters
    ----------
    session : Session
        Of the model as it was.
    folder : Path
        Of the repair; holds ``split.csv`` and ``proof.csv``.
    record : Repair
        So far.
    weights : Path or None
        The new weights; None where nothing was gained.
    linear, head : Linear, Head
        The new last layer, and which it is.
    """

    session: Session
    folder: Path
    record: Repair
    weights: Path | None
    linear: Linear
    head: Head


class _ReportLast(Sequential):
    """Takes the steps; before the report it does what the report shall show."""

    def __init__(self, before_report: Callable[[], None]) -> None:
        self._before_report = before_report

    def run_step(self, name: str, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if name == "report":
            self._before_report()
        return step(*args, **kwargs)


def prove(proof: Proof, progress: Progress) -> Repair:
    """Audit old and new weights on the proof images; returns the record with what was found.

    Raises
    ------
    RepairError
        The model that the manifest loads from the new file is not the one that was refitted.
    AuditError
        One of the audits failed.
    """
    assert proof.weights is not None
    manifests = _write_manifests(proof, proof.weights)
    device = str(proof.session.model.device)
    before = open_declared(manifests[BEFORE], device=device)
    with _begun(before, proof.folder / BEFORE) as before:
        take_steps(before, progress)
    proofs: list[Repair] = []
    after = open_declared(manifests[AFTER], device=device)
    _check_drop_in(proof, after)
    with _begun(after, proof.folder / AFTER) as after:

        def compare() -> None:
            proofs.append(_compared(proof, before.run, after))
            write_repair(after.run.repair, proofs[0])

        take_steps(after, progress, _ReportLast(compare))
    return proofs[0]


def _begun(session: Session, folder: Path) -> AbstractContextManager[Session]:
    """Begin a run of the proof, or go on with it; one of other weights or images is made anew."""
    facts = folder / "run.json"
    resume = not facts.exists() or read_facts(facts).fingerprint == session.key
    return begun(session, folder, resume=resume)


def _write_manifests(proof: Proof, weights: Path) -> dict[str, Path]:
    """The manifest of the repaired model, and the two that prove it; returns the latter."""
    session, folder = proof.session, proof.folder
    declared: dict[str, object] = yaml.safe_load(session.manifest.source)
    base = session.manifest.folder

    def written(path: Path) -> str:
        return os.path.relpath(path, base)

    declared["relative_to"] = os.path.relpath(base, folder)
    new = {**declared, "model": _section(declared, "model", weights=written(weights))}
    new["name"] = f"{str(declared['name'])[:190]} repaired"
    _write(folder / "manifest.yaml", new)
    dataset = _section(declared, "dataset", only=written(folder / "proof.csv"))
    verdict = _section(declared, "verdict", minimum_images=proof.record.minimum_images)
    # What the pictures of a class look like is no part of the proof, and takes most of the time.
    shared = {"dataset": dataset, "verdict": verdict, "cmv": {"classes": "none"}, "gate": "never"}
    paths = {name: folder / f"proof-{name}.yaml" for name in (BEFORE, AFTER)}
    for name, content in ((BEFORE, declared), (AFTER, new)):
        changed = {**shared, "name": f"{str(declared['name'])[:180]} proof {name}"}
        # Two reports of one title could not be told apart.
        if title := _section(declared, "report").get("title"):
            changed["report"] = _section(declared, "report", title=f"{title} ({name} the repair)")
        _write(paths[name], {**content, **changed})
    return paths


def _section(declared: Mapping[str, object], name: str, **keys: object) -> dict[str, object]:
    """A section as it was declared, with other values for some keys."""
    section = declared.get(name)
    return {**(section if isinstance(section, dict) else {}), **keys}


def _write(path: Path, declared: Mapping[str, object]) -> None:
    text = yaml.safe_dump(dict(declared), sort_keys=False, allow_unicode=True)
    write_bytes(path, text.encode())


def _check_drop_in(proof: Proof, after: Session) -> None:
    """See that the new file, loaded as the old one is, gives the layer that was refitted."""
    layer = after.model.module.get_submodule(proof.head.name)
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    found, expected = weight.detach().float().cpu().flatten(1), proof.linear.weight
    # Half precision keeps three digits.
    if not torch.allclose(found, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max())):
        raise RepairError(
            f"{after.manifest.model.options.get('weights')}: the loader takes the last layer from "
            "elsewhere than from the weights file, so the new file changes nothing"
        )


def _compared(proof: Proof, before: RunFolder, after: Session) -> Repair:
    """Lay the two audits side by side and draw what changed."""
    findings = (read_findings(before.findings), read_findings(after.run.findings))
    scores = (pd.read_parquet(before.scores), pd.read_parquet(after.run.scores))
    classes = repaired_classes((findings[0], scores[0]), (findings[1], scores[1]))
    assert proof.weights is not None
    changed: dict[str, object] = {
        "weights": proof.weights.name,
        "weights_sha256": file_sha256(proof.weights),
        "before": _whole(classes, after=False),
        "after": _whole(classes, after=True),
        "classes": classes,
        "changed": _draw_changes(after, changed_swaps(*scores)),
    }
    return Repair.model_validate(dict(proof.record) | changed)


def _whole(classes: tuple[RepairedClass, ...], *, after: bool) -> WholeQuality:
    return whole_quality((c.label_name, c.after if after else c.before) for c in classes)


def _draw_changes(after: Session, changed: pd.DataFrame) -> tuple[ChangedPicture, ...]:
    """Draw some swaps that are answered otherwise, into the run folder of the repaired model."""
    chosen = shown_changes(changed).reset_index(drop=True)
    bank = open_bank(after) if len(chosen) else None
    if bank is None:
        return ()
    names, drawn = after.class_names, []
    with after.workbench() as bench:
        for number, swap in chosen.iterrows():
            batch = next(bench.batches([int(swap["row"])]))
            position = bank.position_of(int(swap["donor_row"]))
            if not len(batch) or position is None:
                continue
            objects = Objects.of(to_float(batch.images), batch.foreground)
            path = after.run.path / "repair" / f"changed-{number:02d}.png"
            write_bytes(path, to_png(to_picture(swapped(objects, [0], bank, [position])[0])))
            drawn.append(
                ChangedPicture(
                    path=path.relative_to(after.run.path).as_posix(),
                    sample_id=batch.ids[0],
                    label_name=names[int(swap["label"])],
                    donor_class=names[int(swap["donor_label"])],
                    before_name=names[int(swap["prediction_before"])],
                    after_name=names[int(swap["prediction_after"])],
                    before=float(swap["before"]),
                    after=float(swap["after"]),
                )
            )
    return tuple(drawn)
