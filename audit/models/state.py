"""Whether a network may answer two images at the same time, and whether in the same call."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from audit.models.audited import AuditedModel
from audit.threads import on_threads

_known: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()
_layouts: weakref.WeakKeyDictionary[nn.Module, dict[Any, torch.memory_format | None]] = (
    weakref.WeakKeyDictionary()
)
_log = logging.getLogger(__name__)


def keeps_state(model: nn.Module, image: Tensor) -> bool:
    """Whether a forward pass leaves something behind in the network's modules.

    A module that stores attention weights for a later one, or counts its calls, would mix images
    up that pass it at the same time.

    Parameters
    ----------
    model : nn.Module
        An ``AuditedModel``, or a wrapper around one, in eval mode. It is asked once.
    image : float (1, 3, H, W)
        Sent through twice; what only the first pass leaves behind, such as a table that is kept
        for the next one, is no state.
    """
    network = _network(model)
    if network not in _known:
        # What a script holds cannot be seen from here.
        scripted = any(isinstance(m, torch.jit.ScriptModule) for m in network.modules())
        _known[network] = scripted or _changes(network, image)
    return _known[network]


LAYOUTS = (torch.channels_last, torch.contiguous_format)
"""Ways in which a call of several images may lie in memory, the fastest first."""
SAME = {False: 1e-3, True: 0.25}
"""What may change of a class score, as a share of the largest, by whether in bfloat16."""


def shared_layout(model: nn.Module, image: Tensor, count: int) -> torch.memory_format | None:
    """Find a layout in which `count` images in a call do not touch each other's answers.

    Tried, not proven: `count` images of noise are sent through on one thread, then again each one
    place further and beside another one. All scores and derivatives must come back the same to the
    last bit. A network that normalises over the batch, or whose kernels round differently here
    and there, does not pass; nor does one that takes no more than one image. A layout must also
    give the scores of the plain one, but for rounding.

    Parameters
    ----------
    model : nn.Module
        As for :func:`keeps_state`. It is asked once for each form of images.
    image : float (1, 3, H, W)
        Of the form that is wanted; on a CPU.
    count : int
        Images in a call, > 1.

    Returns
    -------
    memory_format or None
        None: ask for one image at a time.
    """
    network = _network(model)
    half = getattr(network, "in_bfloat16", False)
    form = (tuple(image.shape[1:]), image.dtype, count, half)
    known = _layouts.setdefault(network, {})
    if form not in known:
        drawn = torch.rand(count + 1, *image.shape[1:], generator=torch.Generator().manual_seed(0))
        drawn = drawn.to(image.dtype)
        (known[form],) = on_threads(lambda _: _layout_for(network, drawn, SAME[half]), 1)
    return known[form]


def _layout_for(network: nn.Module, drawn: Tensor, tolerance: float) -> torch.memory_format | None:
    for layout in LAYOUTS:
        try:
            if _alone(network, drawn, layout, tolerance):
                return layout
        except Exception as error:
            # Whatever a network says that takes no such call; it may well take another.
            _log.info("no calls of %d images as %s: %s", len(drawn) - 1, layout, error)
    return None


def _alone(
    network: nn.Module, drawn: Tensor, layout: torch.memory_format, tolerance: float
) -> bool:
    scores, slopes = _answers(network, drawn[:-1], layout)
    moved, moved_slopes = _answers(network, drawn.roll(1, 0)[:-1], layout)
    if not torch.equal(scores[:-1], moved[1:]) or not torch.equal(slopes[:-1], moved_slopes[1:]):
        return False
    plain, _ = _answers(network, drawn[:1], torch.contiguous_format)
    return float((plain - scores[:1]).abs().max()) <= tolerance * float(plain.abs().max())


def _answers(
    network: nn.Module, images: Tensor, layout: torch.memory_format
) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.enable_grad():
        pixels = images.clone(memory_format=layout).requires_grad_(True)
        scores = network(pixels)
        slopes = None
        if scores.requires_grad:
            (slopes,) = torch.autograd.grad(scores.sum(), pixels, allow_unused=True)
    return scores.detach(), torch.zeros_like(pixels) if slopes is None else slopes


def _network(model: nn.Module) -> nn.Module:
    return next((m for m in model.modules() if isinstance(m, AuditedModel)), model)


def _changes(network: nn.Module, image: Tensor) -> bool:
    with torch.no_grad():
        network(image)
        before = list(_held(network))
        network(image)
        after = list(_held(network))
    return len(before) != len(after) or any(
        earlier is not later or written != rewritten
        for (earlier, written), (later, rewritten) in zip(before, after, strict=True)
    )


def _held(network: nn.Module) -> Iterator[tuple[Any, int]]:
    """All that the modules hold, what lies in their containers, and how often it was written."""
    for module in network.modules():
        for value in list(vars(module).values()):
            yield value, _writes(value)
            if isinstance(value, Mapping):
                yield from ((part, _writes(part)) for part in value.values())
            elif isinstance(value, Collection) and not isinstance(value, (str, bytes)):
                yield from ((part, _writes(part)) for part in value)


def _writes(value: Any) -> int:
    return value._version if isinstance(value, Tensor) and not value.is_inference() else 0
