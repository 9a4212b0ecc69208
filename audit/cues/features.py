"""What the audited model itself makes of a picture, just before it decides on a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audit.errors import ModelError
from audit.saliency import class_scores, in_pieces
from audit.saliency.layers import find_layer


@dataclass(frozen=True)
class FeatureReader:
    """Reads features while the ``with`` block lasts.

    Parameters
    ----------
    read : callable
        From images float ``(N, 3, H, W)`` in 0..1 to features float32 ``(N, D)`` on the CPU.
    source : str
        Where they come from, in words for people.
    """

    read: Callable[[Tensor], Tensor]
    source: str


@dataclass
class _Call:
    """One call of a layer: which, and what went in and came out."""

    name: str
    module: nn.Module
    entered: Tensor
    left: Tensor


@contextmanager
def feature_reader(model: nn.Module, images: Tensor) -> Iterator[FeatureReader]:
    """Open a reader of the penultimate features; no hook outlives the block.

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
    layer, before, source = _choose(model, images[:1])
    if layer is None:
        yield FeatureReader(lambda pixels: class_scores(model, pixels).float().cpu(), source)
        return
    seen: list[Tensor] = []

    def hook(_module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        held = inputs[0] if before and inputs else output
        if isinstance(held, Tensor):
            seen.append(held.detach())

    def one(piece: Tensor, _targets: Tensor, _seeds: Sequence[int]) -> Tensor:
        seen.clear()
        model(piece)
        if not seen:
            raise ModelError(f"cues: {source} was not reached by this image")
        return _pooled(seen[-1])

    def read(pixels: Tensor) -> Tensor:
        nobody = torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)
        with torch.no_grad():
            return in_pieces(one, pixels, nobody, [0] * len(pixels)).float().cpu()

    handle = layer.register_forward_hook(hook)
    try:
        yield FeatureReader(read, source)
    finally:
        handle.remove()


def _choose(model: nn.Module, image: Tensor) -> tuple[nn.Module | None, bool, str]:
    """The layer, whether its input is meant (else its output), and its name in words."""
    calls: list[_Call] = []
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def hook(_module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                calls.append(_Call(name, module, inputs[0], output))

        handles.append(module.register_forward_hook(hook))

    try:
        for name, module in model.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                watch(name, module)
        classes = class_scores(model, image).shape[1]
    finally:
        for handle in handles:
            handle.remove()
    for call in reversed(calls):
        if _decides(call.module, classes):
            shown = call.name.removeprefix("module.")
            return call.module, True, f"the input of the model's last layer, {shown}"
    try:
        name, layer = find_layer(model, image, None)
    except ModelError:
        return None, False, "the class scores, since no layer before them was found"
    return layer, False, f"the pooled output of the layer {name}, since no last layer was found"


def _decides(module: nn.Module, classes: int) -> bool:
    if isinstance(module, nn.Linear):
        return module.out_features == classes
    if isinstance(module, nn.Conv2d):
        return module.out_channels == classes and tuple(module.kernel_size) == (1, 1)
    return False


def _pooled(held: Tensor) -> Tensor:
    """Average over all places: ``(N, D)`` of ``(N, D)``, ``(N, D, H, W)`` or ``(N, T, D)``."""
    if held.ndim == 4:
        return held.mean((2, 3))
    if held.ndim == 3:
        return held.mean(1)
    return held.flatten(1)
