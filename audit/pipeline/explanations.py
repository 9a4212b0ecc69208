"""What is told of one image that was explained."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from audit.dataset.batches import Batch
from audit.findings import PartEffects
from audit.pipeline.methods import described
from audit.pipeline.session import Session
from audit.pixels import to_picture
from audit.report.overlays import overlay
from audit.scoring import STATUSES, score_maps


@dataclass(frozen=True)
class Explanation:
    """What speaks for a class in one image.

    Parameters
    ----------
    sample_id : str
        Of the image; its file name where the dataset does not hold it.
    method : str
        Which made the map.
    in_place_of : str
        Where the method asked for cannot serve the model: which, and why; else empty.
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

    sample_id: str
    method: str
    in_place_of: str
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


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """One image, what the model answers, and the class that is explained."""

    batch: Batch
    probabilities: Tensor
    label: int
    against: str | None


def describe(session: Session, asked: ExplainedImage, maps: Tensor) -> Explanation:
    """What a map of the session's method, float ``(1, H, W)``, says of an image."""
    batch, probabilities = asked.batch, asked.probabilities
    localisation = score_maps(maps, batch.foreground, batch.ignored)
    top = probabilities.topk(min(5, len(probabilities)))
    foreground = batch.foreground[0].numpy()
    pixels = to_picture(batch.images[0])
    saliency = maps[0].numpy()
    return Explanation(
        sample_id=batch.ids[0],
        method=session.saliency.name,
        in_place_of="" if session.saliency.reason is None else described(session.saliency),
        explained=session.class_names[asked.label],
        against=asked.against,
        status=STATUSES[int(localisation["status"][0])],
        foreground_mass=finite(localisation["foreground_mass"]),
        foreground_area=finite(localisation["foreground_area"]),
        top={
            session.class_names[int(i)]: float(p)
            for p, i in zip(top.values, top.indices, strict=True)
        },
        image=pixels,
        saliency=saliency,
        overlay=overlay(pixels, saliency, foreground if foreground.any() else None),
    )


def finite(values: Tensor) -> float | None:
    """The only value of a tensor; None where it is undefined."""
    value = float(values[0])
    return value if math.isfinite(value) else None
