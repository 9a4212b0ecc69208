"""What one forward pass of one image calls inside a network, and where the score depends on it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from audit.saliency.grids import Grid, find_grid
from audit.saliency.hooks import record_calls

# Modules that are mere lists of others; what lies in them is no part of one block.
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
FIXED_SIZE = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
"""Pools to a size of their own, whatever the network's resolution."""


@dataclass(frozen=True, eq=False)
class Call:
    """The last call of a module: what it put out, and the grids of its input and output."""

    name: str
    module: nn.Module
    output: Tensor
    entered: Grid | None
    left: Grid | None

    @property
    def side(self) -> int:
        """The shorter side of the output's grid; 0 where it has none."""
        return self.left.side if self.left else 0


@dataclass
class Trace:
    """What one forward pass of one image called, in the order in which the calls ended."""

    image: tuple[int, int]
    calls: dict[str, Call] = field(default_factory=dict)
    seen: list[Grid] = field(default_factory=list)
    resized: set[tuple[int, int]] = field(default_factory=set)
    score: Tensor | None = None

    def record(
        self, name: str, module: nn.Module, inputs: tuple[object, ...], output: object
    ) -> None:
        """Take down a call, the latest of its module."""
        # Removed first: a module that is called twice counts where it was called last.
        self.calls.pop(name, None)
        if not isinstance(output, Tensor):
            return
        entered = self._grid(inputs[0]) if inputs else None
        left = self._grid(output)
        if left and left.axes == "NCHW" and isinstance(module, FIXED_SIZE) and left != entered:
            # Pooled to a size of its own: the resolution is no longer the network's.
            self.resized.add((left.rows, left.columns))
        if left and (left.rows, left.columns) in self.resized:
            left = None
        if left and left not in self.seen[-1:]:
            self.seen.append(left)
        self.calls[name] = Call(name, module, output, entered, left)

    def _grid(self, tensor: object) -> Grid | None:
        if not isinstance(tensor, Tensor):
            return None
        found = find_grid(tensor.shape, self.image, self.seen)
        before = self.seen[-1] if self.seen else None
        if found and before and len(found.axes) == 4 and len(before.axes) == 3:
            # Queries and keys (N, heads, tokens, width) look like maps where a head is as wide as
            # there are tokens; but places do not become more on the way.
            sizes = {(one.rows, one.columns) for one in self.seen}
            if found.rows > before.rows and (found.rows, found.columns) not in sizes:
                return None
        return found

    def reaches_score(self, call: Call) -> bool:
        """Whether the class score has a derivative at the places of a layer's grid."""
        score = self.score
        if score is None or not (score.requires_grad and call.output.requires_grad):
            return False
        (slope,) = torch.autograd.grad(score, call.output, retain_graph=True, allow_unused=True)
        return slope is not None and call.left is not None and bool(call.left.maps(slope).any())

    def is_within_reduction(self, call: Call) -> bool:
        """Whether a layer is a part of a block that goes on to fewer places."""
        parts = call.name.split(".")[:-1]
        around = (self.calls.get(".".join(parts[:end])) for end in range(1, len(parts) + 1))
        return any(
            block.entered is not None
            and block.left is not None
            and block.entered.side == call.side > block.side
            for block in around
            if block and not isinstance(block.module, _CONTAINERS)
        )


def trace_calls(model: nn.Module, network: nn.Module, images: Tensor) -> Trace:
    """Send one image through and take down what was called.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    network : nn.Module
        Within `model`; its modules are watched.
    images : float (1, 3, H, W)
        In 0..1.
    """
    trace = Trace((images.shape[2], images.shape[3]))
    modules = {name: module for name, module in network.named_modules() if name}

    def keep(name: str, inputs: tuple[object, ...], output: object) -> None:
        trace.record(name, modules[name], inputs, output)

    with record_calls(modules, keep), torch.inference_mode(False), torch.enable_grad():
        scores = model(images.detach().clone().requires_grad_(True))
    trace.score = scores.amax(1).sum()
    return trace
