"""Whether a network may answer two images at the same time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def keeps_state(network: nn.Module, image: Tensor) -> bool:
    """Whether a forward pass leaves something behind in the network's modules.

    A module that stores attention weights for a later one, or counts its calls, would mix images
    up that pass it at the same time.

    Parameters
    ----------
    network : nn.Module
        In eval mode.
    image : float (1, 3, H, W)
        Sent through twice; what only the first pass leaves behind, such as a table that is kept
        for the next one, is no state.
    """
    # What a script holds cannot be seen from here.
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        return True
    with torch.no_grad():
        network(image)
        before = list(_kept(network))
        network(image)
        after = list(_kept(network))
    return len(before) != len(after) or any(
        earlier is not later or written != rewritten
        for (earlier, written), (later, rewritten) in zip(before, after, strict=True)
    )


def _kept(network: nn.Module) -> Iterator[tuple[Any, int]]:
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
