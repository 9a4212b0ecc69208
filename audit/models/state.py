"""Whether a network may answer two images at the same time."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from audit.models.audited import AuditedModel

_known: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()


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
    network = next((m for m in model.modules() if isinstance(m, AuditedModel)), model)
    if network not in _known:
        # What a script holds cannot be seen from here.
        scripted = any(isinstance(m, torch.jit.ScriptModule) for m in network.modules())
        _known[network] = scripted or _changes(network, image)
    return _known[network]


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
