"""Everything that can be wrong, found before the work begins."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from audit.dataset.batches import Batch, iterate_batches
from audit.errors import DatasetError
from audit.measuring.rows import maps_of
from audit.models.probe import probe
from audit.pipeline.cmv_material import check_second
from audit.pipeline.methods import described
from audit.pipeline.outlines import ensure_outlines, seconds_an_outline
from audit.pipeline.session import Declared, LaidOver, Session, open_declared
from audit.pixels import to_float
from audit.report.style import check_style
from audit.saliency.choosing import Unserved
from audit.sampling import spread_over

PROBE_IMAGES = 64
_LOW_ACCURACY = 0.3


@dataclass(frozen=True)
class Tried:
    """Some images spread over the classes, and how the model did on them.

    Parameters
    ----------
    batch : Batch
        Those that could be read.
    accuracy : float
        Share of them that the model answers rightly, 0..1.
    """

    batch: Batch
    accuracy: float

    @property
    def images(self) -> int:
        """How many could be read."""
        return len(self.batch)

    @property
    def with_foreground(self) -> int:
        """How many of them have one."""
        return int(self.batch.foreground.flatten(1).any(1).sum())


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
    outputs : int
        Of the model.
    foreground, model, device, saliency_method : str
        Where foregrounds come from, what answers, where it works, and what makes the maps.
    accuracy_tried : float
        Share of the images tried that the model answers rightly, 0..1.
    expected_seconds : float
        For scores and swaps, and for estimated outlines where none are cached.
    donor_bank_bytes : int
        Of disk, while the run lasts.
    warnings : tuple of str
        Sentences for people.
    """

    name: str
    images: int
    skipped: int
    classes: dict[str, int]
    outputs: int
    foreground: str
    model: str
    device: str
    saliency_method: str
    accuracy_tried: float
    expected_seconds: float
    donor_bank_bytes: int
    warnings: tuple[str, ...]


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
    tried = try_one_batch(session)
    return _describe(session, tried, _time_one_image(session, tried.batch))


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
        raise DatasetError(f"dataset: none of {len(few)} images tried can be read; first: {error}")
    device = session.model.device
    accuracy = probe(
        session.model,
        to_float(batch.images.to(device)),
        batch.targets.to(device),
        session.class_names,
        accept_accuracy=session.request.accept_accuracy,
        needs_gradient=session.saliency.reason is not Unserved.NO_DERIVATIVE,
    )
    return Tried(batch, accuracy)


def _time_one_image(session: Session, batch: Batch) -> float:
    """Seconds an image: saliency measured, swaps counted as forward passes of a third of it."""
    few = batch.part(0, min(8, len(batch)))
    plan, began = session.measurement(), time.monotonic()
    maps_of(session.engine, few, plan)
    if session.model.device.type == "cuda":
        torch.cuda.synchronize()
    saliency = (time.monotonic() - began) / len(few)
    forwards = 1 + (2 * plan.donors + 2 if session.has_foregrounds else 0)
    return saliency * (1 + forwards / 3) + seconds_an_outline(session)


def _describe(session: Session, tried: Tried, seconds: float) -> CheckResult:
    table = session.table
    per_class = {str(k): int(n) for k, n in table["label_name"].value_counts().items()}
    side, bank = session.model.geometry.size, session.manifest.interventions.bank
    stored = sum(min(bank, count) for count in per_class.values()) * 3 * side * side
    return CheckResult(
        name=session.manifest.name,
        images=len(table),
        skipped=len(session.skipped),
        classes=per_class,
        outputs=len(session.class_names),
        foreground=session.source,
        model=session.model.name,
        device=str(session.model.device),
        saliency_method=session.saliency.name,
        accuracy_tried=tried.accuracy,
        expected_seconds=round(seconds * len(table), 1),
        donor_bank_bytes=stored if session.has_foregrounds else 0,
        warnings=tuple(_warnings(session, tried, per_class)),
    )


def _warnings(session: Session, tried: Tried, per_class: dict[str, int]) -> Iterator[str]:
    yield from session.remarks
    minimum, unreadable = session.manifest.verdict.minimum_images, len(tried.batch.unreadable)
    for name, count in sorted(per_class.items()):
        if count < minimum:
            yield f"{name}: {count} of the {minimum} images that a verdict needs"
    if session.saliency.reason is not None:
        yield f"saliency.method: {described(session.saliency)}"
    if not session.has_foregrounds:
        yield "no foregrounds: no background can be exchanged and nothing called clear"
    elif tried.with_foreground < tried.images:
        missing = tried.images - tried.with_foreground
        yield f"{missing} of {tried.images} images tried have no foreground"
    if unreadable:
        yield f"{unreadable} of the images tried cannot be read"
    if tried.accuracy < _LOW_ACCURACY:
        yield (
            f"the model is right on {tried.accuracy:.0%} of {tried.images} images only: "
            "are model.classes and model.input those it was trained with?"
        )
