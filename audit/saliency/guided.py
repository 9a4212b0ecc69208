"""Guided backpropagation: derivatives that only ever add to the class score, of ReLU networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.errors import NotRectifiedError
from audit.models.layout import MICROBATCH
from audit.saliency.gradients import pixel_gradient, strongest
from audit.saliency.intercepted import Handler, Intercepted
from audit.saliency.microbatches import Microbatches

_RECTIFIERS: tuple[Callable[..., Any], ...] = (
    *(F.relu, F.relu_, F.relu6, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_),
    *(F.hardtanh, F.hardtanh_),
)
_OTHERS: tuple[Callable[..., Any], ...] = (
    *(F.gelu, F.silu, F.mish, F.hardswish, F.elu, F.elu_, F.selu, F.selu_, F.celu, F.celu_),
    *(F.leaky_relu, F.leaky_relu_, F.rrelu, F.prelu, torch.prelu, F.softplus, F.tanh),
    *(torch.tanh, torch.Tensor.tanh, torch.selu, torch.celu),
)
"""Activations for which there is no rule. A sigmoid is none of them: it gates, as in
squeeze-and-excitation, and has its own derivative."""


def guided_backprop(
    model: nn.Module, images: Tensor, targets: Tensor, *, seeds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Gradient in which every ReLU passes on the positive part alone, largest absolute channel.

    Springenberg, Dosovitskiy, Brox and Riedmiller 2014, "Striving for simplicity: the all
    convolutional net". The rule is one of ReLUs (ReLU6 among them), modules or functions; a network
    with another activation has none. Its maps are sharp and hardly depend on the class (Adebayo et
    al. 2018, "Sanity checks for saliency maps").

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    images : float (N, 3, H, W)
        In 0..1.
    targets : int64 (N,)
        The classes that are explained.
    seeds : sequence of N int
        Unused: nothing is drawn.

    Returns
    -------
    maps : float32 (N, H, W)
        Class score per unit of pixel value, >= 0.
    scores : float32 (N, K)
        Class scores of the same pass.

    Raises
    ------
    NotRectifiedError
        The network has another activation than ReLU, or none that PyTorch sees.
    """
    if len(images) == 0:
        return images.new_zeros((0, *images.shape[2:]), dtype=torch.float32), images.new_zeros(0, 0)
    batches = Microbatches(images, targets, seeds, model=model, size=MICROBATCH)

    def explain(x: Tensor, t: Tensor, _seeds: Sequence[int]) -> tuple[Tensor, ...]:
        seen: list[str] = []
        with Intercepted(_handlers(seen)):
            slopes, scores = pixel_gradient(model, x, t)
        _check(seen)
        return strongest(slopes), scores.float()

    maps, scores = batches.map(explain)
    return maps, scores


def check_rectified(model: nn.Module, image: Tensor) -> None:
    """Send one image through and look at the activations.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    image : float (1, 3, H, W)
        In 0..1.

    Raises
    ------
    NotRectifiedError
        The network has another activation than ReLU, or none that PyTorch sees.
    """
    seen: list[str] = []
    with torch.no_grad(), Intercepted(_handlers(seen)):
        model(image)
    _check(seen)


def _handlers(seen: list[str]) -> Mapping[Callable[..., Any], Handler]:
    def rectified(function: Callable[..., Any], args: Any, keywords: Any) -> Any:
        if function in (F.hardtanh, F.hardtanh_) and not _is_relu6(args, keywords):
            return other(function, args, keywords)
        seen.append("")
        output: Tensor = function(*args, **keywords)
        if output.requires_grad:
            # The ReLU's own derivative is zero where it was closed; this drops what speaks against.
            output.register_hook(lambda slope: slope.clamp_min(0))  # type: ignore[no-untyped-call]
        return output

    def other(function: Callable[..., Any], args: Any, keywords: Any) -> Any:
        seen.append(getattr(function, "__name__", str(function)).strip("_"))
        return function(*args, **keywords)

    return {**dict.fromkeys(_RECTIFIERS, rectified), **dict.fromkeys(_OTHERS, other)}


def _is_relu6(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> bool:
    given = {**dict(zip(("input", "min_val", "max_val"), args, strict=False)), **keywords}
    return bool(given.get("min_val", -1.0) == 0)


def _check(seen: Sequence[str]) -> None:
    others = sorted({name for name in seen if name})
    if others or not seen:
        found = ", ".join(others) or "none that can be seen"
        raise NotRectifiedError(
            "saliency.method: guided_backprop has a rule for ReLU alone; expected a network "
            f"without other activations, found {found}. Use saliency.method: gradient."
        )
