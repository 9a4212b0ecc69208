"""What is done for each class of a climb, where it stands, and what comes of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from audit.cmv.objectives import Objective
from audit.cmv.painting import Palette
from audit.cmv.recipes import Recipe

WINDOW = 16
"""Steps after which it is asked whether a class is done."""
REACHED = 0.9
"""Mean probability over the views of a window from which a class counts as reached."""
STABLE = 0.03
"""Largest rise of the objective from window to window, as a share of its whole rise."""

Stages = tuple[tuple[int, Tensor], ...]


@dataclass(frozen=True, eq=False)
class Finished:
    """The finished pictures of one class.

    Parameters
    ----------
    label : int
        The class.
    images : float32 (n, 3, S, S)
        In 0..1, on the model's device.
    steps : int
        Taken.
    stages : tuple of (int, uint8 (3, s, s))
        The first picture after some of the steps and at the end, at most 64 pixels wide.
    """

    label: int
    images: Tensor
    steps: int
    stages: Stages


@dataclass(frozen=True)
class AscentPlan:
    """What is done for each class, whichever it is.

    Parameters
    ----------
    recipe, objective
        From the tables.
    each : int
        Pictures of a class, made together.
    steps : int
        At most so many.
    early : bool
        Whether a class that is reached and stable ends before.
    size : int
        Side in pixels.
    palette : Palette
        On the model's device.
    seed : int
        Of the run.
    rivals : mapping of int to int
        For the objective ``contrast``.
    half : bool
        Whether the model works in bfloat16.
    fewer : mapping of int to int
        Steps of classes that take fewer.
    """

    recipe: Recipe
    objective: Objective
    each: int
    steps: int
    early: bool
    size: int
    palette: Palette
    seed: int
    rivals: Mapping[int, int]
    half: bool
    fewer: Mapping[int, int] = field(default_factory=dict)

    def steps_of(self, label: int) -> int:
        """How many steps a class takes at most."""
        return min(self.steps, self.fewer.get(label, self.steps))


@dataclass
class Slot:
    """A class at work; `is_wanted` is False where it only keeps the batch's size."""

    label: int
    is_wanted: bool
    generators: list[torch.Generator]
    noise_generators: list[torch.Generator] = field(default_factory=list)
    taken: int = 0
    values: list[float] = field(default_factory=list)
    stages: list[tuple[int, Tensor]] = field(default_factory=list)

    @classmethod
    def of(cls, plan: AscentPlan, label: int, is_wanted: bool) -> Slot:
        """A slot in which a class begins."""
        seeds = [class_seed(plan.seed, label, variant) for variant in range(plan.each)]
        return cls(label, is_wanted, [torch.Generator().manual_seed(seed) for seed in seeds])

    def seed_noise(self, device: torch.device) -> None:
        """Make generators on the model's device, seeded from those on the CPU."""
        seeds = [int(torch.randint(2**62, (1,), generator=g)) for g in self.generators]
        self.noise_generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def is_done(self, plan: AscentPlan, probability: float) -> bool:
        """Whether the class has all its steps, or is reached and stable."""
        if self.taken >= plan.steps_of(self.label):
            return True
        if not plan.early or probability < REACHED or len(self.values) < 3:
            return False
        first, before, now = self.values[0], self.values[-2], self.values[-1]
        return now - before <= STABLE * max(now - first, 0.0)


class Pending:
    """The classes of one call that are still to come; several climbs may take from it at a time.

    Parameters
    ----------
    labels : sequence of int
        In the order in which they are wanted.
    """

    def __init__(self, labels: Sequence[int]) -> None:
        self._labels, self._lock = list(labels), threading.Lock()
        self.some = self._labels[0] if self._labels else 0
        """A label for slots that have no work."""

    def __len__(self) -> int:
        return len(self._labels)

    def take(self, slot: int, slots: int | None) -> int | None:
        """Take the next class that may stand in `slot` of `slots`; None: in any."""
        with self._lock:
            fits = (k for k in self._labels if slots is None or k % slots == slot)
            label = next(fits, None)
            if label is not None:
                self._labels.remove(label)
            return label

    def give_back(self, labels: Sequence[int]) -> None:
        """Put classes that have to begin again before all others."""
        with self._lock:
            self._labels[:0] = labels


def class_seed(seed: int, label: int, variant: int = 0) -> int:
    """The seed of one picture of one class, 0 .. 2**63 - 1."""
    entropy = [seed % 2**63, label, *([variant] if variant else [])]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
