"""Gradient ascent of many classes at once: slots in one batch, freed as classes are done."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.cmv.objectives import Penalty, alikeness
from audit.cmv.recipes import Moments
from audit.cmv.slots import WINDOW, AscentPlan, Finished, Pending, Slot
from audit.models.audited import AuditedModel
from audit.models.derived import private_copy
from audit.models.memory import free_cached_memory, is_out_of_memory
from audit.models.rounding import tf32
from audit.pixels import to_uint8

_STAGES = (1, 8, 16, 32, 64)
_STAGE_SIDE = 64


class AscentBatch:
    """Classes that climb together in one batch.

    Parameters
    ----------
    model : AuditedModel
        A private copy of it is climbed.
    plan : AscentPlan
        What is done.
    pending : Pending
        Classes that are still to come.
    device : torch.device
        The model's.
    slots : int
        Classes at a time. On a CPU each label has its own slot, ``label % slots``: kernels
        round differently for other batch sizes and other slots in a batch, and pictures are
        promised to the last bit. Places without work keep the batch's size.
    """

    def __init__(
        self,
        model: AuditedModel,
        plan: AscentPlan,
        pending: Pending,
        device: torch.device,
        slots: int,
    ) -> None:
        self.model, self.plan, self.device = private_copy(model, plan.half), plan, device
        self.pending, self.size = pending, slots
        self.fixed = device.type == "cpu"
        self.layout = _layout(model, plan.size, device)

    def run(self) -> Iterator[Finished | int]:
        """Climb until every class is done.

        Yields
        ------
        Finished or int
            Classes as they are finished; in between the number of steps that wanted classes took,
            less than 0 where some are begun again.
        """
        while len(self.pending):
            self._begin()
            lost = 0
            try:
                yield from self._work()
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.fixed or len(self.slots) < 2:
                    raise
                lost = self._shrink()
            if lost:
                yield -lost
            if self.device.type == "cuda":
                free_cached_memory()

    @torch.inference_mode(False)
    def _begin(self) -> None:
        """Fill all slots."""
        labels = self._first_labels()
        self.slots = [Slot.of(self.plan, label, is_wanted) for label, is_wanted in labels]
        generators = [g for slot in self.slots for g in slot.generators]
        self.parameters = self.plan.recipe.begin(generators, self.plan.size).to(self.device)
        for slot in self.slots:
            slot.seed_noise(self.device)
        rows = len(self.parameters)
        self.moments = Moments(
            torch.zeros_like(self.parameters),
            torch.zeros_like(self.parameters),
            torch.zeros(rows, dtype=torch.int64, device=self.device),
        )
        self.sums = torch.zeros(2, rows, device=self.device)
        self._index()

    def _first_labels(self) -> list[tuple[int, bool]]:
        labels = [self._next_for(slot) for slot in range(self.size)]
        if not self.fixed:
            return [(label, True) for label in labels if label is not None]
        return [(self.pending.some, False) if k is None else (k, True) for k in labels]

    def _next_for(self, slot: int) -> int | None:
        """Take the next class that may stand in a slot."""
        return self.pending.take(slot, self.size if self.fixed else None)

    def _work(self) -> Iterator[Finished | int]:
        each = self.plan.each
        example = torch.full((1, 3, self.plan.size, self.plan.size), 0.5, device=self.device)
        with alikeness(self.model, example, each) as penalty:
            while any(slot.is_wanted for slot in self.slots):
                self._step(penalty)
                yield sum(slot.is_wanted for slot in self.slots)
                done = self._done()
                for at in done:
                    yield self._finished(at)
                if done:
                    self._refill(done)

    def _index(self) -> None:
        """Write down which label each row has."""
        labels = [slot.label for slot in self.slots for _ in range(self.plan.each)]
        self.labels = torch.tensor(labels, device=self.device)
        rivals = [self.plan.rivals.get(label, -1) for label in labels]
        self.rivals = torch.tensor(rivals, device=self.device)

    # The caller may be in inference mode, whose tensors cannot be differentiated.
    @torch.inference_mode(False)
    @torch.enable_grad()
    def _step(self, penalty: Penalty) -> None:
        with tf32(self.plan.half, self.device):
            self._climb(penalty)

    def _climb(self, penalty: Penalty) -> None:
        plan = self.plan
        parameters = self.parameters.requires_grad_(True)
        generators = [g for slot in self.slots for g in slot.generators]
        noise_generators = [g for slot in self.slots for g in slot.noise_generators]
        seen = plan.recipe.look(
            plan.recipe.paint(parameters, plan.palette), generators, noise_generators
        )
        scores = self.model(seen.contiguous(memory_format=self.layout)).float()
        values = plan.objective(scores, self.labels, self.rivals)
        (slope,) = torch.autograd.grad(values.sum() - penalty(seen), [parameters])
        self.parameters = parameters.detach()
        self.moments.steps += 1
        plan.recipe.move(self.parameters, slope, self.moments)
        own = scores.detach().softmax(1).gather(1, self.labels[:, None])[:, 0]
        self.sums += torch.stack([values.detach(), own])
        for at, slot in enumerate(self.slots):
            slot.taken += 1
            if slot.is_wanted and slot.taken in _STAGES:
                slot.stages.append((slot.taken, self._small(at)))

    def _done(self) -> list[int]:
        """The slots whose class is done."""
        due = [
            slot.is_wanted
            and (slot.taken % WINDOW == 0 or slot.taken >= self.plan.steps_of(slot.label))
            for slot in self.slots
        ]
        if not any(due):
            return []
        means = self.sums.view(2, -1, self.plan.each).mean(2).cpu() / WINDOW
        done = []
        for at, slot in enumerate(self.slots):
            if due[at]:
                slot.values.append(float(means[0, at]))
                self.sums[:, self._rows(at)] = 0
                if slot.is_done(self.plan, float(means[1, at])):
                    done.append(at)
        return done

    def _rows(self, at: int) -> slice:
        return slice(at * self.plan.each, (at + 1) * self.plan.each)

    def _painted(self, rows: slice) -> Tensor:
        with torch.no_grad():
            return self.plan.recipe.paint(self.parameters[rows], self.plan.palette).clamp(0, 1)

    def _small(self, at: int) -> Tensor:
        picture = self._painted(slice(at * self.plan.each, at * self.plan.each + 1))
        side = min(_STAGE_SIDE, self.plan.size)
        small = F.interpolate(picture, (side, side), mode="bilinear", antialias=True)
        return to_uint8(small[0]).cpu()

    def _finished(self, at: int) -> Finished:
        slot = self.slots[at]
        if not slot.stages or slot.stages[-1][0] != slot.taken:
            slot.stages.append((slot.taken, self._small(at)))
        images = self._painted(self._rows(at))
        return Finished(slot.label, images, slot.taken, tuple(slot.stages))

    @torch.inference_mode(False)
    def _refill(self, done: list[int]) -> None:
        """Give freed slots to the next classes; drop what nobody wants where that is allowed."""
        empty = []
        for at in done:
            label = self._next_for(at)
            if label is None:
                self.slots[at].is_wanted = False
                empty.append(at)
                continue
            self.slots[at] = slot = Slot.of(self.plan, label, True)
            rows = self._rows(at)
            self.parameters[rows] = self.plan.recipe.begin(slot.generators, self.plan.size).to(
                self.device
            )
            slot.seed_noise(self.device)
            for memory in (self.moments.first, self.moments.second, self.moments.steps):
                memory[rows] = 0
        if empty and not self.fixed:
            self._drop(empty)
        self._index()

    def _drop(self, empty: list[int]) -> None:
        kept = [at for at in range(len(self.slots)) if at not in empty]
        rows = [at * self.plan.each + v for at in kept for v in range(self.plan.each)]
        self.slots = [self.slots[at] for at in kept]
        self.parameters, self.sums = self.parameters[rows], self.sums[:, rows]
        memory = self.moments
        self.moments = Moments(memory.first[rows], memory.second[rows], memory.steps[rows])

    def _shrink(self) -> int:
        """Let all classes at work begin again, half as many at a time: memory ran out.

        Returns the steps that are lost.
        """
        working = [slot for slot in self.slots if slot.is_wanted]
        self.pending.give_back([slot.label for slot in working])
        self.size = max(1, len(self.slots) // 2)
        self.slots = []
        del self.parameters, self.moments, self.sums
        return sum(slot.taken for slot in working)


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
