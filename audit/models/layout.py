"""Whether a network may answer several images in the same call, and how they lie in memory."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from audit.models.memory import Capacity
from audit.models.state import keeps_state
from audit.threads import on_threads

MICROBATCH = 4
"""Images that go through a network in one call on a CPU: most of what larger calls gain, with
little memory."""
LAYOUTS = (torch.channels_last, torch.contiguous_format)
"""Ways in which a call of several images may lie in memory, the fastest first."""
SAME = {False: 1e-3, True: 0.25}
"""What may change of a class score, as a share of the largest, by whether in bfloat16."""

_log = logging.getLogger(__name__)


class Trials:
    """What trying a network has shown; it is tried once for each question.

    Parameters
    ----------
    network : nn.Module
        From images to class scores, in eval mode.
    capacity : Capacity, optional
        How many images fit into memory; None: not known yet.
    """

    def __init__(self, network: nn.Module, capacity: Capacity | None = None) -> None:
        self.network = network
        self.capacity = capacity or Capacity()
        self._keeps_state: bool | None = None
        self._layouts: dict[object, torch.memory_format | None] = {}

    def keeps_state(self, image: Tensor) -> bool:
        """Whether a pass leaves something behind: see :func:`audit.models.state.keeps_state`."""
        if self._keeps_state is None:
            self._keeps_state = keeps_state(self.network, image)
        return self._keeps_state

    @property
    def image_by_image(self) -> bool:
        """Whether the network takes one number of images alone."""
        return getattr(self.network, "images_per_call", None) is not None

    def layout(self, image: Tensor, count: int) -> torch.memory_format | None:
        """How `count` images like `image` share a call: see :func:`shared_layout`."""
        if self.image_by_image:
            return None
        half = getattr(self.network, "in_bfloat16", False)
        form = (tuple(image.shape[1:]), image.dtype, count, half)
        if form not in self._layouts:
            self._layouts[form] = shared_layout(self.network, image, count, SAME[half])
        return self._layouts[form]


def shared_layout(
    network: nn.Module, image: Tensor, count: int, tolerance: float
) -> torch.memory_format | None:
    """Find a layout in which `count` images in a call do not touch each other's answers.

    Tried, not proven: `count` images of noise are sent through on one thread, then again each one
    place further and beside another one. All scores and derivatives must come back the same to the
    last bit. A network that normalises over the batch, or whose kernels round differently here
    and there, does not pass; nor does one that takes no more than one image. A layout must also
    give the scores of the plain one, but for rounding.

    Parameters
    ----------
    network : nn.Module
        From images to class scores, in eval mode.
    image : float (1, 3, H, W)
        Of the form that is wanted; on a CPU.
    count : int
        Images in a call, > 1.
    tolerance : float
        What a layout may change of a class score, as a share of the largest.

    Returns
    -------
    memory_format or None
        None: ask for one image at a time.
    """
    drawn = torch.rand(count + 1, *image.shape[1:], generator=torch.Generator().manual_seed(0))
    drawn = drawn.to(image.dtype)
    (found,) = on_threads(lambda _: _layout_for(network, drawn, tolerance), 1)
    return found


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
