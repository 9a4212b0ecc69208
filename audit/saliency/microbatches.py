"""A map must not depend on its batch neighbours, to the last bit: a CPU gets microbatches.

Convolutions, matrix products and even elementwise functions take other code paths for other
batch sizes and other numbers of threads, and round differently. A ReLU near zero then turns a
last bit into a visible difference. So every microbatch has the same size, the last one filled up,
and one thread; several go through the model side by side. A network that answers an image
differently at another place of a microbatch, or beside other images, gets one image at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from audit.models.audited import AuditedModel
from audit.models.engine import Engine
from audit.models.layout import MICROBATCH, Trials
from audit.models.memory import Capacity
from audit.models.rounding import tf32
from audit.threads import on_threads

MicrobatchFunction = Callable[[Tensor, Tensor, Sequence[int]], tuple[Tensor, ...]]


class Microbatches:
    """A batch cut into microbatches of one size on a CPU, and by its memory on a GPU.

    The model is tried here, before any function of the caller's is called: a trial while a hook is
    set would try something else.

    Parameters
    ----------
    images : float (N, 3, H, W)
        In 0..1.
    targets : int64 (N,)
        Class indices.
    seeds : sequence of N int
        One per image.
    model : nn.Module or Trials, optional
        What is asked. Where it is given, and its modules keep nothing of an image, several
        microbatches go through it at a time, each on one thread of the CPU; the function that is
        mapped must bear that.
    size : int
        Images in a microbatch. One, where `model` is not given or mixes up the images of a call.
        What is missing to the last is filled up with its last image.

    Examples
    --------
    >>> pixels = torch.arange(2.0).view(2, 1, 1, 1)
    >>> batches = Microbatches(pixels, torch.tensor([1, 2]), [0, 0])
    >>> (sums,) = batches.map(lambda x, t, s: (x.flatten(1) + t,))
    >>> sums.tolist()
    [[1.0], [3.0]]
    """

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        seeds: Sequence[int],
        *,
        model: nn.Module | Trials | None = None,
        size: int = 1,
    ) -> None:
        self._images, self._targets, self._seeds = images, targets, seeds
        self._size, self._layout, self._together = 1, torch.contiguous_format, False
        trials = None if model is None else _trials_of(model)
        self._capacity = Capacity() if trials is None else trials.capacity
        # What is recorded inside a network must be of the image that was asked about.
        by_itself = trials is not None and trials.image_by_image
        self._whole = len(images) == 0 or (images.device.type != "cpu" and not by_itself)
        if trials is None or self._whole:
            return
        layout = trials.layout(images[:1], size) if size > 1 else None
        if layout is not None:
            self._size, self._layout = size, layout
        self._together = len(images) > self._size and not trials.keeps_state(images[:1])

    def map(self, function: MicrobatchFunction) -> tuple[Tensor, ...]:
        """Call a function for each microbatch.

        Parameters
        ----------
        function : callable
            ``(images, targets, seeds) -> tensors`` with a row per image each.

        Returns
        -------
        tuple of Tensor (N, ...)
            The rows in the order of the images.
        """
        if self._whole:
            if len(self._images) == 0:
                return function(self._images, self._targets, self._seeds)
            some = self._capacity.in_parts(
                len(self._images),
                lambda first, end: function(
                    self._images[first:end], self._targets[first:end], self._seeds[first:end]
                ),
            )
            return some[0] if len(some) == 1 else _joined(some)
        count = -(-len(self._images) // self._size)
        parts = on_threads(
            lambda number: self._rows(function, number), count, together=self._together
        )
        return _joined(parts)

    def _rows(self, function: MicrobatchFunction, number: int) -> tuple[Tensor, ...]:
        first, last = number * self._size, len(self._images) - 1
        here = [min(row, last) for row in range(first, first + self._size)]
        # A copy, for alignment and strides choose the kernel, too.
        images = self._images[here].clone(memory_format=self._layout)
        found = function(images, self._targets[here], [self._seeds[row] for row in here])
        return tuple(rows[: last + 1 - first] for rows in found)


def _joined(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(rows) for rows in zip(*parts, strict=True))


def engine_in(model: nn.Module) -> Engine | None:
    """The engine that a model is, or is asked through; None where there is none."""
    return next((part for part in model.modules() if isinstance(part, Engine)), None)


def _trials_of(model: nn.Module | Trials) -> Trials:
    """What the engine in `model` knows; without one it is found out for this batch alone."""
    if isinstance(model, Trials):
        return model
    engine = engine_in(model)
    if engine is not None:
        return engine.trials
    return Trials(next((m for m in model.modules() if isinstance(m, AuditedModel)), model))


def class_scores(model: nn.Module, images: Tensor) -> Tensor:
    """Class scores without gradients, on a CPU the same at any batch size to the last bit.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores. An :class:`~audit.models.engine.Engine` is asked
        through its cheapest copy, and knows from before what its network bears.
    images : float (N, 3, H, W)
        In 0..1.

    Returns
    -------
    float32 (N, K)
        Logits before softmax.
    """
    if not len(images):
        none: Tensor = model(images)
        return none
    asked: nn.Module = model
    known: nn.Module | Trials = model
    if isinstance(model, Engine):
        asked, known = model.for_scores(images[:1])
    engine = engine_in(model)
    rounded = engine is not None and engine.rounding.scores
    nobody = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    with torch.no_grad(), tf32(rounded, images.device):
        batches = Microbatches(images, nobody, [0] * len(images), model=known, size=MICROBATCH)
        (scores,) = batches.map(lambda part, _targets, _seeds: (asked(part),))
    return scores
