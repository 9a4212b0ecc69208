"""Networks without memory for their weights, to be compared with those of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_MAKES_WEIGHTS = (torch.empty, torch.zeros, torch.ones)


def skeleton_of(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network whose parameters have names, shapes and types, and no values.

    Parameters
    ----------
    build : callable
        Returns the network.

    Examples
    --------
    >>> next(skeleton_of(lambda: nn.Linear(2, 3)).parameters()).device
    device(type='meta')
    """
    with _WeightsOnMeta():
        return build()


class _WeightsOnMeta(TorchFunctionMode):
    """Puts on the device meta what becomes weights.

    ``torch.device("meta")`` would put everything there: the widths, too, that RegNet computes with
    tensors, and the rates of dropped paths, and both then read values of them that are not there.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in _MAKES_WEIGHTS and given.get("device") is None:
            given["device"] = "meta"
        return func(*args, **given)
