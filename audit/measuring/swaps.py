"""Swaps: objects on the backgrounds of a bank, and what the model then says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from audit.dataset.batches import taken_from
from audit.interventions import feather, paste
from audit.measuring.donors import DonorBank
from audit.models.engine import Engine
from audit.saliency import class_scores


@dataclass(frozen=True, eq=False)
class Objects:
    """Images whose objects are put on other backgrounds.

    Parameters
    ----------
    images : float (N, 3, H, W)
        In 0..1.
    alpha : float (N, 1, H, W)
        1 on the object, with a soft edge.
    """

    images: Tensor
    alpha: Tensor

    @classmethod
    def of(cls, images: Tensor, foreground: Tensor) -> Objects:
        """Objects by masks ``(N, H, W)`` bool."""
        return cls(images, feather(foreground))

    def chosen(self, which: Sequence[int]) -> Objects:
        """Some of them, in any order, and any of them more than once."""
        if list(which) == list(range(len(self.images))):
            return self
        return Objects(taken_from(self.images, which), taken_from(self.alpha, which))


def swapped(
    objects: Objects,
    which: Sequence[int],
    bank: DonorBank,
    positions: Sequence[int],
    change: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Put objects on backgrounds of the bank.

    Parameters
    ----------
    objects : Objects
        N of them.
    which : sequence of n int
        Which objects.
    bank : DonorBank
        Lends the backgrounds.
    positions : sequence of n int
        Each object's background, as a position in the bank.
    change : callable, optional
        What is done to the backgrounds ``(n, 3, H, W)`` before.

    Returns
    -------
    float (n, 3, H, W)
        In 0..1, on the objects' device.
    """
    chosen = objects.chosen(which)
    backgrounds = bank.fetch(list(positions), objects.images.device)
    return paste(chosen.images, chosen.alpha, change(backgrounds) if change else backgrounds)


def swapped_scores(
    model: Engine,
    objects: Objects,
    which: Sequence[int],
    bank: DonorBank,
    positions: Sequence[int],
) -> Tensor:
    """Class scores ``(n, K)`` of the pictures that :func:`swapped` gives."""
    return class_scores(model, swapped(objects, which, bank, positions))
