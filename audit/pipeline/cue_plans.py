"""What is looked at for the cues of each suspect class: chosen by rule, known by its key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from audit.cues.class_contrast import hardest
from audit.cues.images import others, sampled
from audit.cues.swap_matrix import TurningDonors, foreign_swaps, turning_donors
from audit.findings import ClassFinding
from audit.manifest import fingerprint
from audit.pipeline.session import Session

CLASSES = 40
"""Most suspect classes that are looked into: those that get a page of their own."""
_FORM = 5
"""Of an entry; entries of another form are made again."""
LEAST_TARGETS = 10
"""Images of one class below which windows are pasted into images of all others."""


@dataclass(frozen=True, eq=False)
class CuePlan:
    """What is looked at for one class: by this alone it is known whether it was done before.

    A part of the step; it holds lists, so it is equal to itself alone.

    Parameters
    ----------
    label, name : int, str
        The suspect class.
    contrast, contrast_name : int or None, str or None
        The class that it is most often confused with.
    rows, rows_elsewhere : list of int
        Images of the two.
    hardest : int or None
        The image that the two classes are contrasted on.
    donors : TurningDonors
        From :func:`audit.cues.swap_matrix.turning_donors`.
    targets : list of int
        Images of another class, into which windows are pasted: the one whose objects the
        backgrounds of this class turned most often, or else its contrast class. Objects that no
        background turns would say of no cue that it is one.
    target_name : str or None
        That class; None: of all others, where it has too few images.
    lenders : list of int
        Images of all other classes, from which the control's windows come.
    lead : float
        Median margin of the class on its own images, in units of class scores; NaN without any.
    """

    label: int
    name: str
    contrast: int | None
    contrast_name: str | None
    rows: list[int]
    rows_elsewhere: list[int]
    hardest: int | None
    donors: TurningDonors
    targets: list[int]
    target_name: str | None
    lenders: list[int]
    lead: float

    @property
    def key(self) -> str:
        """Equal where the same would be looked at again."""
        looked = (self.contrast, self.rows, self.rows_elsewhere, self.hardest)
        tried = (self.targets, self.lenders)
        return fingerprint(_FORM, self.label, json.dumps([*looked, *tried, asdict(self.donors)]))


def plans(
    session: Session, scores: pd.DataFrame, suspects: Sequence[ClassFinding]
) -> list[CuePlan]:
    """Plan what is looked at for each suspect class, in the order of the findings.

    Parameters
    ----------
    session : Session
        For names and seed.
    scores : DataFrame
        All rows of ``scores.parquet``.
    suspects : sequence of ClassFinding
        At most :data:`CLASSES` are taken.
    """
    swaps, seed = foreign_swaps(scores), session.manifest.run.seed
    planned = []
    for finding in suspects[:CLASSES]:
        label, name = finding.label, finding.contrast_class
        names = session.class_names
        contrast = names.index(name) if name is not None and name in names else None
        donors = turning_donors(swaps, label)
        turned = contrast if donors.affected is None else donors.affected.index
        lenders = others(scores, label, seed)
        targets = [] if turned is None or turned == label else sampled(scores, turned, seed)
        enough = len(targets) >= LEAST_TARGETS
        planned.append(
            CuePlan(
                label=label,
                name=finding.label_name,
                contrast=contrast,
                contrast_name=None if contrast is None else name,
                rows=sampled(scores, label, seed),
                rows_elsewhere=[] if contrast is None else sampled(scores, contrast, seed),
                hardest=hardest(scores[scores["label"] == label]),
                donors=donors,
                targets=targets if enough else lenders,
                target_name=names[turned] if enough and turned is not None else None,
                lenders=lenders,
                lead=float(scores.loc[scores["label"] == label, "margin"].abs().median()),
            )
        )
    return planned
