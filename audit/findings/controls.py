"""``controls.json``: what a run measured of itself, before it is judged."""

from __future__ import annotations

from pydantic import Field

from audit.findings.values import Estimate, Number, Record


class PlantedTag(Record):
    """The swaps of one class that was made to need a tag, at one gain.

    `gain` is what the tag is worth, in units of the class's median margin; `g` and `h` are the
    losses of each image in probability and in margin, beyond a same-class swap. `effect` is the
    probability that the class owes to the tag alone, on its own backgrounds, where nothing else
    changes; None in runs of former releases.
    """

    label: int
    gain: float
    g: tuple[float, ...]
    h: tuple[float, ...]
    effect: Number | None = None


class UntrainedLifts(Record):
    """Mass lifts of the same images under the model and under an untrained one of its form."""

    trained: tuple[float, ...] = ()
    untrained: tuple[float, ...] = ()


class RandomisedMaps(Record):
    """Maps after the network lost what it had learned, from its end down to a layer.

    `share` is that of its layers with weights; `similarity` the mean rank correlation with the maps
    of the network as it is, -1..1.
    """

    layer: str
    share: float = Field(ge=0, le=1)
    similarity: Number


class MapAgreement(Record):
    """The mean rank correlation of the maps with those of another method, -1..1."""

    method: str
    similarity: Number


class MapOrder(Record):
    """What an order of removing or showing parts does, image by image.

    The mean probability of the class, 0..1, while parts go in the order of the map, and in an order
    by chance.
    """

    by_map: tuple[float, ...] = ()
    by_chance: tuple[float, ...] = ()


class MapChecks(Record):
    """What the run measured of its maps on some images."""

    method: str
    images: int = Field(ge=0)
    cascade: tuple[RandomisedMaps, ...] = ()
    deletion: MapOrder = Field(default_factory=MapOrder)
    insertion: MapOrder = Field(default_factory=MapOrder)
    agreements: tuple[MapAgreement, ...] = ()


class MapTrust(Record):
    """How far the saliency maps can be believed, as measured on some images.

    `cascade` and `agreements` are rank correlations of maps. `sensitive`: whether the maps changed
    when nothing of what the network had learned was left. `deletion` and `insertion`: how much more
    probability the class loses, or gains, while parts go in the order of the map than in an order
    by chance, with its 95 % interval.
    """

    method: str
    images: int = Field(ge=0)
    cascade: tuple[RandomisedMaps, ...] = ()
    sensitive: bool | None = None
    deletion: Estimate = Estimate()
    insertion: Estimate = Estimate()
    agreements: tuple[MapAgreement, ...] = ()


class ControlMeasurements(Record):
    """All of it; empty where nothing was measured."""

    tags: tuple[PlantedTag, ...] = ()
    lifts: UntrainedLifts = Field(default_factory=UntrainedLifts)
    maps: MapChecks | None = None
