"""Class model visualization: what the class score itself wants to see; only the model is needed.

Simonyan, Vedaldi and Zisserman 2013. A CMV is a hypothesis for the swap test; that it does not
show a cue is no evidence that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

import torch
from torch import Tensor

from audit.cmv.ascent import AscentBatch
from audit.cmv.measuring import Cmv, measure
from audit.cmv.objectives import OBJECTIVES, pictures_each
from audit.cmv.painting import NATURAL_COLORS, Palette, color_correlation, natural_palette
from audit.cmv.recipes import RECIPES, Recipe
from audit.cmv.request import (
    AT_ONCE,
    ROBUST_LOGIT,
    CmvRequest,
    Execution,
    Progress,
    Second,
)
from audit.cmv.slots import AscentPlan, Pending
from audit.errors import ManifestError, ModelError
from audit.models.audited import has_bfloat16
from audit.models.engine import Engine
from audit.plugins import resolve
from audit.saliency import class_scores
from audit.threads import as_they_come

__all__ = [
    "OBJECTIVES",
    "RECIPES",
    "Cmv",
    "CmvRequest",
    "Execution",
    "Second",
    "climbs_at_once",
    "color_correlation",
    "natural_palette",
    "visualize_classes",
]

CPU_BATCH = 4
"""Pictures at a time on a CPU; a label's slot among them is fixed, see :class:`AscentBatch`."""
_GPU_BATCH = 64


def visualize_classes(
    model: Engine,
    classes: Sequence[int],
    request: CmvRequest = ROBUST_LOGIT,
    *,
    steps: int = 128,
    early: bool = True,
    size: int | None = None,
    execution: Execution = AT_ONCE,
) -> Generator[Cmv, None, None]:
    """Visualize classes, several at a time.

    A class's picture depends on the model, the request, steps, size and its label alone: on a CPU
    to the last bit, at any batch size and beside any other classes.

    Parameters
    ----------
    model : Engine
        On the device that shall work.
    classes : sequence of int
        Class indices, each once.
    request : CmvRequest
        Recipe, objective, seed, and what these need.
    steps : int
        Of ascent at most, >= 1.
    early : bool
        Whether a class that is reached and stable ends before.
    size : int, optional
        Side in pixels; None: that of the model's input.
    execution : Execution
        Pictures at a time, precision, and who is told of progress.

    Returns
    -------
    generator of Cmv
        As they are finished, so that nothing grows with the number of classes; not in the order
        of `classes`. Closed early, it ends the threads that climb.

    Raises
    ------
    ManifestError
        Unknown recipe or objective, or a number out of range.
    ModelError
        The model has no such class.
    """
    side, batch_size = model.geometry.size if size is None else size, execution.batch_size
    make = _checked(request, steps, side, batch_size)
    example = torch.full((1, 3, side, side), 0.5, device=model.device)
    _check_classes(classes, class_scores(model, example).shape[1])
    each = pictures_each(request.objective)
    plan = AscentPlan(
        recipe=make(),
        objective=OBJECTIVES[request.objective],
        each=each,
        steps=steps,
        early=early,
        size=side,
        palette=_palette(model, request.images if request.recipe == "maco" else None),
        seed=request.seed,
        rivals=request.rivals,
        half=execution.half and model.device.type == "cuda" and has_bfloat16(model.device),
        fewer=request.fewer,
    )
    total = sum(plan.steps_of(label) for label in classes)
    count = _Counter(total, execution.on_progress)
    slots, climbs = climbs_at_once(model, len(classes), each, example, batch_size)
    # Pictures of one class that shall differ are compared in the model's own layers.
    climbed = model.folded(example) if each == 1 else model.model
    pending = Pending(classes)

    def climb(_index: int) -> Generator[Cmv | int, None, None]:
        for done in AscentBatch(climbed, plan, pending, model.device, slots).run():
            if isinstance(done, int):
                yield done
                continue
            yield plan.steps_of(done.label) - done.steps
            yield from measure(model, done, request)

    def finished() -> Generator[Cmv, None, None]:
        on_cpu = model.device.type == "cpu"
        with closing(as_they_come(climb, climbs) if on_cpu else climb(0)) as items:
            for item in items:
                if isinstance(item, int):
                    count.add(item)
                else:
                    yield item

    return finished()


def _check_classes(classes: Sequence[int], outputs: int) -> None:
    beyond = [label for label in classes if not 0 <= label < outputs]
    if beyond:
        raise ModelError(
            f"cmv.classes: the model has {outputs} outputs, so no class {beyond[0]}; "
            f"expected 0 to {outputs - 1}"
        )


def _checked(
    request: CmvRequest, steps: int, side: int, batch_size: int | None
) -> Callable[[], Recipe]:
    """What makes the recipe, once all that is asked for can be."""
    make: Callable[[], Recipe] = resolve(request.recipe, RECIPES, key="cmv.recipe")
    if request.objective not in OBJECTIVES:
        expected = " | ".join(OBJECTIVES)
        raise ManifestError(f"cmv.objectives: expected {expected}, found {request.objective!r}")
    if steps < 1 or side < 4 or (batch_size is not None and batch_size < 1):
        raise ManifestError(
            "cmv: expected steps >= 1, size >= 4 and batch_size >= 1, "
            f"found {steps}, {side} and {batch_size}"
        )
    return make


def climbs_at_once(
    model: Engine, classes: int, each: int, example: Tensor, batch_size: int | None = None
) -> tuple[int, int]:
    """Classes that climb in one batch, and batches that climb side by side.

    Parameters
    ----------
    model : Engine
        On the device that works.
    classes : int
        How many there are.
    each : int
        Pictures of a class; see :func:`audit.cmv.objectives.pictures_each`.
    example : float (1, 3, H, W)
        A picture of the size that is made.
    batch_size : int, optional
        Pictures at a time on a GPU.
    """
    if model.device.type != "cpu":
        return max(1, (batch_size or _GPU_BATCH) // each), 1
    slots = max(1, CPU_BATCH // each)
    if model.trials.keeps_state(example):
        return slots, 1
    return slots, max(1, min(torch.get_num_threads(), -(-classes // slots)))


def _palette(model: Engine, images: Tensor | None) -> Palette:
    colors = torch.tensor(NATURAL_COLORS)
    mean, std = model.model.mean.cpu(), model.model.std.cpu()
    if images is None:
        return Palette(colors, mean, std).to(model.device)
    colors, magnitudes, middle = natural_palette(images)
    return Palette(colors, mean, std, magnitudes, middle).to(model.device)


class _Counter:
    """Counts steps of classes; tells the caller."""

    def __init__(self, total: int, tell: Progress | None) -> None:
        self.total, self.tell, self.done = total, tell, 0

    def add(self, steps: int) -> None:
        self.done += steps
        if self.tell is not None and steps:
            self.tell(self.done, self.total)
