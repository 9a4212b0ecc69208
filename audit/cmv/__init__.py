"""Class model visualization: what the class score itself wants to see; only the model is needed.

Simonyan, Vedaldi and Zisserman 2013. A CMV is a hypothesis for the swap test; that it does not
show a cue is no evidence that there is none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from audit.cmv.measuring import Cmv, measure
from audit.cmv.painting import NATURAL_COLORS, color_correlation
from audit.cmv.recipes import OBJECTIVES, RECIPES, Recipe
from audit.errors import ManifestError, ModelError
from audit.models import AuditedModel
from audit.plugins import resolve
from audit.saliency import class_scores

__all__ = ["OBJECTIVES", "RECIPES", "Cmv", "color_correlation", "visualize_classes"]

# On a CPU every batch has this size and every label its place in it; see _batches.
_SLOTS = 4
_GPU_BATCH = 32

Progress = Callable[[int, int], None]


def visualize_classes(
    model: AuditedModel,
    classes: Sequence[int],
    *,
    recipe: str = "robust",
    objective: str = "logit",
    steps: int = 128,
    size: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    color_std: Tensor | None = None,
    on_progress: Progress | None = None,
) -> Iterator[Cmv]:
    """Visualize classes, several at a time.

    A class's picture depends on the model, the options, `seed` and its label alone: on a CPU to
    the last bit, at any batch size and beside any other classes.

    Parameters
    ----------
    model : AuditedModel
        On the device that shall work.
    classes : sequence of int
        Class indices, each once.
    recipe : str
        ``robust``, ``simonyan`` or ``"package.module:function"``.
    objective : str
        ``logit`` (class score) or ``softmax`` (logarithm of the posterior).
    steps : int
        Of ascent, >= 1.
    size : int, optional
        Side in pixels; None: that of the model's input.
    seed : int
        Of the run; each class draws from its own stream.
    batch_size : int, optional
        Classes at a time on a GPU; it is halved when memory runs out. A CPU takes 4 always.
    color_std : float (3, 3), optional
        From :func:`color_correlation`; None: natural images.
    on_progress : callable, optional
        ``(done, total)`` in units of one step of one class.

    Returns
    -------
    iterator of Cmv
        Batch by batch, so that nothing grows with the number of classes. On a CPU the order may
        differ from that of `classes`.

    Raises
    ------
    ManifestError
        Unknown recipe or objective, or a number out of range.
    ModelError
        The model has no such class.
    """
    make: Recipe = resolve(recipe, RECIPES, key="cmv.recipe")
    if objective not in OBJECTIVES:
        expected = " | ".join(OBJECTIVES)
        raise ManifestError(f"cmv.objectives: expected {expected}, found {objective!r}")
    side = model.geometry.size if size is None else size
    if steps < 1 or side < 4 or (batch_size is not None and batch_size < 1):
        raise ManifestError(
            "cmv: expected steps >= 1, size >= 4 and batch_size >= 1, "
            f"found {steps}, {side} and {batch_size}"
        )
    outputs = class_scores(model, torch.full((1, 3, side, side), 0.5, device=model.device)).shape[1]
    beyond = [label for label in classes if not 0 <= label < outputs]
    if beyond:
        raise ModelError(f"cmv.classes: the model has {outputs} outputs, so no class {beyond[0]}")
    colors = torch.tensor(NATURAL_COLORS) if color_std is None else color_std.cpu().float()
    climb = partial(
        make, model, objective=OBJECTIVES[objective], steps=steps, size=side, colors=colors
    )
    total = steps * len(classes)
    count = _Counter(total, on_progress)
    finish = partial(measure, model, recipe=recipe, objective=objective, steps=steps)
    return _run(climb, finish, model.device, list(classes), seed, batch_size or _GPU_BATCH, count)


class _Counter:
    """Counts steps of classes; tells the caller."""

    def __init__(self, total: int, tell: Progress | None) -> None:
        self.total, self.tell, self.done = total, tell, 0

    def add(self, steps: int) -> None:
        self.done += steps
        if self.tell is not None:
            self.tell(self.done, self.total)


def _run(
    climb: Callable[..., Tensor],
    finish: Callable[..., Iterator[Cmv]],
    device: torch.device,
    classes: list[int],
    seed: int,
    batch_size: int,
    count: _Counter,
) -> Iterator[Cmv]:
    pending = classes
    while pending:
        labels, places = _batch(pending, device, batch_size)
        generators = [torch.Generator().manual_seed(_class_seed(seed, k)) for k in labels]
        before, started = count.done, time.perf_counter()
        # The caller may be in inference mode, whose tensors cannot be differentiated.
        with torch.inference_mode(False):
            on_device = torch.tensor(labels, device=device)
        images: Tensor | None = None
        try:
            with torch.inference_mode(False), torch.enable_grad():
                images = climb(
                    on_device,
                    generators=generators,
                    on_step=partial(count.add, len(places)),
                )
        except torch.OutOfMemoryError:
            if not _may_shrink(device, len(labels)):
                raise
        # Only here, behind the except block, are the failed attempt's tensors let go.
        if images is None:
            batch_size = len(labels) // 2
            count.done = before
            if device.type == "cuda":
                torch.cuda.empty_cache()
            continue
        pending = [label for label in pending if label not in places]
        yield from finish(images, on_device, places, started=started)


def _batch(pending: list[int], device: torch.device, size: int) -> tuple[list[int], dict[int, int]]:
    """Choose the next batch: its labels, and the place of each that is asked for.

    Kernels round differently for other batch sizes and other places in a batch. On a CPU, where
    pictures are promised to the last bit, a label therefore has a fixed place in a batch of fixed
    size, and places that are left over repeat a label.
    """
    if device.type != "cpu":
        return pending[:size], {label: place for place, label in enumerate(pending[:size])}
    slots: dict[int, int] = {}
    for label in pending:
        slots.setdefault(label % _SLOTS, label)
    spare = pending[0]
    labels = [slots.get(slot, spare) for slot in range(_SLOTS)]
    return labels, {label: slot for slot, label in slots.items()}


def _may_shrink(device: torch.device, size: int) -> bool:
    """Whether a smaller batch can be tried; on a CPU the size is fixed."""
    return size > 1 and device.type != "cpu"


def _class_seed(seed: int, label: int) -> int:
    return int(np.random.SeedSequence([seed % 2**63, label]).generate_state(1, np.uint64)[0] >> 1)
