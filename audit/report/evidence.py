"""One entry of ``findings.json`` becomes a :class:`ClassFinding` with its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from audit.errors import ReportError
from audit.report.content import (
    ClassFinding,
    CmvPanel,
    Confusion,
    Exhibit,
    Swap,
    Witness,
)
from audit.report.cues import read_cues
from audit.report.formatting import clean_text, discreet
from audit.report.i18n import say
from audit.report.json_values import count, estimate, items, number, objects, section, text, texts
from audit.report.pictures import Picture, load_picture
from audit.run_folder import file_slug

EXHIBITS = 6
EXHIBIT_SIDE, SMALL_SIDE, CMV_SIDE, THUMBNAIL_SIDE = 300, 160, 240, 96
_RECIPES = ("robust", "maco", "simonyan")
_OBJECTIVES = ("logit", "softmax", "contrast", "diversity")
STRIP_SIDE = 480


class Shown(Enum):
    """How much of a class's pictures the report shows."""

    NOTHING = 0
    ONE_EXHIBIT = 1
    EVERYTHING = 2


def read_finding(run_folder: Path, held: Mapping[str, Any], shown: Shown) -> ClassFinding:
    """Read one class.

    Parameters
    ----------
    run_folder : Path
        Where its pictures lie.
    held : mapping
        The entry.
    shown : Shown
        Pictures that will not be shown are not opened.

    Raises
    ------
    ReportError
        A count or a picture that must be shown is missing.
    """
    label, name = count(held, "label"), clean_text(held.get("label_name", "")) or say("(no name)")
    exhibits = objects(held, "exhibits")
    room = {Shown.NOTHING: 0, Shown.ONE_EXHIBIT: 1, Shown.EVERYTHING: EXHIBITS}[shown]
    side = EXHIBIT_SIDE if shown is Shown.EVERYTHING else SMALL_SIDE
    whole = shown is Shown.EVERYTHING
    mean_map = held.get("mean_map") if whole else None
    panels = sorted(objects(held, "cmv"), key=_panel_place)
    return ClassFinding(
        label=label,
        name=name,
        # Only characters of ours: an anchor goes into addresses.
        anchor=f"class-{label:04d}-{file_slug(name)}",
        verdict=str(held["verdict"]),
        kind=text(held, "kind", 30),
        attractor=clean_text(held.get("attractor") or ""),
        contrast=clean_text(held.get("contrast_class") or ""),
        strength=text(held, "strength", 20),
        reasons=texts(held, "reasons"),
        advice=texts(held, "advice"),
        images=count(held, "images"),
        scored=count(held, "scored"),
        **_numbers(held),
        **_estimates(held),
        witnesses=tuple(_witness(entry) for entry in objects(held, "witnesses")),
        confusions=tuple(_confusion(entry) for entry in objects(held, "confusions")),
        masses=tuple(
            float(m) for m in items(held, "masses")[:200] if isinstance(m, (int, float)) and m == m
        ),
        exhibits=tuple(_exhibit(run_folder, entry, name, side) for entry in exhibits[:room]),
        exhibits_left_out=max(0, len(exhibits) - room),
        mean_map=(
            load_picture(
                run_folder,
                str(mean_map),
                say("Mean saliency map of %(name)s", name=name),
                EXHIBIT_SIDE,
            )
            if mean_map
            else None
        ),
        cues=read_cues(run_folder, section(held, "cues"), name) if whole else None,
        mean_map_images=count(held, "mean_map_images") if held.get("mean_map_images") else None,
        cmv=tuple(
            _panel(run_folder, panel, name, CMV_SIDE, strip=place == 0)
            for place, panel in enumerate(panels if whole else [])
        ),
        **_thumbnails(run_folder, panels, name),
    )


def _numbers(held: Mapping[str, Any]) -> dict[str, Any]:
    names = ("precision", "recall", "f1", "mean_confidence", "p_value", "q_value")
    return {name: number(held, name) for name in names}


def _estimates(held: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "area": estimate(held, "foreground_area"),
        "mass": estimate(held, "foreground_mass"),
        "lift": estimate(held, "mass_lift"),
        "gap": estimate(held, "background_gap"),
        "margin_gap": estimate(held, "margin_gap"),
        "own_margin_gap": estimate(held, "own_margin_gap"),
        "attraction": estimate(held, "attraction"),
        "background_only": estimate(held, "background_only"),
    }


