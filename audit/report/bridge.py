"""The record as the dictionaries that the readers of this package still parse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from audit.findings import (
    SCHEMA_VERSION,
    ClassFinding,
    CmvEntry,
    Control,
    ControlName,
    Cues,
    Exhibit,
    Findings,
    Indicator,
    IndicatorName,
    Rate,
    read_facts,
    read_findings,
)
from audit.report.bridge_sentences import CONTROLS, english
from audit.report.exhibits import RULES
from audit.report.json_values import read_object

_SIMONYAN = "Simonyan's own form (class score minus an L2 penalty)."
_CONTROLS = {
    ControlName.NEGATIVE: (
        "The same rule, with other backgrounds of the same class in the place of foreign ones. "
        "Nothing should be flagged.",
        "0 classes flagged",
    ),
    ControlName.POSITIVE: (
        "A tag in the corner, planted in memory on some classes, and a model made to need it. "
        "The gain is what the tag is worth, in units of the class's usual lead.",
        "every tagged class found at gain 1",
    ),
    ControlName.UNTRAINED: (
        "The same saliency method on the same network with random weights: what the form of "
        "the network alone puts on the object.",
        "maps that differ from an untrained network's",
    ),
}
_INDICATORS = {
    IndicatorName.BACKGROUND_SWAP: (
        "Background swap",
        "Probability lost on another class's background, beyond a same-class swap.",
    ),
    IndicatorName.FOLLOW_UP: (
        "Second look",
        "Half the probability lost and half the decisions changed, on fresh backgrounds of the "
        "one class that costs it most.",
    ),
    IndicatorName.ATTRACTION: (
        "Attraction",
        "How much more often other objects become this class on its backgrounds.",
    ),
    IndicatorName.BACKGROUND_ONLY: (
        "Background only",
        "How much more often the background alone is called this class.",
    ),
    IndicatorName.SALIENCY: (
        "Saliency",
        "Saliency on the object beyond its area; says background only when far below the "
        "other classes. A picture, and the weakest witness.",
    ),
    IndicatorName.CMV: (
        "CMV",
        "Of what objects and backgrounds have in common with the class model visualization, "
        "in the model's own features, the backgrounds' part. Decides nothing.",
    ),
}
_FOREGROUNDS = {
    "none": "No foregrounds were given. Nothing can be said about backgrounds.",
    "mask_file": "Masks given with the dataset.",
    "bounding_box": (
        "Boxes given with the dataset. They hold some background, which stays with the object "
        "in every swap: some dependence can be missed, none is invented."
    ),
}


def read_findings_as_before(path: Path) -> dict[str, Any]:
    """``findings.json`` as it was."""
    return _findings(read_findings(path)) if _is_record(path) else read_object(path)


def read_run_as_before(path: Path) -> dict[str, Any]:
    """``run.json`` as it was."""
    if not _is_record(path):
        return read_object(path)
    return read_facts(path).model_dump(mode="json") | {"schema_version": 1}


def _is_record(path: Path) -> bool:
    try:
        held = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(held, dict) and held.get("schema_version") == SCHEMA_VERSION


def _findings(record: Findings) -> dict[str, Any]:
    held = record.model_dump(mode="json")
    held["schema_version"] = 1
    held["audit"]["title"] = record.audit.title or f"Saliency audit: {record.audit.name}"
    held["controls"] = [_control(control) for control in record.controls]
    held["limits"] = [english(reason) for reason in record.limits]
    source = record.foreground_quality.source
    held["foreground_quality"]["note"] = _FOREGROUNDS.get(source, f"Given by {source}.")
    held["whose_background"] = held.pop("swap_matrix")
    held["findings"] = [_finding(finding) for finding in record.findings]
    return held


def _control(control: Control) -> dict[str, Any]:
    description, expected = _CONTROLS[control.name]
    return {
        "name": CONTROLS[control.name],
        "description": description,
        "expected": expected,
        "found": english(control.found),
        "passed": control.passed,
    }


def _finding(finding: ClassFinding) -> dict[str, Any]:
    averaged = finding.mean_map
    return finding.model_dump(mode="json") | {
        "reasons": [english(reason) for reason in finding.reasons],
        "advice": [english(reason) for reason in finding.advice],
        "witnesses": [_indicator(indicator) for indicator in finding.indicators],
        "exhibits": [_exhibit(exhibit) for exhibit in finding.exhibits],
        "mean_map": averaged.path if averaged else None,
        "mean_map_images": averaged.images if averaged else None,
        "cues": _cues(finding.cues) if finding.cues else None,
        "cmv": [_cmv(entry) for entry in finding.cmv],
    }


def _indicator(indicator: Indicator) -> dict[str, Any]:
    name, explanation = _INDICATORS[indicator.name]
    return {
        **indicator.estimate.model_dump(),
        "name": name,
        "says": indicator.says.value,
        "p_value": indicator.p_value,
        "unit": indicator.unit.value.replace("_", "-"),
        "explanation": explanation,
    }


def _exhibit(exhibit: Exhibit) -> dict[str, Any]:
    return exhibit.model_dump(mode="json") | {"rule": RULES[exhibit.role]}


def _cues(cues: Cues) -> dict[str, Any]:
    donors = cues.donors
    affected = donors.affected
    return cues.model_dump(mode="json") | {
        "features": english(cues.features) if cues.features else "",
        "note": " ".join(english(reason) for reason in cues.notes),
        "between": cues.contrast_maps.model_dump() if cues.contrast_maps else None,
        "clusters": [
            {
                **_rate("seen", cluster.seen),
                **_rate("contrast", cluster.contrast),
                "crops": [crop.model_dump() for crop in cluster.crops],
            }
            for cluster in cues.clusters
        ],
        "donors": {
            **_rate("became", donors.became),
            "swaps": donors.became.trials,
            "victim": {
                "label_name": affected.label_name,
                "swaps": affected.became.trials,
                **_rate("became", affected.became),
            }
            if affected
            else None,
            "tried": donors.tried,
            "shown": [
                {
                    "path": donor.path,
                    "sample_id": donor.sample_id,
                    "swaps": donor.became.trials,
                    **_rate("became", donor.became),
                }
                for donor in donors.shown
            ],
        },
    }


def _rate(name: str, rate: Rate) -> dict[str, Any]:
    return {name: rate.hits, f"{name}_rate_low": rate.low, f"{name}_rate_high": rate.high}


def _cmv(entry: CmvEntry) -> dict[str, Any]:
    notes = [_SIMONYAN] if entry.recipe == "simonyan" else []
    notes += [english(entry.failure)] if entry.failure else []
    return entry.model_dump(mode="json") | {"failed": entry.failed, "note": " ".join(notes)}
