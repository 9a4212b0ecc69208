"""How a picture is parameterised, painted, looked at and moved: the recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from audit.cmv.painting import (
    Palette,
    draw_crops,
    natural_magnitudes,
    paint,
    paint_phases,
    spectrum,
    view,
)

Generators = Sequence[torch.Generator]


@dataclass
class Moments:
    """What the optimiser remembers of each picture by itself.

    Parameters
    ----------
    first, second : float32 (B, ...)
        Running means of the slope and of its square.
    steps : int64 (B,)
        Taken by each picture; pictures of a batch need not have begun together.
    """

    first: Tensor
    second: Tensor
    steps: Tensor


@dataclass(frozen=True)
class Recipe:
    """A way to make pictures; nothing in it lets a picture see its batch neighbours.

    Parameters
    ----------
    begin : callable
        ``(generators, size) -> float32 (B, ...)`` on the CPU: what is climbed in.
    paint : callable
        ``(parameters, palette) -> (B, 3, S, S)``: pictures, differentiably.
    look : callable
        ``(pictures, generators, noise_generators) -> (B, 3, S, S)``: what the model is shown;
        `noise_generators` live on the model's device.
    move : callable
        ``(parameters, slope, moments) -> None``: one step upwards, in place.
    """

    begin: Callable[[Generators, int], Tensor]
    paint: Callable[[Tensor, Palette], Tensor]
    look: Callable[[Tensor, Generators, Generators], Tensor]
    move: Callable[[Tensor, Tensor, Moments], None]


def robust(
    *,
    rate: float = 0.05,
    smallest: float = 0.35,
    largest: float = 0.95,
    noise: float = 0.06,
) -> Recipe:
    """Climb in a decorrelated spectrum, under random zooms and noise.

    Olah, Mordvintsev and Schubert 2017, "Feature visualization". Zooms keep the picture from
    being an answer to one alignment of the network's grid.

    Parameters
    ----------
    rate : float
        Adam's step.
    smallest, largest : float
        Range of the side of the zoomed crop, as a share of the picture.
    noise : float
        Standard deviation of pixel noise, in units of 0..1 pixels.
    """
    return Recipe(
        begin=spectrum,
        paint=lambda parameters, palette: paint(parameters, palette.colors),
        look=partial(_zoomed, smallest=smallest, largest=largest, noise=noise),
        move=partial(adam, rate=rate),
    )


def maco(
    *,
    rate: float = 0.1,
    smallest: float = 0.35,
    largest: float = 0.95,
    noise: float = 0.06,
) -> Recipe:
    """Climb in the phases alone; the amplitudes are those of the audited dataset's own images.

    Fel et al. 2023, "Unlocking feature visualization for deeper networks with magnitude
    constrained optimization". Without images of a dataset, amplitudes fall with the frequency,
    as in photographs.

    Parameters
    ----------
    rate : float
        Adam's step in radians.
    smallest, largest, noise : float
        As for :func:`robust`.
    """
    return Recipe(
        begin=_phases,
        paint=_paint_constrained,
        look=partial(_zoomed, smallest=smallest, largest=largest, noise=noise),
        move=partial(adam, rate=rate),
    )


def simonyan(*, rate: float = 2.0, decay: float = 0.005) -> Recipe:
    """Climb ``S_c(x) - decay * |x|^2`` from the mean image by plain gradient steps.

    Simonyan, Vedaldi and Zisserman 2013, "Deep inside convolutional networks". ``x`` is the
    normalised image: zero is the training set's mean colour.

    Parameters
    ----------
    rate : float
        Length of a step per unit of gradient.
    decay : float
        Weight of the penalty. ``2 * rate * decay`` must stay below 2.
    """

    def move(parameters: Tensor, slope: Tensor, _moments: Moments) -> None:
        parameters += rate * (slope - 2 * decay * parameters)

    return Recipe(
        begin=lambda generators, size: torch.zeros(len(generators), 3, size, size),
        paint=lambda parameters, palette: parameters * palette.std + palette.mean,
        look=lambda pictures, _generators, _noise_generators: pictures,
        move=move,
    )


RECIPES: Mapping[str, Callable[..., Recipe]] = {
    "simonyan": simonyan,
    "robust": robust,
    "maco": maco,
}


def adam(parameters: Tensor, slope: Tensor, moments: Moments, *, rate: float) -> None:
    """Take one upward step of Adam (Kingma and Ba 2015) in each picture by itself.

    Parameters
    ----------
    parameters, slope : float32 (B, ...)
        What is climbed in, changed in place, and the gradient.
    moments : Moments
        Changed in place; ``steps`` already counts this step.
    rate : float
        Length of a step.
    """
    steps = moments.steps.float().view(-1, *[1] * (parameters.ndim - 1))
    moments.first.lerp_(slope, 0.1)
    moments.second.lerp_(slope.square(), 0.001)
    first = moments.first / (1 - 0.9**steps)
    second = moments.second / (1 - 0.999**steps)
    parameters += rate * first / (second.sqrt() + 1e-8)


def _zoomed(
    pictures: Tensor,
    generators: Generators,
    noise_generators: Generators,
    *,
    smallest: float,
    largest: float,
    noise: float,
) -> Tensor:
    crops = draw_crops(generators, smallest, largest).to(pictures.device)
    shape, device = pictures.shape[1:], pictures.device
    drawn = [torch.randn(shape, generator=g, device=device) for g in noise_generators]
    return view(pictures, crops) + noise * torch.stack(drawn)


def _phases(generators: Generators, size: int) -> Tensor:
    shape = (3, size, size // 2 + 1)
    return torch.stack([2 * torch.pi * torch.rand(shape, generator=g) for g in generators])


def _paint_constrained(parameters: Tensor, palette: Palette) -> Tensor:
    if palette.magnitudes is None or palette.middle is None:
        middle = torch.zeros(3, device=parameters.device)
        magnitudes = natural_magnitudes(parameters.shape[2], parameters.device)
        return paint_phases(parameters, palette.colors, magnitudes, middle)
    return paint_phases(parameters, palette.colors, palette.magnitudes, palette.middle)
