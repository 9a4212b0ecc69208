"""``controls.json``: what a run measured of itself, before it is judged."""

from __future__ import annotations

from pydantic import Field

from audit.findings.values import Record


class PlantedTag(Record):
    """The swaps of one class that was made to need a tag, at one gain.

    `gain` is what the tag is worth, in units of the class's median margin; `g` and `h` are the
    losses of each image in probability and in margin, beyond a same-class swap.
    """

    label: int
    gain: float
    g: tuple[float, ...]
    h: tuple[float, ...]


class UntrainedLifts(Record):
    """Mass lifts of the same images under the model and under an untrained one of its form."""

    trained: tuple[float, ...] = ()
    untrained: tuple[float, ...] = ()


class ControlMeasurements(Record):
    """All of it; empty where nothing was measured."""

    tags: tuple[PlantedTag, ...] = ()
    lifts: UntrainedLifts = Field(default_factory=UntrainedLifts)
