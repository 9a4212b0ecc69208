"""The cues of a finding and the matrix of backgrounds, read from ``findings.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.report.cue_content import (
    BackgroundMatrix,
    Between,
    CueCluster,
    CueDonor,
    Cues,
    MatrixCell,
    MatrixRow,
    Rate,
)
from audit.report.formatting import clean_text, discreet, shorten
from audit.report.i18n import say
from audit.report.json_values import count, number, objects, section, text
from audit.report.pictures import Picture, load_picture

CROPS, CLUSTERS, DONORS, CLASSES = 6, 4, 6, 12
CROP_SIDE, DONOR_SIDE, BETWEEN_SIDE = 120, 160, 240
SHADES = 4


def read_cues(run_folder: Path, held: Mapping[str, Any], name: str) -> Cues | None:
    """Read the cues of one class; None where none were looked for.

    Parameters
    ----------
    run_folder : Path
        Where the pictures lie.
    held : mapping
        The entry of ``cues/index.json`` as ``findings.json`` holds it.
    name : str
        The class, clean.

    Raises
    ------
    ReportError
        A count or a picture is missing.
    """
    if not held:
        return None
    contrast = clean_text(held.get("contrast_class") or "")
    donors = section(held, "donors")
    victim = section(donors, "victim")
    return Cues(
        contrast=contrast,
        features=text(held, "features", 200),
        note=text(held, "note", 400),
        clusters=tuple(
            _cluster(run_folder, entry, held, name)
            for entry in objects(held, "clusters")[:CLUSTERS]
        ),
        donors=tuple(
            _donor(run_folder, entry, name) for entry in objects(donors, "shown")[:DONORS]
        ),
        donors_tried=count(donors, "tried"),
        all_donors=_rate(donors, "became", count(donors, "swaps")),
        victim=(clean_text(victim.get("label_name") or "") or say("(no name)")) if victim else "",
        of_victim=_rate(victim, "became", count(victim, "swaps")) if victim else Rate(0, 0),
        between=_between(run_folder, section(held, "between"), name, contrast),
    )


def _rate(held: Mapping[str, Any], key: str, trials: int) -> Rate:
    low, high = number(held, f"{key}_rate_low"), number(held, f"{key}_rate_high")
    return Rate(count(held, key), trials, low, high)


def _cluster(
    run_folder: Path, held: Mapping[str, Any], whole: Mapping[str, Any], name: str
) -> CueCluster:
    alt = say(
        "A background window in which the score of %(name)s has most evidence", name=shorten(name)
    )
    return CueCluster(
        crops=tuple(
            load_picture(run_folder, str(crop.get("path") or ""), alt, CROP_SIDE)
            for crop in objects(held, "crops")[:CROPS]
        ),
        seen=_rate(held, "seen", count(whole, "images")),
        elsewhere=_rate(held, "contrast", count(whole, "contrast_images")),
    )


def _donor(run_folder: Path, held: Mapping[str, Any], name: str) -> CueDonor:
    path = held.get("path")
    alt = say("A background of %(name)s without its object", name=shorten(name))
    return CueDonor(
        picture=load_picture(run_folder, str(path), alt, DONOR_SIDE) if path else None,
        sample_id=discreet(held.get("sample_id", ""), 120),
        became=_rate(held, "became", count(held, "swaps")),
    )


def _between(run_folder: Path, held: Mapping[str, Any], name: str, contrast: str) -> Between | None:
    if not held:
        return None

    def load(kind: str, alt: str) -> Picture | None:
        path = held.get(kind)
        return load_picture(run_folder, str(path), alt, BETWEEN_SIDE) if path else None

    def speaks(one: str, other: str) -> str:
        return say(
            "What in this image speaks for %(one)s rather than %(other)s", one=one, other=other
        )

    one, other = shorten(name), shorten(contrast)
    return Between(
        sample_id=discreet(held.get("sample_id", ""), 120),
        image=load("image", say("The image of %(name)s with the lowest margin", name=one)),
        towards=load("towards", speaks(one, other)),
        away=load("away", speaks(other, one)),
    )


def read_matrix(held: Mapping[str, Any]) -> BackgroundMatrix | None:
    """Read whose background makes it whom; None where no object met a foreign background.

    Raises
    ------
    ReportError
        A count is missing.
    """
    classes = objects(held, "classes")[:CLASSES]
    if not classes:
        return None
    cells = {
        (number(cell, "label"), number(cell, "donor_label")): _cell(cell)
        for cell in objects(held, "cells")
    }
    never = MatrixCell(Rate(0, 0), 0, 0)
    labels = [number(entry, "label") for entry in classes]
    names = tuple(clean_text(entry.get("label_name", "")) or say("(no name)") for entry in classes)
    rows = tuple(
        MatrixRow(
            name=names[place],
            cells=tuple(
                None if label == donor else cells.get((label, donor), never) for donor in labels
            ),
            lost=Rate(count(classes[place], "lost"), count(classes[place], "swaps")),
        )
        for place, label in enumerate(labels)
    )
    return BackgroundMatrix(
        names=names,
        rows=rows,
        left_out=count(held, "left_out"),
        became=Rate(count(held, "became_donor"), count(held, "swaps")),
        became_shown=count(held, "became_donor_shown"),
    )


def _cell(held: Mapping[str, Any]) -> MatrixCell:
    became = Rate(count(held, "became_donor"), count(held, "swaps"))
    # The figure carries the meaning; the shade, none to darkest, repeats it in quarters.
    shade = min(SHADES, 1 + int(SHADES * (became.value or 0.0))) if became.hits else 0
    return MatrixCell(became, count(held, "lost"), shade)
