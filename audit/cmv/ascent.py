"""Gradient ascent of many classes at once: places in one batch, freed as classes are done."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.cmv.objectives import Penalty, alikeness
from audit.cmv.places import WINDOW, Climbed, Pending, Place, Plan, class_seed
from audit.cmv.recipes import Moments
from audit.models.audited import AuditedModel
from audit.pixels import to_uint8

_STAGES = (1, 8, 16, 32, 64)
_STAGE_SIDE = 64


class Climb:
    """Classes that climb together in one batch.

    Parameters
    ----------
    model : AuditedModel
        A private copy of it is climbed.
    plan : Plan
        What is done.
    pending : Pending
        Classes that are still to come.
    device : torch.device
        The model's.
    places : int
        Classes at a time. On a CPU each label has its own place, ``label % places``: kernels
        round differently for other batch sizes and other places in a batch, and pictures are
        promised to the last bit. Places without work keep the batch's size.
    """

    def __init__(
        self,
        model: AuditedModel,
        plan: Plan,
        pending: Pending,
        device: torch.device,
        places: int,
    ) -> None:
        self.model, self.plan, self.device = private_copy(model, plan.half), plan, device
        self.pending, self.size = pending, places
        self.fixed = device.type == "cpu"
        self.layout = _layout(model, plan.size, device)

    def run(self) -> Iterator[Climbed | int]:
        """Climb until every class is done.

        Yields
        ------
        Climbed or int
            Classes as they are finished; in between the number of steps that wanted classes took,
            less than 0 where some are begun again.
        """
        while len(self.pending):
            self._begin()
            lost = 0
            try:
                yield from self._work()
            except torch.OutOfMemoryError:
                if self.fixed or len(self.places) < 2:
                    raise
                lost = self._shrink()
            if lost:
                yield -lost
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    @torch.inference_mode(False)
    def _begin(self) -> None:
        """Fill all places."""
        labels = self._first_labels()
        self.places = [self._place(label, wanted) for label, wanted in labels]
        generators = [g for place in self.places for g in place.generators]
        self.held = self.plan.recipe.begin(generators, self.plan.size).to(self.device)
        for place in self.places:
            place.grains = self._grains(place)
        rows = len(self.held)
        self.moments = Moments(
            torch.zeros_like(self.held),
            torch.zeros_like(self.held),
            torch.zeros(rows, dtype=torch.int64, device=self.device),
        )
        self.sums = torch.zeros(2, rows, device=self.device)
        self._index()

    def _first_labels(self) -> list[tuple[int, bool]]:
        labels = [self._next_for(place) for place in range(self.size)]
        if not self.fixed:
            return [(label, True) for label in labels if label is not None]
        return [(self.pending.some, False) if k is None else (k, True) for k in labels]

    def _next_for(self, place: int) -> int | None:
        """Take the next class that may stand at a place."""
        return self.pending.take(place, self.size if self.fixed else None)

    def _place(self, label: int, wanted: bool) -> Place:
        seeds = [class_seed(self.plan.seed, label, v) for v in range(self.plan.each)]
        return Place(label, wanted, [torch.Generator().manual_seed(s) for s in seeds], [])

    def _grains(self, place: Place) -> list[torch.Generator]:
        """Generators on the model's device, seeded from those on the CPU."""
        seeds = [int(torch.randint(2**62, (1,), generator=g)) for g in place.generators]
        return [torch.Generator(self.device).manual_seed(seed) for seed in seeds]

    def _work(self) -> Iterator[Climbed | int]:
        each = self.plan.each
        example = torch.full((1, 3, self.plan.size, self.plan.size), 0.5, device=self.device)
        with alikeness(self.model, example, each) as penalty:
            while any(place.wanted for place in self.places):
                self._step(penalty)
                yield sum(place.wanted for place in self.places)
                done = self._done()
                for at in done:
                    yield self._finished(at)
                if done:
                    self._refill(done)

    def _index(self) -> None:
        """Write down which label each row has."""
        labels = [place.label for place in self.places for _ in range(self.plan.each)]
        self.labels = torch.tensor(labels, device=self.device)
        rivals = [self.plan.rivals.get(label, -1) for label in labels]
        self.rivals = torch.tensor(rivals, device=self.device)

    # The caller may be in inference mode, whose tensors cannot be differentiated.
    @torch.inference_mode(False)
    @torch.enable_grad()
    def _step(self, penalty: Penalty) -> None:
        plan = self.plan
        held = self.held.requires_grad_(True)
        generators = [g for place in self.places for g in place.generators]
        grains = [g for place in self.places for g in place.grains]
        seen = plan.recipe.look(plan.recipe.paint(held, plan.palette), generators, grains)
        scores = self.model(seen.contiguous(memory_format=self.layout)).float()
        values = plan.objective(scores, self.labels, self.rivals)
        (slope,) = torch.autograd.grad(values.sum() - penalty(seen), [held])
        self.held = held.detach()
        self.moments.steps += 1
        plan.recipe.move(self.held, slope, self.moments)
        own = scores.detach().softmax(1).gather(1, self.labels[:, None])[:, 0]
        self.sums += torch.stack([values.detach(), own])
        for at, place in enumerate(self.places):
            place.taken += 1
            if place.wanted and place.taken in _STAGES:
                place.stages.append((place.taken, self._small(at)))

    def _done(self) -> list[int]:
        """The places whose class is done."""
        due = [
            place.wanted and (place.taken % WINDOW == 0 or place.taken >= self.plan.steps)
            for place in self.places
        ]
        if not any(due):
            return []
        means = self.sums.view(2, -1, self.plan.each).mean(2).cpu() / WINDOW
        done = []
        for at, place in enumerate(self.places):
            if due[at]:
                place.values.append(float(means[0, at]))
                self.sums[:, self._rows(at)] = 0
                if place.is_done(self.plan, float(means[1, at])):
                    done.append(at)
        return done

    def _rows(self, at: int) -> slice:
        return slice(at * self.plan.each, (at + 1) * self.plan.each)

    def _painted(self, rows: slice) -> Tensor:
        with torch.no_grad():
            return self.plan.recipe.paint(self.held[rows], self.plan.palette).clamp(0, 1)

    def _small(self, at: int) -> Tensor:
        picture = self._painted(slice(at * self.plan.each, at * self.plan.each + 1))
        side = min(_STAGE_SIDE, self.plan.size)
        small = F.interpolate(picture, (side, side), mode="bilinear", antialias=True)
        return to_uint8(small[0]).cpu()

    def _finished(self, at: int) -> Climbed:
        place = self.places[at]
        if not place.stages or place.stages[-1][0] != place.taken:
            place.stages.append((place.taken, self._small(at)))
        images = self._painted(self._rows(at))
        return Climbed(place.label, images, place.taken, tuple(place.stages))

    @torch.inference_mode(False)
    def _refill(self, done: list[int]) -> None:
        """Give freed places to the next classes; drop what nobody wants where that is allowed."""
        empty = []
        for at in done:
            label = self._next_for(at)
            if label is None:
                self.places[at].wanted = False
                empty.append(at)
                continue
            self.places[at] = place = self._place(label, True)
            rows = self._rows(at)
            self.held[rows] = self.plan.recipe.begin(place.generators, self.plan.size).to(
                self.device
            )
            place.grains = self._grains(place)
            for memory in (self.moments.first, self.moments.second, self.moments.steps):
                memory[rows] = 0
        if empty and not self.fixed:
            self._drop(empty)
        self._index()

    def _drop(self, empty: list[int]) -> None:
        kept = [at for at in range(len(self.places)) if at not in empty]
        rows = [at * self.plan.each + v for at in kept for v in range(self.plan.each)]
        self.places = [self.places[at] for at in kept]
        self.held, self.sums = self.held[rows], self.sums[:, rows]
        memory = self.moments
        self.moments = Moments(memory.first[rows], memory.second[rows], memory.steps[rows])

    def _shrink(self) -> int:
        """Let all classes at work begin again, half as many at a time: memory ran out.

        Returns the steps that are lost.
        """
        working = [place for place in self.places if place.wanted]
        self.pending.give_back([place.label for place in working])
        self.size = max(1, len(self.places) // 2)
        self.places = []
        del self.held, self.moments, self.sums
        return sum(place.taken for place in working)


def private_copy(model: AuditedModel, half: bool) -> AuditedModel:
    """Copy a model around the same weights: hooks and switches of the copy are its own.

    Others ask the model while it is climbed, and what they report is measured without either.

    Parameters
    ----------
    model : AuditedModel
        It stays as it is.
    half : bool
        Whether the copy works in bfloat16, whatever the model does. An autocast around it would be
        undone by its own.
    """
    shared: dict[int, Any] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    try:
        copied = copy.deepcopy(model, shared)
    except Exception:
        # A network may hold what nobody can copy; then its layers are shared, too.
        copied = copy.copy(model)
    copied.in_bfloat16 = half or model.in_bfloat16
    return copied


def _layout(model: nn.Module, size: int, device: torch.device) -> torch.memory_format:
    """Channels last, which is faster, unless the network cannot take it."""
    two = torch.full((2, 3, size, size), 0.5, device=device)
    try:
        with torch.no_grad():
            model(two.contiguous(memory_format=torch.channels_last))
    except RuntimeError:
        # A network that calls `view` on its feature maps.
        return torch.contiguous_format
    return torch.channels_last
