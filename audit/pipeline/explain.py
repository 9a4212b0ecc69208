"""One image explained."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from audit.dataset.batches import Batch, iterate_batches
from audit.dataset.sample_table import samples_table
from audit.dataset.samples import Sample
from audit.errors import DatasetError
from audit.findings import PartEffects
from audit.measuring.swap_maps import SwapMap
from audit.pipeline.explain_parts import SWAP_MAP, explain_by_parts
from audit.pipeline.opening import Declared, LaidOver, laid_over, open_declared
from audit.pipeline.outlines import ensure_outlines
from audit.pipeline.session import Session
from audit.pixels import to_float, to_picture
from audit.report.overlays import overlay, signed_overlay
from audit.saliency import Against
from audit.saliency import explain as saliency_maps
from audit.saliency.contributions import completeness_error
from audit.sampling import sample_seed
from audit.scoring import STATUSES, score_maps


@dataclass(frozen=True)
class Explanation:
    """What speaks for a class in one image.

    Parameters
    ----------
    explained, against : str, str or None
        The class explained, and rather than which.
    status : str
        As in ``scores.parquet``: ``scored``, or why there is no mass.
    foreground_mass, foreground_area : float or None
        The share of the map on the object, and of the image that the object covers, 0..1.
    top : dict of str to float
        The five most probable classes, with their probability 0..1.
    image : uint8 (H, W, 3)
        As the model meets it.
    saliency : float32 (H, W)
        The map, >= 0, at the size of the model's input.
    overlay : uint8 (H, W, 3)
        The map over the image, the object outlined.
    part_effects : PartEffects or None
        Of a swap map, whose `saliency` is what the class loses by each part.
    completeness_error : float or None
        Of integrated gradients: how far they are from their sum, as a share of it.
    """

    explained: str
    against: str | None
    status: str
    foreground_mass: float | None
    foreground_area: float | None
    top: dict[str, float]
    image: NDArray[np.uint8]
    saliency: NDArray[np.float32]
    overlay: NDArray[np.uint8]
    part_effects: PartEffects | None = None
    completeness_error: float | None = None


def explain(
    manifest: Declared,
    image: str | Path,
    *,
    target: str | None = None,
    against: str | None = None,
    method: str | None = None,
    device: str = "auto",
    overrides: LaidOver = (),
) -> Explanation:
    """Explain one image with the model and the method of a manifest.

    Parameters
    ----------
    manifest, device, overrides
        As for :func:`audit.run`.
    image : str or Path
        An image file, or the id of a sample.
    target : str, optional
        The class to explain; None: the one that the model answers.
    against : str, optional
        Explain what speaks for the class rather than for this one.
    method : str, optional
        Another saliency method, with its default options; or ``swap_map``: which parts the class
        loses by when they make room for backgrounds of `against`, or of the runner-up.

    Raises
    ------
    InputError
        Unknown class, or an image that cannot be read.
    """
    by_parts = method == SWAP_MAP
    another: tuple[str, ...] = ()
    if method is not None and not by_parts:
        another = (f"saliency.method={method}", "saliency.options={}")
    session = open_declared(
        manifest, (*laid_over(overrides), *another), device=device, contents=False
    )
    model = session.engine
    batch = _load(session, str(image), target)
    with torch.no_grad():
        probabilities = model(to_float(batch.images.to(model.device))).softmax(1)[0].cpu()
    label = session.output(target) if target else int(probabilities.argmax())
    if by_parts:
        rival = session.output(against) if against else _runner_up(probabilities, label)
        return _explain_by_parts(session, batch, probabilities, label, rival, against)
    return _explain_by_map(session, batch, probabilities, label, against)


def _explain_by_parts(
    session: Session,
    batch: Batch,
    probabilities: Tensor,
    label: int,
    rival: int,
    against: str | None,
) -> Explanation:
    """Which parts the class loses by when they make room for backgrounds of a rival."""
    parts = explain_by_parts(session, batch, label, rival)
    described = _describe(session, batch, _lost(parts), probabilities, label, against)
    drawn = signed_overlay(
        to_picture(batch.images[0]), parts.effect, parts.error, batch.foreground[0].numpy()
    )
    effects = parts.summary(session.class_names[rival])
    return dataclasses.replace(described, overlay=drawn, part_effects=effects)


def _explain_by_map(
    session: Session, batch: Batch, probabilities: Tensor, label: int, against: str | None
) -> Explanation:
    """The map of the session's method."""
    model, plan = session.engine, session.measurement()
    images = to_float(batch.images.to(model.device))
    explained: nn.Module = model if against is None else Against(model, session.output(against))
    made = saliency_maps(
        explained,
        images,
        torch.tensor([label], device=model.device),
        method=plan.method,
        target="logit" if against else plan.target,
        seeds=[sample_seed(plan.seed, batch.ids[0], "saliency")],
    )
    described = _describe(session, batch, made.maps.cpu(), probabilities, label, against)
    if session.saliency.name != "integrated_gradients" or plan.target == "contrast":
        return described
    bound = plan.method.keywords if isinstance(plan.method, partial) else {}
    error = completeness_error(explained, images, made.targets, **bound)
    return dataclasses.replace(described, completeness_error=_number(error))


def _load(session: Session, image: str, target: str | None) -> Batch:
    table = session.table
    known = table[table["sample_id"] == image]
    if known.empty:
        resolved = Path(image).resolve()
        known = table[[Path(os.fsdecode(p)).resolve() == resolved for p in table["path"]]]
    if known.empty:
        sample = Sample(Path(image).name, Path(image).resolve(), target or "")
        known = samples_table([sample], [0])
    known = pd.DataFrame(known)
    ensure_outlines(session, known)
    with session.loader as loader:
        batch = next(iter(iterate_batches(known, loader, 1)))
    if not len(batch):
        raise DatasetError(f"{image}: {batch.unreadable[0][1]}")
    return batch


def _describe(
    session: Session,
    batch: Batch,
    maps: Tensor,
    probabilities: Tensor,
    label: int,
    against: str | None,
) -> Explanation:
    localisation = score_maps(maps, batch.foreground, batch.ignored)
    top = probabilities.topk(min(5, len(probabilities)))
    foreground = batch.foreground[0].numpy()
    pixels = to_picture(batch.images[0])
    saliency = maps[0].numpy()
    return Explanation(
        explained=session.class_names[label],
        against=against,
        status=STATUSES[int(localisation["status"][0])],
        foreground_mass=_number(localisation["foreground_mass"]),
        foreground_area=_number(localisation["foreground_area"]),
        top={
            session.class_names[int(i)]: float(p)
            for p, i in zip(top.values, top.indices, strict=True)
        },
        image=pixels,
        saliency=saliency,
        overlay=overlay(pixels, saliency, foreground if foreground.any() else None),
    )


def _runner_up(probabilities: Tensor, label: int) -> int:
    """The most probable class but one."""
    others = probabilities.clone()
    others[label] = -1
    return int(others.argmax())


def _lost(parts: SwapMap) -> Tensor:
    """What the class loses by each part, float32 ``(1, H, W)``, >= 0."""
    return torch.from_numpy(np.nan_to_num(np.maximum(-parts.effect, 0)))[None]


def _number(values: Tensor) -> float | None:
    value = float(values[0])
    return value if math.isfinite(value) else None
