"""Everything that can be wrong, found before the work begins."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from audit.dataset.batches import Batch, iterate_batches
from audit.errors import DatasetError
from audit.models.probe import probe
from audit.pipeline.check_notes import limits, notes
from audit.pipeline.class_checks import ClassCheck, check_classes
from audit.pipeline.cmv_costs import cmv_work
from audit.pipeline.cmv_material import check_second
from audit.pipeline.costs import (
    bank_bytes,
    device_bytes,
    disk_bytes,
    memory_bytes,
    seconds_a_step,
)
from audit.pipeline.opening import Declared, LaidOver, open_declared
from audit.pipeline.outlines import ensure_outlines
from audit.pipeline.session import Session
from audit.pipeline.trial import Trial, try_everything
from audit.pixels import to_float
from audit.report.style import check_style
from audit.sampling import spread_over

PROBE_IMAGES = 64


@dataclass(frozen=True)
class Tried:
    """Some images spread over the classes, and how the model did on them.

    Parameters
    ----------
    table : DataFrame
        Their rows of the list of samples.
    batch : Batch
        Those that could be read.
    accuracy : float
        Share of them that the model answers rightly, 0..1.
    """

    table: pd.DataFrame
    batch: Batch
    accuracy: float

    @property
    def images(self) -> int:
        """How many could be read."""
        return len(self.batch)


@dataclass(frozen=True)
class CheckResult:
    """What a manifest stands for, and what its owner should know before the work begins.

    Parameters
    ----------
    name : str
        Of the audit.
    images, skipped : int
        Samples found, and files that the reader left out.
    classes : dict of str to int
        Images of each class of the dataset.
    per_class : tuple of ClassCheck
        What was found out about each class.
    outputs : int
        Of the model.
    foreground, model, device, saliency_method : str
        Where foregrounds come from, what answers, where it works, and what makes the maps.
    hashed, hashing_seconds : int, float
        Files read for their hashes just now, and how long that took; a run that follows finds them
        in the user's cache.
    tried, unreadable_tried : int
        Images that went through everything, and those among them that cannot be read.
    accuracy_tried : float
        Share of the images tried that the model answers rightly, 0..1.
    swapped_tried : int
        Images tried that met another background.
    expected_seconds : float
        For the whole run, at most where it depends on what is found.
    expected_steps : dict of str to float
        The same, step by step.
    memory_bytes, device_memory_bytes : int
        Of main memory, and of the GPU.
    disk_bytes, donor_bank_bytes, disk_free_bytes : int
        Of disk, at most; those of it that are freed at the end; what is free in this folder.
    warnings : tuple of str
        Sentences for people, each with a remedy.
    limits : tuple of str
        What the audit cannot find out as things are.
    """

    name: str
    images: int
    skipped: int
    classes: dict[str, int]
    per_class: tuple[ClassCheck, ...]
    outputs: int
    foreground: str
    model: str
    device: str
    saliency_method: str
    hashed: int
    hashing_seconds: float
    tried: int
    unreadable_tried: int
    accuracy_tried: float
    swapped_tried: int
    expected_seconds: float
    expected_steps: dict[str, float]
    memory_bytes: int
    device_memory_bytes: int
    disk_bytes: int
    donor_bank_bytes: int
    disk_free_bytes: int
    warnings: tuple[str, ...]
    limits: tuple[str, ...]


def check(
    manifest: Declared,
    *,
    device: str = "auto",
    overrides: LaidOver = (),
    accept_accuracy: bool = False,
) -> CheckResult:
    """Check a manifest and all behind it, one batch end to end.

    Parameters
    ----------
    manifest, device, overrides, accept_accuracy
        As for :func:`audit.run`.

    Raises
    ------
    InputError
        Something is wrong; the message says what.
    """
    session = open_declared(manifest, overrides, device=device, accept_accuracy=accept_accuracy)
    check_style(session.manifest)
    check_second(session)
    with session.loader:
        tried = try_one_batch(session)
        return _describe(session, tried, try_everything(session, tried.table, tried.batch))


def try_one_batch(session: Session) -> Tried:
    """Load some images spread over the classes and try the model on them.

    Raises
    ------
    DatasetError
        None of them can be read.
    ModelError
        See :func:`audit.models.probe.probe`.
    """
    seed = session.manifest.run.seed
    few = spread_over(session.table, PROBE_IMAGES, seed, "limit", column="label")
    ensure_outlines(session, few)
    with session.loader as loader:
        batch = next(iter(iterate_batches(few, loader, len(few))))
    if not len(batch):
        _, error = batch.unreadable[0]
        raise DatasetError(
            f"dataset: none of {len(few)} images tried can be read; first: {error}. Open that file "
            "in a viewer: if it can be seen there, save it as JPEG or PNG."
        )
    device = session.model.device
    accuracy = probe(
        session.model,
        to_float(batch.images.to(device)),
        batch.targets.to(device),
        session.class_names,
        accept_accuracy=session.request.accept_accuracy,
        needs_gradient=session.saliency.differentiable,
    )
    return Tried(few, batch, accuracy)


def _describe(session: Session, tried: Tried, trial: Trial) -> CheckResult:
    cmv = cmv_work(session)
    steps = seconds_a_step(session, trial.unit, cmv)
    per_class = check_classes(session, tried.table, tried.batch, trial.right)
    free = shutil.disk_usage(Path.cwd()).free
    return CheckResult(
        name=session.manifest.name,
        images=len(session.table),
        skipped=len(session.skipped),
        classes={str(k): int(n) for k, n in session.table["label_name"].value_counts().items()},
        per_class=per_class,
        outputs=len(session.class_names),
        foreground=session.source,
        model=session.model.name,
        device=str(session.model.device),
        saliency_method=session.saliency.name,
        hashed=session.hashed.files,
        hashing_seconds=round(session.hashed.seconds, 2),
        tried=tried.images + len(tried.batch.unreadable),
        unreadable_tried=len(tried.batch.unreadable),
        accuracy_tried=tried.accuracy,
        swapped_tried=trial.swapped,
        expected_seconds=round(sum(steps.values()), 1),
        expected_steps={name: round(seconds, 1) for name, seconds in steps.items()},
        memory_bytes=memory_bytes(session, trial.unit, cmv),
        device_memory_bytes=device_bytes(session),
        disk_bytes=disk_bytes(session),
        donor_bank_bytes=bank_bytes(session),
        disk_free_bytes=free,
        warnings=tuple(notes(session, tried.batch, trial, per_class)),
        limits=tuple(limits(session, per_class, trial)),
    )
