"""A map must not depend on its batch neighbours, to the last bit: pieces of one size on a CPU.

Convolutions, matrix products and even elementwise functions take other code paths for other
batch sizes and other numbers of threads, and round differently. A ReLU near zero then turns a
last bit into a visible difference. So every piece has the same size, the last one filled up, and
one thread; several pieces go through the model side by side. A network that answers an image
differently at another place of a piece, or beside other images, is asked for one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from audit.models.audited import AuditedModel
from audit.models.engine import Engine
from audit.models.layout import MICROBATCH, Trials
from audit.threads import on_threads

PieceFunction = Callable[[Tensor, Tensor, Sequence[int]], Tensor]


def in_pieces(
    function: PieceFunction,
    images: Tensor,
    targets: Tensor,
    seeds: Sequence[int],
    *,
    model: nn.Module | None = None,
    piece: int = 1,
) -> Tensor:
    """Call `function` for pieces of one size on a CPU, once for the whole batch elsewhere.

    Parameters
    ----------
    function : callable
        ``(images, targets, seeds) -> Tensor`` with one row per image.
    images : float (N, 3, H, W)
        In 0..1.
    targets : int64 (N,)
        Class indices.
    seeds : sequence of N int
        One per image.
    model : nn.Module, optional
        What `function` asks. Where it is given, and its modules keep nothing of an image, several
        pieces go through it at a time, each on one thread of the CPU; `function` must bear that.
    piece : int
        Images in a call on a CPU. One, where `model` is not given or mixes up the images of a
        call. What is missing to the last piece is filled up with its last image.

    Returns
    -------
    Tensor (N, ...)
        The rows in the order of the images.

    Examples
    --------
    >>> pixels = torch.arange(2.0).view(2, 1, 1, 1)
    >>> in_pieces(lambda x, t, s: x.flatten(1) + t, pixels, torch.tensor([1, 2]), [0, 0]).tolist()
    [[1.0], [3.0]]
    """
    return pieces_of(images, targets, seeds, model=model, piece=piece)(function)


def pieces_of(
    images: Tensor,
    targets: Tensor,
    seeds: Sequence[int],
    *,
    model: nn.Module | None = None,
    piece: int = 1,
) -> Callable[[PieceFunction], Tensor]:
    """Cut a batch as :func:`in_pieces` does; it calls whatever function comes afterwards.

    The model is tried now: a trial while a hook is set would try something else.
    """
    return _pieces_of(images, targets, seeds, None if model is None else _trials(model), piece)


def _pieces_of(
    images: Tensor,
    targets: Tensor,
    seeds: Sequence[int],
    trials: Trials | None,
    piece: int,
) -> Callable[[PieceFunction], Tensor]:
    if images.device.type != "cpu" or len(images) == 0:
        return lambda function: function(images, targets, seeds)
    layout = trials.layout(images[:1], piece) if trials is not None and piece > 1 else None
    if layout is None:
        piece, layout = 1, torch.contiguous_format

    def rows(function: PieceFunction, number: int) -> Tensor:
        first = number * piece
        here = [min(place, len(images) - 1) for place in range(first, first + piece)]
        found = function(
            _settled(images[here], layout), targets[here], [seeds[place] for place in here]
        )
        return found[: len(images) - first]

    count = -(-len(images) // piece)
    together = count > 1 and trials is not None and not trials.keeps_state(images[:1])
    return lambda function: torch.cat(on_threads(partial(rows, function), count, together=together))


def with_scores(maps: Tensor, scores: Tensor) -> Tensor:
    """Maps ``(N, H, W)`` and class scores ``(N, K)`` of one pass as rows ``(N, H * W + K)``."""
    return torch.cat([maps.flatten(1).float(), scores.detach().float()], 1)


def apart(rows: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Undo :func:`with_scores` for maps as large as `images` ``(N, 3, H, W)``."""
    height, width = images.shape[2:]
    maps, scores = rows[:, : height * width], rows[:, height * width :]
    return maps.reshape(len(images), height, width), scores


def _settled(images: Tensor, layout: torch.memory_format) -> Tensor:
    """Copy a piece, for alignment and strides choose the kernel, too."""
    return images.clone(memory_format=layout)


def _trials(model: nn.Module) -> Trials:
    """What the engine in `model` knows; without one it is found out for this call alone."""
    for part in model.modules():
        if isinstance(part, Engine):
            return part.trials
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
    asked, trials = model, None
    if isinstance(model, Engine):
        asked, trials = model.for_scores(images[:1])
    nobody = torch.zeros(len(images), dtype=torch.int64, device=images.device)

    def scores(piece: Tensor, _targets: Tensor, _seeds: Sequence[int]) -> Tensor:
        result: Tensor = asked(piece)
        return result

    with torch.no_grad():
        return _pieces_of(images, nobody, [0] * len(images), trials or _trials(model), MICROBATCH)(
            scores
        )
