"""The layer that class activation maps look at: named, or the last stage of at least 8x8."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from audit.errors import ModelError
from audit.models.audited import AuditedModel
from audit.saliency.targets import Against, Contrast

_SMALLEST = 8
# Modules that are mere lists of others: one may look inside without leaving the network's stages.
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass
class _Trace:
    """What one forward pass put out, by name of the module, in order of execution."""

    image: tuple[int, int]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def side(self, name: str) -> int:
        """Shorter side of a module's feature maps; 0 where it puts out none."""
        shape = self.shapes.get(name, ())
        if len(shape) != 4:
            return 0
        (height, width), (rows, columns) = self.image, shape[2:]
        # Maps have the image's proportions. (N, h, w, C) of a Swin transformer has not.
        alike = abs(rows * width - columns * height) <= max(height, width)
        return min(rows, columns) if alike else 0

    def is_tokens(self, name: str) -> bool:
        """Whether a module puts out a sequence or grid of vectors, as transformers do."""
        shape = self.shapes[name]
        return (len(shape) == 3 and shape[1] > 1) or (len(shape) == 4 and not self.side(name))


def find_layer(model: nn.Module, images: Tensor, name: str | None) -> tuple[str, nn.Module]:
    """Find the layer for class activation maps.

    Parameters
    ----------
    model : nn.Module
        An ``AuditedModel``, a ``Contrast`` or ``Against`` around one, or any network.
    images : float (N, 3, H, W)
        One of them is sent through where the layer must be found.
    name : str or None
        Dotted name within the user's network; None: the model's ``target_layer``, else the last
        stage whose maps are at least 8x8 pixels. Deeper stages know more of the class, but on
        fewer than 8x8 places object and background cannot be told apart.

    Returns
    -------
    name : str
        Dotted.
    layer : nn.Module
        The layer itself.

    Raises
    ------
    ModelError
        No such layer, or no convolutional feature maps.
    """
    network, declared = _network(model)
    name = name or declared
    if name is None:
        name = _choose(network, _trace(model, network, images[:1]))
    modules = dict(network.named_modules())
    if name not in modules or name == "":
        near = difflib.get_close_matches(name, modules, n=3, cutoff=0.4)
        raise ModelError(
            f"saliency.options.layer: the network has no layer {name!r}. "
            f"Close: {', '.join(near) or 'none'}; all: dict(model.named_modules())."
        )
    return name, modules[name]


def _network(model: nn.Module) -> tuple[nn.Module, str | None]:
    """Unwrap the network as its author knows it, and the layer that is declared for it."""
    declared: str | None = None
    while isinstance(model, (Contrast, Against, AuditedModel)):
        if isinstance(model, AuditedModel):
            declared = model.target_layer
            model = model.module
        else:
            model = model.model
    return model, declared


def _trace(model: nn.Module, network: nn.Module, images: Tensor) -> _Trace:
    trace = _Trace((images.shape[2], images.shape[3]))
    handles = []

    def remember(name: str) -> None:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            # Removed first: a module that is called twice counts where it was called last.
            trace.shapes.pop(name, None)
            trace.shapes[name] = tuple(output.shape) if isinstance(output, Tensor) else ()

        handles.append(modules[name].register_forward_hook(hook))

    modules = dict(network.named_modules())
    try:
        for name in modules:
            remember(name)
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return trace


def _choose(network: nn.Module, trace: _Trace) -> str:
    names = [name for name in trace.shapes if name]
    chosen = None
    # Blocks stay closed unless nothing is found: a network may lie inside a wrapper.
    for openings in range(6):
        chosen = chosen or _last_stage(network, "", trace, openings)
    if chosen is None:
        largest = max((trace.side(name) for name in names), default=0)
        alike = [name for name in names if trace.side(name) == largest and largest > 1]
        chosen = alike[-1] if alike else None
    if chosen is None or _is_patch_embedding(network, trace, chosen):
        raise ModelError(
            "saliency.method: gradcam and layercam need convolutional feature maps, and none were "
            "seen inside this network (a transformer, or a scripted or exported graph); "
            "use saliency.method: gradient, or name a layer in saliency.options.layer"
        )
    return chosen


def _last_stage(module: nn.Module, prefix: str, trace: _Trace, openings: int) -> str | None:
    """Go through the children from the last to the first; the first that is large enough wins."""
    for key, child in reversed(list(module.named_children())):
        name = prefix + key
        if trace.side(name) >= _SMALLEST:
            return name
        # A list, or a module that returns no maps itself, such as a whole network.
        is_open = isinstance(child, _CONTAINERS) or not trace.side(name)
        if is_open or openings:
            found = _last_stage(child, name + ".", trace, openings - (not is_open))
            if found:
                return found
    return None


def _is_patch_embedding(network: nn.Module, trace: _Trace, chosen: str) -> bool:
    """Whether more transformer layers follow on `chosen` than convolutions led to it."""
    modules = dict(network.named_modules())
    leaves = [name for name in trace.shapes if not list(modules[name].children())]
    order = list(trace.shapes)
    place = {name: order.index(name) for name in leaves}
    here = order.index(chosen)
    before = sum(isinstance(modules[n], nn.Conv2d) and place[n] <= here for n in leaves)
    after = sum(trace.is_tokens(name) and place[name] > here for name in leaves)
    return after > before
