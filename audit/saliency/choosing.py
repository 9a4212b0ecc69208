"""The method that serves a model: the one that was asked for, or the nearest that can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from audit.errors import NoGridError
from audit.saliency.cams import gradcam, layercam
from audit.saliency.gradients import gradient, integrated_gradients, smoothgrad
from audit.saliency.layers import Layer, find_layer
from audit.saliency.occlusion import occlusion

_OF_LAYERS = (gradcam, layercam)
_OF_DERIVATIVES = (gradient, smoothgrad, integrated_gradients, *_OF_LAYERS)


class Unserved(StrEnum):
    """Why a method cannot serve a model."""

    NO_GRID = "no_grid"
    """No layer with a grid of places was seen; class activation maps have nothing to look at."""
    NO_DERIVATIVE = "no_derivative"
    """The class score has no derivative with respect to the image, as in a network of ONNX."""


@dataclass(frozen=True, eq=False)
class MethodChoice:
    """A method bound to its options, and why it is not the one that was asked for.

    Parameters
    ----------
    method : callable
        ``(model, images, targets, *, seeds)``.
    name : str
        Its name in ``METHODS``; for a function of the user's, as it was asked for.
    instead_of : str or None
        What was asked for, where that cannot serve the model.
    reason : Unserved or None
        Why it cannot.
    layer : Layer or None
        Where class activation maps look.
    differentiable : bool
        Whether the class score has a derivative with respect to the image.
    """

    method: Callable[..., Any]
    name: str
    instead_of: str | None = None
    reason: Unserved | None = None
    layer: Layer | None = None
    differentiable: bool = True


def choose_method(
    asked: Callable[..., Any],
    name: str,
    options: Mapping[str, Any],
    *,
    model: nn.Module,
    image: Tensor,
) -> MethodChoice:
    """Try a method's needs on one image, and take `gradient` or `occlusion` where they are not met.

    A layer that somebody named, in the options or with the model, is no need but an order: what is
    wrong with it is an error.

    Parameters
    ----------
    asked : callable
        A value of ``METHODS``, or a function of the user's, which is taken as it is.
    name : str
        As it was asked for.
    options : mapping
        Of `asked`, checked against its parameters. What comes in its place has its defaults.
    model : nn.Module
        From images in 0..1 to class scores.
    image : float (1, 3, H, W)
        Of the size that will be explained; best of the dataset.

    Returns
    -------
    MethodChoice
        Class activation maps have their layer bound, so that it is not looked for at each call.

    Raises
    ------
    ModelError
        The named layer does not exist, or has no grid.
    """
    differentiable = _has_derivative(model, image)
    if asked not in _OF_DERIVATIVES:
        return MethodChoice(partial(asked, **options), name, differentiable=differentiable)
    if not differentiable:
        reason = Unserved.NO_DERIVATIVE
        return MethodChoice(occlusion, "occlusion", name, reason, differentiable=False)
    if asked not in _OF_LAYERS:
        return MethodChoice(partial(asked, **options), name)
    try:
        layer = find_layer(model, image, options.get("layer"))
    except NoGridError:
        return MethodChoice(gradient, "gradient", name, Unserved.NO_GRID)
    return MethodChoice(partial(asked, **{**options, "layer": layer}), name, layer=layer)


def _has_derivative(model: nn.Module, image: Tensor) -> bool:
    with torch.inference_mode(False), torch.enable_grad():
        pixels = image.detach().clone().requires_grad_(True)
        score = model(pixels).amax(1).sum()
        if not score.requires_grad:
            return False
        try:
            (slope,) = torch.autograd.grad(score, pixels, allow_unused=True)
        except (RuntimeError, NotImplementedError):
            # An operation without a derivative, as those of quantized layers.
            return False
    return slope is not None
