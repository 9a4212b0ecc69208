"""Whether a network may answer two images at the same time, and whether in the same call."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from audit.models.audited import AuditedModel
from audit.threads import on_threads

_known: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()
_alone: weakref.WeakKeyDictionary[nn.Module, dict[Any, bool]] = weakref.WeakKeyDictionary()


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


def answers_each_alone(model: nn.Module, image: Tensor, count: int) -> bool:
    """Whether an image's scores and derivatives are its own in calls of `count` images.

    Tried, not proven: `count` images of noise are sent through on one thread, then again each one
    place further and beside another one. All must come back the same to the last bit. A network
    that normalises over the batch, or whose kernels round differently here and there, does not
    pass; nor does one that takes no more than one image.

    Parameters
    ----------
    model : nn.Module
        As for :func:`keeps_state`. It is asked once for each form of images.
    image : float (1, 3, H, W)
        Of the form that is wanted; on a CPU.
    count : int
        Images in a call, > 1.
    """
    network = _network(model)
    form = (tuple(image.shape[1:]), image.dtype, count)
    known = _alone.setdefault(network, {})
    if form not in known:
        drawn = torch.rand(count + 1, *image.shape[1:], generator=torch.Generator().manual_seed(0))
        drawn = drawn.to(image.dtype)
        try:
            (known[form],) = on_threads(lambda _: _alone_in(network, drawn), 1)
        except Exception:
            # Whatever a network that takes no `count` images says; alone it may do.
            known[form] = False
    return known[form]


def _alone_in(network: nn.Module, drawn: Tensor) -> bool:
    found = []
    for images in (drawn[:-1], drawn.roll(1, 0)[:-1]):
        with torch.inference_mode(False), torch.enable_grad():
            pixels = images.clone().requires_grad_(True)
            scores = network(pixels)
            slopes = pixels
            if scores.requires_grad:
                (slopes,) = torch.autograd.grad(scores.sum(), pixels, allow_unused=True)
        found.append((scores.detach(), slopes))
    ((scores, slopes), (moved, moved_slopes)) = found
    return torch.equal(scores[:-1], moved[1:]) and (
        slopes is None or torch.equal(slopes[:-1], moved_slopes[1:])
    )


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
