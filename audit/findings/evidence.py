"""What a reader is shown of a class: samples, cues and class model visualizations.

Every path is relative to the run folder and uses forward slashes.
"""

from __future__ import annotations

import math
from enum import StrEnum

from pydantic import Field

from audit.findings.values import Estimate, Number, Rate, Reason, Record, Role, Share


class ExhibitPictures(Record):
    """The pictures of one exhibit; None where there is nothing to draw."""

    image: str | None = None
    overlay: str | None = None
    outline: str | None = None
    swap: str | None = None
    swap_map: str | None = None


class Swap(Record):
    """The swap that cost a sample most: the same object on another class's background.

    `probability` and `before` are those of the right class after and before the swap.
    """

    donor_class: str
    donor_row: int | None = None
    prediction_name: str
    probability: Share
    before: Share


class Side(StrEnum):
    """Where a part of an image lies."""

    SURROUNDINGS = "surroundings"
    OBJECT = "object"


class PartEffects(Record):
    """How a sample's lead over `rival_class` changes where parts make room for other backgrounds.

    `surroundings` and `body` sum over the parts of background and object, with backgrounds of
    `donor_class`; `difference` is the first less the second; `control` sums over the background
    with those of the sample's own class. `pointed` is the part of most loss, on the side
    `pointed_at`: of a spread loss one of the costlier side; its interval allows for all parts.
    `agreement`: the rank correlation, -1..1, of the saliency in each part with what the class
    loses by it. None: an earlier version did not write it down.
    """

    donor_class: str
    rival_class: str | None = None
    surroundings: Estimate
    body: Estimate
    control: Estimate
    beyond_control: Estimate
    difference: Estimate | None = None
    pointed: Estimate | None = None
    pointed_at: Side | None = None
    agreement: Number = None


class Exhibit(Record):
    """One sample that is shown, with the rule that chose it."""

    label: int
    role: Role
    sample_id: str
    label_name: str
    prediction_name: str
    confidence: Share
    foreground_area: Share
    foreground_mass: Share
    mass_lift: Number
    pictures: ExhibitPictures
    swap: Swap | None = None
    part_effects: PartEffects | None = None


class CueCrop(Record):
    """One window of the background; `share` is the part of the map's mass that lies in it."""

    path: str
    sample_id: str
    share: Share


class CueTrial(Record):
    """What windows of a cue did in photographs of another class, beside windows of others.

    `became`: photographs that are answered with the class then; `control`: likewise with windows
    from other classes at the same places. `target_class`: of which class the photographs are; None:
    of several. `raised`: by how much more the cue's windows raise the
    class score against the best other, in units of the class's usual lead on its own photographs,
    with its 95 % interval.
    """

    became: Rate
    control: Rate
    raised: Estimate
    target_class: str | None = None


class CueCluster(Record):
    """Background windows that the model sees alike, and in how many images they were seen.

    `trial`: windows where they were found; `trial_all_over`: the whole background covered with
    them. None where they could not be pasted anywhere, or an earlier version wrote it.
    `sample_ids`: the images of both classes whose strongest window it is.
    """

    seen: Rate
    contrast: Rate
    crops: tuple[CueCrop, ...]
    trial: CueTrial | None = None
    trial_all_over: CueTrial | None = None
    sample_ids: tuple[str, ...] = ()

    @property
    def effect(self) -> float:
        """The larger `raised` of the two trials; minus infinity without any."""
        trials = [trial for trial in (self.trial, self.trial_all_over) if trial is not None]
        values = [t.raised.value for t in trials if t.raised.value is not None]
        return max(values, default=-math.inf)


class CueDonor(Record):
    """One background, and how many objects of other classes became the class on it."""

    path: str | None
    sample_id: str
    became: Rate


class AffectedClass(Record):
    """The class whose objects most often became another on that one's backgrounds."""

    label_name: str
    became: Rate


class CueDonors(Record):
    """What the backgrounds of the class did to the objects of others."""

    became: Rate
    affected: AffectedClass | None
    tried: int = Field(ge=0)
    shown: tuple[CueDonor, ...]


class ContrastMaps(Record):
    """One image, and what in it speaks for which of two classes; None: nothing does."""

    sample_id: str
    image: str | None
    towards: str | None
    away: str | None


class Cues(Record):
    """What in the background a suspect class may depend on: a hypothesis, beside the experiment.

    `key` says from what it was made, so that a resumed run need not look again; `features` where
    the features come from that told windows apart, None without images.
    """

    label: int
    label_name: str
    key: str
    contrast_class: str | None
    images: int = Field(ge=0)
    contrast_images: int = Field(ge=0)
    features: Reason | None
    notes: tuple[Reason, ...]
    clusters: tuple[CueCluster, ...]
    donors: CueDonors
    contrast_maps: ContrastMaps | None


class CmvEntry(Record):
    """One class model visualization and what the model makes of it.

    `failure` says why nothing may be read into the picture; None where it holds. `key` says from
    what it was made, so that another run of the same model need not make it again.
    """

    label: int
    label_name: str
    key: str
    recipe: str
    objective: str
    variant: int = Field(ge=0)
    path: str
    strip: str | None
    strip_steps: tuple[int, ...]
    score: Number
    probability: Share
    robust_probability: Share
    rank: int = Field(ge=1)
    rank_jpeg: int = Field(ge=1)
    rank_shift: int = Field(ge=1)
    transfer_rank: int | None
    transfer_probability: Share
    steps: int = Field(ge=0)
    rival: str | None
    failure: Reason | None

    @property
    def failed(self) -> bool:
        """Whether nothing may be read into the picture."""
        return self.failure is not None


class MeanMap(Record):
    """The mean saliency map of a class; `rows` are positions in the list of samples."""

    label: int
    path: str
    images: int = Field(ge=0)
    rows: tuple[int, ...]