def _witness(held: Mapping[str, Any]) -> Witness:
    says = held.get("says")
    value = estimate(
        {**held, "value_low": held.get("low"), "value_high": held.get("high")}, "value"
    )
    return Witness(
        name=text(held, "name", 60),
        says=says if says in ("background", "object") else "unclear",
        estimate=value,
        p_value=number(held, "p_value"),
        unit=text(held, "unit", 30),
        explanation=text(held, "explanation", 300),
    )


def _confusion(held: Mapping[str, Any]) -> Confusion:
    name = clean_text(held.get("label_name", "")) or say("(no name)")
    return Confusion(name, count(held, "count"), number(held, "share"))


def _exhibit(run_folder: Path, held: Mapping[str, Any], name: str, side: int) -> Exhibit:
    pictures = section(held, "pictures")
    prediction = clean_text(held.get("prediction_name") or "") or say("(no name)")

    def load(kind: str, alt: str) -> Picture | None:
        path = pictures.get(kind)
        return load_picture(run_folder, str(path), alt, side) if path else None

    swap = section(held, "swap")
    donor = clean_text(swap.get("donor_class") or "") or say("another class")
    return Exhibit(
        role=text(held, "role", 30),
        rule=text(held, "rule", 300),
        sample_id=discreet(held.get("sample_id", ""), 120),
        prediction=prediction,
        right=held.get("prediction_name") == held.get("label_name"),
        confidence=number(held, "confidence"),
        area=number(held, "foreground_area"),
        mass=number(held, "foreground_mass"),
        image=load(
            "image", say("Image of %(name)s, answered %(answer)s", name=name, answer=prediction)
        ),
        overlay=load(
            "overlay", say("Where the score of %(name)s is sensitive in this image", name=name)
        ),
        outline=load("outline", say("The object %(name)s outlined in this image", name=name)),
        swap=(
            Swap(
                picture=load(
                    "swap", say("The same object on a background of %(name)s", name=donor)
                ),
                donor=donor,
                prediction=clean_text(swap.get("prediction_name") or "") or say("(no name)"),
                probability=number(swap, "probability"),
                before=number(swap, "before"),
            )
            if swap
            else None
        ),
    )


def _panel_place(held: Mapping[str, Any]) -> tuple[int, int, int]:
    recipe, objective = str(held.get("recipe")), str(held.get("objective"))
    return (
        _RECIPES.index(recipe) if recipe in _RECIPES else len(_RECIPES),
        _OBJECTIVES.index(objective) if objective in _OBJECTIVES else len(_OBJECTIVES),
        count(held, "variant") if held.get("variant") else 0,
    )


def _thumbnails(run_folder: Path, panels: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """The first picture of a class, and that of its softmax beside it."""
    beside = [
        panel
        for panel in panels[1:]
        if panel.get("recipe") == panels[0].get("recipe") and panel.get("objective") == "softmax"
    ]
    return {
        "thumbnail": _panel(run_folder, panels[0], name, THUMBNAIL_SIDE) if panels else None,
        "second_thumbnail": _panel(run_folder, beside[0], name, THUMBNAIL_SIDE) if beside else None,
    }


def _panel(
    run_folder: Path, held: Mapping[str, Any], name: str, side: int, *, strip: bool = False
) -> CmvPanel:
    path, steps = held.get("path"), held.get("strip") if strip else None
    if not path:
        raise ReportError("findings.json: a class model visualization without a path")
    recipe, objective = text(held, "recipe", 30), text(held, "objective", 30)
    alt = say(
        "What maximises the %(objective)s of %(name)s (%(recipe)s recipe)",
        objective=objective,
        name=name,
        recipe=recipe,
    )
    return CmvPanel(
        recipe=recipe,
        objective=objective,
        variant=count(held, "variant") if held.get("variant") else 0,
        rival=clean_text(held.get("rival") or ""),
        picture=load_picture(run_folder, str(path), alt, side),
        strip=load_picture(
            run_folder, str(steps), say("How it came about: %(picture)s", picture=alt), STRIP_SIDE
        )
        if steps
        else None,
        strip_steps=tuple(int(s) for s in items(held, "strip_steps")[:20] if isinstance(s, int)),
        probability=number(held, "probability"),
        robust_probability=number(held, "robust_probability"),
        transfer_rank=count(held, "transfer_rank") if held.get("transfer_rank") else None,
        failed=held.get("failed") is True,
        note=text(held, "note", 300),
    )
