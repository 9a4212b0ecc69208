"""What a swap map found: the effect of each part, of its sides in sum, and where it points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.findings import PartEffects, Side
from audit.measuring.part_regression import UNKNOWN, Total
from audit.scoring import rank_correlation

_CERTAIN = 2.0
"""Standard errors from which an effect is drawn."""


def pointed_part(effects: NDArray[np.float64], is_object: NDArray[np.bool_]) -> int:
    """The part of most loss: of a thing the part that holds it, of a scenery one among all.

    Of a scenery each part has a little, so that a part of the object would win although all of
    the surroundings cost more. Where one part has at least half of what the surroundings cost, it
    is compared with the object's parts; else the sums are compared, and the part is that of the
    costlier side.

    Parameters
    ----------
    effects : float64 (P,)
        Below 0 the class loses.
    is_object : bool (P,)
        Which parts lie on the object.

    Examples
    --------
    >>> is_object = np.array([False, False, False, True])
    >>> pointed_part(np.array([-1.0, -1.2, -1.0, -1.5]), is_object)
    1
    >>> pointed_part(np.array([-0.1, -1.2, -0.1, -1.5]), is_object)
    3
    """
    around = np.where(is_object, 0.0, effects)
    spread = around.min(initial=0.0) > around.sum() / 2
    if not spread:
        return int(effects.argmin())
    costlier = is_object == (effects[is_object].sum() < around.sum())
    return int(np.where(costlier, effects, np.inf).argmin())


@dataclass(frozen=True, eq=False)
class SwapMap:
    """What each part of an image does for its class, and what surroundings and object do in sum.

    Parameters
    ----------
    parts : bool (P, H, W)
        The parts; a place of none is not measured.
    is_object : bool (P,)
        Which parts lie on the object.
    rival : int
        The class that the image's own is compared with.
    effects, errors : float64 (P,)
        Change of the lead over the rival where a part is replaced by the background of another
        class: below 0 the part spoke for the class. And its standard error.
    surroundings, body : Total
        Of all parts of the background, and of the object.
    difference : Total
        Surroundings less object: below 0 the class loses more by its surroundings.
    control : Total
        Of all parts of the background replaced by backgrounds of the class's own: what it costs
        to be pasted, and what the class's scene varies in. NaN: no donor.
    """

    parts: NDArray[np.bool_]
    is_object: NDArray[np.bool_]
    rival: int
    effects: NDArray[np.float64]
    errors: NDArray[np.float64]
    surroundings: Total
    body: Total
    difference: Total
    control: Total = UNKNOWN

    @property
    def effect(self) -> NDArray[np.float32]:
        """The effects as a map ``(H, W)``; NaN at places of no part."""
        return self._laid(self.effects)

    @property
    def error(self) -> NDArray[np.float32]:
        """The standard errors as a map ``(H, W)``; NaN at places of no part."""
        return self._laid(self.errors)

    @property
    def loss(self) -> NDArray[np.float32]:
        """What the class loses at each place ``(H, W)``, >= 0: the sum over a part is its loss."""
        sizes = self.parts.sum((1, 2))
        return np.nan_to_num(self._laid(np.maximum(-self.effects, 0) / sizes))

    @property
    def pointed(self) -> int:
        """The part that is pointed at: see :func:`pointed_part`."""
        return pointed_part(self.effects, self.is_object)

    @property
    def strength(self) -> NDArray[np.float32]:
        """For a picture ``(H, W)``: -1 (lost) to 1 (gained), 0 where nothing is certain.

        What is less than twice its standard error is not certain. A side whose loss or gain is
        spread is coloured by its sum, in all parts of that sign: half as strong where a part has
        nothing to it, up to the whole sum where it has most. Else parts stand for themselves.
        """
        values = np.where(np.abs(self.effects) >= _CERTAIN * self.errors, self.effects, 0.0)
        for is_object, total in ((False, self.surroundings), (True, self.body)):
            signed = self.effects * np.sign(total.effect)
            most = max(0.0, float(signed[self.is_object == is_object].max(initial=0.0)))
            if abs(total.effect) < _CERTAIN * total.error or most >= abs(total.effect) / 2:
                continue
            tinted = (self.is_object == is_object) & (values * total.effect >= 0)
            share = np.clip(signed / most, 0, 1) if most else np.zeros_like(signed)
            values = np.where(tinted, total.effect * (0.5 + 0.5 * share), values)
        top = float(np.abs(values).max(initial=0.0))
        return np.nan_to_num(self._laid(values / top if top > 0 else values))

    @property
    def beyond_control(self) -> Total:
        """What the surroundings do beyond the control: below 0 the class needs its own scene."""
        return Total(
            self.surroundings.effect - self.control.effect,
            math.hypot(self.surroundings.error, self.control.error),
        )

    def agreement(self, saliency: NDArray[np.float32]) -> float:
        """Rank correlation of saliency ``(H, W)`` with what the class loses by each part, -1..1."""
        means = np.array([saliency[part].mean() for part in self.parts])
        return rank_correlation(means, -self.effects)

    def summary(
        self, class_names: Sequence[str], donor: int, saliency: NDArray[np.float32] | None = None
    ) -> PartEffects:
        """For the record; the class `donor` lent the backgrounds, `saliency` is compared."""
        at = self.pointed
        pointed = Total(float(self.effects[at]), float(self.errors[at]))
        return PartEffects(
            agreement=float("nan") if saliency is None else self.agreement(saliency),
            donor_class=class_names[donor],
            rival_class=class_names[self.rival],
            surroundings=self.surroundings.estimate(),
            body=self.body.estimate(),
            difference=self.difference.estimate(),
            pointed=pointed.estimate(among=len(self.effects)),
            pointed_at=Side.OBJECT if self.is_object[at] else Side.SURROUNDINGS,
            control=self.control.estimate(),
            beyond_control=self.beyond_control.estimate(),
        )

    def _laid(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        laid = np.full(self.parts.shape[1:], np.nan, np.float32)
        for part, value in zip(self.parts, values, strict=True):
            laid[part] = value
        return laid
