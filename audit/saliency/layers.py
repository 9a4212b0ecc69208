"""The layer that class activation maps look at: named, or the last one that still has places."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from torch import Tensor, nn

from audit.errors import ModelError, NoGridError
from audit.models.audited import AuditedModel
from audit.models.engine import Engine
from audit.saliency.grids import Grid
from audit.saliency.targets import Against, Contrast
from audit.saliency.traces import FIXED_SIZE, Call, Trace, trace_calls

SMALLEST = 4
"""Places along the shorter side that the last maps must have, or an earlier layer is taken."""

# Linear layers on tokens make queries, keys and values: parts of a block, of the same form as it.
_NOT_CHOSEN = (nn.Linear, *FIXED_SIZE)


@dataclass(frozen=True)
class Layer:
    """A layer, and how the places of the image lie in what it puts out.

    Parameters
    ----------
    name : str
        Dotted, within the user's network.
    module : nn.Module
        The layer itself.
    grid : Grid
        Where its output has which place.
    """

    name: str
    module: nn.Module
    grid: Grid


def find_layer(
    model: nn.Module, images: Tensor, name: str | Layer | None, *, smallest: int = SMALLEST
) -> Layer:
    """Find the layer for class activation maps.

    By itself it is the last layer in order of execution whose output still has places, that is
    the end of the last stage before pooling (Selvaraju et al. 2017: "the last convolutional
    layer"). Maps, channels-last grids and sequences of tokens count alike. Behind the last
    attention of a network that reads its class token nothing depends on the other tokens; then it
    is the last layer of the same form on which the class score does depend: the first
    normalisation of the last block.

    Where the last grid has fewer than `smallest` places along a side, the last layer with at least
    that many is taken, at the end of a block where the grid is reduced inside one; where no layer
    has as many, the last of the largest grid. Measured at 64 and 96 pixels (BENCHMARKS.md), the
    mass lift of Grad-CAM on 2x2 and 3x3 places is 0.1 or less, on the stage before it 0.2 to 0.7.

    Parameters
    ----------
    model : nn.Module
        An ``Engine`` or ``AuditedModel``, a ``Contrast`` or ``Against`` around one, or any network.
    images : float (N, 3, H, W)
        The first of them is sent through.
    name : str, Layer or None
        Dotted name within the user's network; a layer that was found before, in this network or
        in one of its form; None: the model's ``target_layer``, else found.
    smallest : int
        See above.

    Returns
    -------
    Layer
        With the grid of its output.

    Raises
    ------
    ModelError
        No such layer, or one without a grid.
    NoGridError
        No layer has one.
    """
    network, declared = _network(model)
    if isinstance(name, Layer):
        return replace(name, module=network.get_submodule(name.name))
    name = name or declared
    if name is not None:
        _check_name(network, name)
    trace = trace_calls(model, network, images[:1])
    if name is not None:
        return _named(trace, name)
    chosen = _choose(trace, smallest)
    if chosen is None or chosen.left is None:
        raise NoGridError(
            "saliency.method: gradcam and layercam need a layer with a grid of places (feature "
            "maps or image tokens), and none was seen inside this network (a scripted or exported "
            "graph, say); use saliency.method: gradient, or name a layer in "
            "saliency.options.layer"
        )
    return Layer(chosen.name, chosen.module, chosen.left)


def _network(model: nn.Module) -> tuple[nn.Module, str | None]:
    """Unwrap the network as its author knows it, and the layer that is declared for it."""
    declared: str | None = None
    while isinstance(model, (Contrast, Against, Engine, AuditedModel)):
        if isinstance(model, AuditedModel):
            declared = model.target_layer
            model = model.module
        else:
            model = model.model
    return model, declared


def _check_name(network: nn.Module, name: str) -> None:
    modules = dict(network.named_modules())
    if name not in modules or name == "":
        near = difflib.get_close_matches(name, modules, n=3, cutoff=0.4)
        raise ModelError(
            f"saliency.options.layer: the network has no layer {name!r}. "
            f"Close: {', '.join(near) or 'none'}; all: dict(model.named_modules()). Name one of "
            "them, or leave it out."
        )


def _named(trace: Trace, name: str) -> Layer:
    if name not in trace.calls:
        raise ModelError(
            f"saliency.options.layer: the network never calls {name!r}, or it puts out no tensor. "
            "Name another, or leave it out."
        )
    call = trace.calls[name]
    grid = call.left
    if grid is None and call.output.ndim == 4:
        # Whoever names a layer may look at maps of any proportions.
        grid = Grid(*call.output.shape[2:])
    if grid is None:
        raise ModelError(
            f"saliency.options.layer: {name!r} puts out {tuple(call.output.shape)} for one image, "
            "expected (N, C, h, w), (N, h, w, C) or a sequence of tokens (N, T, C)"
        )
    return Layer(name, call.module, grid)


def _choose(trace: Trace, smallest: int) -> Call | None:
    calls = [
        call
        for call in trace.calls.values()
        if call.side and not isinstance(call.module, _NOT_CHOSEN)
    ]
    if not calls:
        return None
    least = min(smallest, max(call.side for call in calls))
    large = [call for call in calls if call.side >= least]
    closed = [call for call in large if not trace.is_within_reduction(call)] or large
    last = closed[-1]
    if _is_patch_embedding(trace, last):
        return None
    # Behind the last attention only the class token counts: its form is looked for further up.
    alike = [one for one in closed if one.left == last.left and _width(one) == _width(last)]
    rest = closed if trace.reaches_score(closed[0]) else []
    read = (one for one in (*reversed(alike), *reversed(rest)) if trace.reaches_score(one))
    return next(read, last)


def _width(call: Call) -> int:
    return 0 if call.left is None else call.left.maps(call.output).shape[1]


def _is_patch_embedding(trace: Trace, chosen: Call) -> bool:
    """Whether more layers with tokens in no grid follow on `chosen` than convolutions led to it."""
    calls = list(trace.calls.values())
    position = calls.index(chosen)
    convolutions = sum(isinstance(one.module, nn.Conv2d) for one in calls[: position + 1])
    sequences = sum(
        not one.side and one.output.ndim == 3 and one.output.shape[1] > 1
        for one in calls[position:]
    )
    return sequences > convolutions
