"""What the model makes of a finished picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audit.cmv.painting import draw_crops, soften, view

_VIEWS = 16


@dataclass(frozen=True, eq=False)
class Cmv:
    """One class's picture and what the model makes of it.

    Parameters
    ----------
    label : int
        The class.
    recipe, objective : str
        How it was made.
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
    steps : int
        Of ascent.
    seconds : float
        The class's share of its batch's time.
    """

    label: int
    recipe: str
    objective: str
    image: Tensor
    score: float
    probability: float
    robust_probability: float
    rank: int
    steps: int
    seconds: float


def measure(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    places: Mapping[int, int],
    *,
    recipe: str,
    objective: str,
    steps: int,
    started: float,
) -> Iterator[Cmv]:
    """Measure the pictures of a batch and hand them over one by one.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    images : float32 (B, 3, H, W)
        In 0..1.
    labels : int64 (B,)
        What each picture shows.
    places : mapping of int to int
        The labels that were asked for, and where in the batch each stands.
    recipe, objective, steps
        For the record.
    started : float
        When the batch began, by ``time.perf_counter``.
    """
    with torch.no_grad():
        scores = model(images)
        own = scores.gather(1, labels[:, None])
        rank = (scores > own).sum(1) + 1
        probability = scores.softmax(1).gather(1, labels[:, None])[:, 0]
        elsewhere = robust_probability(model, images, labels)
    pictures = images.detach().float().cpu()
    seconds = (time.perf_counter() - started) / len(places)
    for label, place in places.items():
        yield Cmv(
            label=label,
            recipe=recipe,
            objective=objective,
            image=pictures[place].clone(),
            score=float(own[place, 0]),
            probability=float(probability[place]),
            robust_probability=float(elsewhere[place]),
            rank=int(rank[place]),
            steps=steps,
            seconds=seconds,
        )


def robust_probability(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Mean probability of the class over zooms and shifts that are the same in every run.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    images : float32 (B, 3, H, W)
        In 0..1.
    labels : int64 (B,)
        What each picture shows.

    Returns
    -------
    float32 (B,)
        0..1.
    """
    crops = draw_crops([torch.Generator().manual_seed(k) for k in range(_VIEWS)], 0.75, 0.95)
    total = torch.zeros(len(images), device=images.device)
    for index, crop in enumerate(crops.to(images.device)):
        seen = view(images, crop.expand(len(images), 2, 3))
        seen = soften(seen) if index % 2 else seen
        total += model(seen).softmax(1).gather(1, labels[:, None])[:, 0]
    return total / _VIEWS
