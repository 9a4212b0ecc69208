"""The method that serves a model: the one that was asked for, or the nearest that can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from audit.errors import ManifestError, NoAttentionError, NoGridError, NotRectifiedError
from audit.saliency.attention import check_attention, gradient_rollout
from audit.saliency.cams import gradcam, gradcam_plus_plus, hirescam, layercam
from audit.saliency.contributions import gradient_x_input, integrated_gradients
from audit.saliency.gradients import gradient, smoothgrad
from audit.saliency.guided import check_rectified, guided_backprop
from audit.saliency.layers import Layer, find_layer
from audit.saliency.occlusion import occlusion

_OF_LAYERS = (gradcam, gradcam_plus_plus, hirescam, layercam)
_OF_DERIVATIVES = (
    *(gradient, gradient_x_input, smoothgrad, integrated_gradients),
    *(guided_backprop, gradient_rollout, *_OF_LAYERS),
)


class Unserved(StrEnum):
    """Why a method cannot serve a model."""

    NO_GRID = "no_grid"
    """No layer with a grid of places was seen; class activation maps have nothing to look at."""
    NO_ATTENTION = "no_attention"
    """No layer attends from all tokens of a grid to all of them; a rollout has nothing to carry."""
    NOT_RECTIFIED = "not_rectified"
    """The network has other activations than ReLU, for which guided backpropagation has no rule."""
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
    options: Mapping[str, object],
    *,
    model: nn.Module,
    image: Tensor,
) -> MethodChoice:
    """Try a method's needs on one image, and take one that is served where they are not met.

    That is `occlusion` where the class score has no derivative, `gradcam` where a network does not
    attend to its places, and `gradient` else.

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
    try:
        if asked is guided_backprop:
            check_rectified(model, image)
        if asked is gradient_rollout:
            check_attention(model, image)
    except NotRectifiedError:
        return MethodChoice(gradient, "gradient", name, Unserved.NOT_RECTIFIED)
    except NoAttentionError:
        instead = choose_method(gradcam, "gradcam", {}, model=model, image=image)
        return replace(instead, instead_of=name, reason=Unserved.NO_ATTENTION)
    if asked not in _OF_LAYERS:
        return MethodChoice(partial(asked, **options), name)
    try:
        layer = find_layer(model, image, _ordered(options))
    except NoGridError:
        return MethodChoice(gradient, "gradient", name, Unserved.NO_GRID)
    return MethodChoice(partial(asked, **{**options, "layer": layer}), name, layer=layer)


def _ordered(options: Mapping[str, object]) -> str | Layer | None:
    """The layer that somebody named; the signature of a method does not refuse other kinds."""
    named = options.get("layer")
    if named is None or isinstance(named, str | Layer):
        return named
    raise ManifestError(
        f"saliency.options.layer: expected a dotted name such as layer4, found {named!r:.80}"
    )


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
