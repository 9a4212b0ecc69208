"""Two ways to climb a class score, and what may be climbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from audit.cmv.painting import draw_crops, paint, spectrum, view
from audit.models import AuditedModel

Objective = Callable[[Tensor, Tensor], Tensor]


def _logit(scores: Tensor, labels: Tensor) -> Tensor:
    return scores.gather(1, labels[:, None])[:, 0]


def _log_posterior(scores: Tensor, labels: Tensor) -> Tensor:
    return scores.log_softmax(1).gather(1, labels[:, None])[:, 0]


# ``softmax`` is the logarithm of the posterior: it has the same maxima, but the posterior itself
# is flat where the class is improbable. Simonyan et al. 2013 prefer the class score because the
# posterior also grows by making all other classes less likely.
OBJECTIVES: Mapping[str, Objective] = {"logit": _logit, "softmax": _log_posterior}


class Recipe(Protocol):
    """A way to make one picture per label; no picture may depend on its batch neighbours."""

    def __call__(
        self,
        model: nn.Module,
        labels: Tensor,
        *,
        objective: Objective,
        generators: Sequence[torch.Generator],
        steps: int,
        size: int,
        colors: Tensor,
        on_step: Callable[[], None],
    ) -> Tensor:
        """Pictures ``(B, 3, S, S)`` in 0..1 for labels ``(B,)`` on the model's device."""
        ...


def robust(
    model: nn.Module,
    labels: Tensor,
    *,
    objective: Objective,
    generators: Sequence[torch.Generator],
    steps: int,
    size: int,
    colors: Tensor,
    on_step: Callable[[], None],
    rate: float = 0.05,
    smallest: float = 0.35,
    largest: float = 0.95,
    noise: float = 0.06,
) -> Tensor:
    """Climb in a decorrelated spectrum, under random zooms and noise.

    Olah, Mordvintsev and Schubert 2017, "Feature visualization". Zooms keep the picture from
    being an answer to one alignment of the network's grid.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores, in eval mode.
    labels : int64 (B,)
        On the model's device.
    objective : callable
        A value of :data:`OBJECTIVES`.
    generators : sequence of B torch.Generator
        On the CPU, one per picture; all that is random comes from them.
    steps : int
        Of Adam.
    size : int
        Side of the pictures in pixels.
    colors : float32 (3, 3)
        Root of the colour covariance.
    on_step : callable
        Called after every step.
    rate : float
        Adam's step.
    smallest, largest : float
        Range of the side of the zoomed crop, as a share of the picture.
    noise : float
        Standard deviation of pixel noise, in units of 0..1 pixels.

    Returns
    -------
    float32 (B, 3, size, size)
        In 0..1, on the model's device.
    """
    device = labels.device
    colors = colors.to(device).clone()
    spectra = spectrum(generators, size).to(device).requires_grad_(True)
    grain = [torch.Generator(device).manual_seed(_draw_seed(g)) for g in generators]
    # Adam works on each number by itself, so classes of a batch do not touch each other.
    optimizer = torch.optim.Adam([spectra], lr=rate)
    for _ in range(steps):
        crops = draw_crops(generators, smallest, largest).to(device)
        drawn = [torch.randn((3, size, size), generator=g, device=device) for g in grain]
        seen = view(paint(spectra, colors), crops) + noise * torch.stack(drawn)
        loss = -objective(model(seen), labels).sum()
        (spectra.grad,) = torch.autograd.grad(loss, [spectra])
        optimizer.step()
        on_step()
    return paint(spectra.detach(), colors)


def simonyan(
    model: nn.Module,
    labels: Tensor,
    *,
    objective: Objective,
    generators: Sequence[torch.Generator],
    steps: int,
    size: int,
    colors: Tensor,
    on_step: Callable[[], None],
    rate: float = 2.0,
    decay: float = 0.005,
) -> Tensor:
    """Climb ``S_c(x) - decay * |x|^2`` from the mean image by plain gradient steps.

    Simonyan, Vedaldi and Zisserman 2013, "Deep inside convolutional networks". ``x`` is the
    normalised image: zero is the training set's mean colour.

    Parameters
    ----------
    model, labels, objective, steps, size, on_step
        As for :func:`robust`.
    generators, colors
        Unused: nothing is drawn, and pixels are climbed as they are.
    rate : float
        Length of a step per unit of gradient.
    decay : float
        Weight of the penalty. ``2 * rate * decay`` must stay below 2.

    Returns
    -------
    float32 (B, 3, size, size)
        Clipped to 0..1, on the model's device.
    """
    mean, std = _normalisation(model, labels.device)
    x = torch.zeros((len(labels), 3, size, size), device=labels.device)
    for _ in range(steps):
        x.requires_grad_(True)
        own = objective(model(x * std + mean), labels).sum()
        (slope,) = torch.autograd.grad(own, x)
        x = x.detach() + rate * (slope - 2 * decay * x.detach())
        on_step()
    return (x * std + mean).clamp(0, 1)


RECIPES: dict[str, Recipe] = {"simonyan": simonyan, "robust": robust}


def _normalisation(model: nn.Module, device: torch.device) -> tuple[Tensor, Tensor]:
    if isinstance(model, AuditedModel):
        return model.mean, model.std
    ones = torch.ones(3, 1, 1, device=device)
    return 0.5 * ones, ones


def _draw_seed(generator: torch.Generator) -> int:
    """Take the seed of a further generator, which may live on a GPU, from one on the CPU."""
    return int(torch.randint(2**62, (1,), generator=generator))
