"""What the model, and a second one, make of a finished picture."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from audit.cmv.painting import draw_crops, soften, view
from audit.cmv.request import CmvRequest, Second
from audit.cmv.slots import Finished, Stages
from audit.findings import Code, Reason
from audit.models.rounding import tf32
from audit.pixels import to_picture

_VIEWS = 16
MEASURED = 1 + 1 + 4 + _VIEWS
"""Images that a picture is measured by: itself, as JPEG, shifts, and zooms."""
_JPEG_QUALITY = 75
CONVINCED = 0.5
"""Mean probability after zooms and shifts below which a picture has failed."""
NEAR = 5
"""Worst rank after JPEG or a shift with which a picture has not failed."""


@dataclass(frozen=True, eq=False)
class Cmv:
    """One picture of a class and what the model makes of it.

    Parameters
    ----------
    label : int
        The class.
    variant : int
        Of several pictures of a class, counted from 0.
    recipe, objective : str
        How it was made.
    seed : int
        Of the run.
    image : float32 (3, H, W)
        In 0..1, on the CPU.
    score : float
        Class score of the picture as it is shown.
    probability : float
        Softmax of the class, 0..1.
    robust_probability : float
        Its mean over 16 fixed zooms and shifts of the picture, half of them softened. A picture
        that convinces only pixel by pixel loses here.
    rank : int
        Of the class among the class scores; 1 is the best.
    rank_jpeg : int
        The same after JPEG of quality 75.
    rank_shift : int
        The worst after shifts by a sixteenth of the side towards the four corners.
    transfer_rank : int or None
        In the second model, which was not climbed; None without one that knows the class.
    transfer_probability : float or None
        Of the class in the second model.
    steps : int
        Of ascent.
    stages : tuple of (int, uint8 (3, s, s))
        On the way: after how many steps, and a small picture.
    """

    label: int
    variant: int
    recipe: str
    objective: str
    seed: int
    image: Tensor
    score: float
    probability: float
    robust_probability: float
    rank: int
    rank_jpeg: int
    rank_shift: int
    transfer_rank: int | None
    transfer_probability: float | None
    steps: int
    stages: Stages

    @property
    def failure(self) -> Reason | None:
        """Why nothing may be read into the picture; None where it holds."""
        if self.rank > 1:
            return Reason(code=Code.CMV_NOT_FIRST, values={"rank": self.rank})
        if self.robust_probability < CONVINCED:
            return Reason(code=Code.CMV_NOT_ROBUST, values={"probability": self.robust_probability})
        worst = max(self.rank_jpeg, self.rank_shift)
        if worst > NEAR:
            code = Code.CMV_LOST_IN_JPEG if self.rank_jpeg == worst else Code.CMV_LOST_IN_SHIFT
            return Reason(code=code, values={"rank": worst})
        return None


def measure(model: nn.Module, done: Finished, request: CmvRequest) -> list[Cmv]:
    """Measure the pictures of one class.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    done : Finished
        The pictures.
    request : CmvRequest
        For the record; its second model is asked for the rank of the class where it knows it.
    """
    measured, second = [], request.second
    for variant, picture in enumerate(done.images):
        image = picture[None]
        # All variations of one picture at once: the same batch whatever was climbed beside it.
        tried = torch.cat([image, as_jpeg(image), *shifted(image), *zoomed(image)])
        with torch.no_grad(), tf32(False, tried.device):
            scores = model(tried).float()
        ranks = (scores > scores[:, done.label, None]).sum(1) + 1
        probability = scores.softmax(1)[:, done.label]
        rank, likely = (None, None) if second is None else ask(second, image, done.label)
        measured.append(
            Cmv(
                label=done.label,
                variant=variant,
                recipe=request.recipe,
                objective=request.objective,
                seed=request.seed,
                image=picture.detach().float().cpu().clone(),
                score=float(scores[0, done.label]),
                probability=float(probability[0]),
                robust_probability=float(probability[-_VIEWS:].mean()),
                rank=int(ranks[0]),
                rank_jpeg=int(ranks[1]),
                rank_shift=int(ranks[2:6].max()),
                transfer_rank=rank,
                transfer_probability=likely,
                steps=done.steps,
                stages=done.stages if variant == 0 else (),
            )
        )
    return measured


def zoomed(image: Tensor) -> list[Tensor]:
    """Sixteen zooms and shifts of an image ``(1, 3, S, S)``, the same in every run."""
    crops = draw_crops([torch.Generator().manual_seed(k) for k in range(_VIEWS)], 0.75, 0.95)
    seen = [view(image, crop[None]) for crop in crops.to(image.device)]
    return [soften(one) if index % 2 else one for index, one in enumerate(seen)]


def shifted(image: Tensor) -> list[Tensor]:
    """An image ``(1, 3, S, S)`` moved towards its four corners; its edge is repeated."""
    side = image.shape[-1]
    by = max(1, side // 16)
    framed = F.pad(image, (by, by, by, by), mode="replicate")
    return [
        framed[..., top : top + side, left : left + side]
        for top in (0, 2 * by)
        for left in (0, 2 * by)
    ]


def as_jpeg(image: Tensor) -> Tensor:
    """An image ``(1, 3, S, S)`` in 0..1 as it comes back from a JPEG file of quality 75."""
    buffer = io.BytesIO()
    Image.fromarray(to_picture(image[0])).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    read = np.asarray(Image.open(buffer).convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(read).permute(2, 0, 1)[None].to(image)


def ask(second: Second, image: Tensor, label: int) -> tuple[int | None, float | None]:
    """Rank and probability of a class in the second model, at the size of its own input.

    Parameters
    ----------
    second : Second
        The model and its classes.
    image : float32 (1, 3, S, S)
        In 0..1.
    label : int
        The first model's class; both answers are None where the second does not know it.
    """
    if label not in second.labels:
        return None, None
    side = second.model.geometry.size
    resized = F.interpolate(image, (side, side), mode="bilinear", antialias=True).clamp(0, 1)
    theirs = second.labels[label]
    with torch.no_grad():
        scores = second.model(resized)[0]
    rank = int((scores > scores[theirs]).sum()) + 1
    return rank, float(scores.softmax(0)[theirs])
