"""What the audited model itself makes of a picture, just before it decides on a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from audit.errors import ModelError
from audit.findings import Code, Reason
from audit.models.audited import AuditedModel
from audit.models.engine import Engine
from audit.saliency import Microbatches, class_scores
from audit.saliency.hooks import record_calls
from audit.saliency.layers import find_layer


@dataclass(frozen=True)
class FeatureReader:
    """Reads features of images.

    Parameters
    ----------
    read : callable
        From images float ``(N, 3, H, W)`` in 0..1 to features float32 ``(N, D)`` on the CPU.
    source : Reason
        Where they come from.
    """

    read: Callable[[Tensor], Tensor]
    source: Reason


def feature_reader(model: nn.Module, images: Tensor) -> FeatureReader:
    """Find the penultimate features of a model; hooks are set only while they are read.

    The features are the input of the last linear layer, or of the last 1x1 convolution, that puts
    out as many values as there are classes. Where the network has none, they are the pooled
    output of the layer that class activation maps would look at; where it has none either (a
    scripted graph, say), the class scores themselves.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores, in eval mode.
    images : float (N, 3, H, W)
        One of them is sent through to find the layer.
    """
    layer, pooled, source = _choose(model, images[:1])
    if layer is None:
        return FeatureReader(lambda pixels: class_scores(model, pixels).float().cpu(), source)
    name = str(source.values["layer"])

    def keep(_name: str, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        return pooled(inputs, output)

    def read(pixels: Tensor) -> Tensor:
        nobody = torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)
        with torch.no_grad(), record_calls({name: layer}, keep) as recording:

            def one(image: Tensor, _targets: Tensor, _seeds: Sequence[int]) -> tuple[Tensor, ...]:
                model(image)
                recorded = recording.take_last()
                if recorded is None:
                    raise ModelError(f"cues: the layer {name} was not reached by this image")
                return (recorded,)

            (found,) = Microbatches(pixels, nobody, [0] * len(pixels)).map(one)
            return found.float().cpu()

    return FeatureReader(read, source)


_Pool = Callable[[tuple[Any, ...], Any], Tensor | None]


def _choose(model: nn.Module, image: Tensor) -> tuple[nn.Module | None, _Pool, Reason]:
    """The layer, the features ``(N, D)`` of a call of it, and which it is."""
    network = model.module if isinstance(model, (Engine, AuditedModel)) else model
    modules = dict(network.named_modules())
    layers = {
        name: module
        for name, module in modules.items()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    }
    # The model itself is asked: a folded or compiled copy would call nobody's hooks.
    with torch.no_grad(), record_calls(layers, _name_of_plain_call) as recording:
        classes = model(image).shape[1]
        called = list(recording.calls)
    for name in reversed(called):
        if _decides(modules[name], classes):
            source = Reason(code=Code.FEATURES_LAST_LAYER_INPUT, values={"layer": name})
            return modules[name], _of_input, source
    try:
        found = find_layer(model, image, None)
    except ModelError:
        return None, _of_input, Reason(code=Code.FEATURES_CLASS_SCORES)

    def of_output(_inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        fits = isinstance(output, Tensor) and found.grid.fits(output)
        return found.grid.maps(output).detach().mean((2, 3)) if fits else None

    source = Reason(code=Code.FEATURES_POOLED_LAYER, values={"layer": found.name})
    return found.module, of_output, source


def _name_of_plain_call(name: str, inputs: tuple[object, ...], output: object) -> str | None:
    """The name of a layer that took a tensor and put one out."""
    plain = inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)
    return name if plain else None


def _decides(module: nn.Module, classes: int) -> bool:
    if isinstance(module, nn.Linear):
        return module.out_features == classes
    if isinstance(module, nn.Conv2d):
        return module.out_channels == classes and tuple(module.kernel_size) == (1, 1)
    return False


def _of_input(inputs: tuple[Any, ...], _output: Any) -> Tensor | None:
    """Average over all places: ``(N, D)`` of ``(N, D)``, ``(N, D, H, W)`` or ``(N, T, D)``."""
    if not (inputs and isinstance(inputs[0], Tensor)):
        return None
    entered = inputs[0].detach()
    if entered.ndim == 4:
        return entered.mean((2, 3))
    return entered.mean(1) if entered.ndim == 3 else entered.flatten(1)
