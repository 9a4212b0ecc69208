"""Findings as they are written down: ``classes.parquet`` and ``findings.json``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from audit.manifest import Manifest
from audit.verdicts.affected import VICTIM_COLUMNS
from audit.verdicts.cmv_share import SHARE_COLUMNS
from audit.verdicts.controls import negative_control, positive_control, untrained_control
from audit.verdicts.decide import INCONCLUSIVE, SUSPECT, VERDICTS, decide, loses_to_one
from audit.verdicts.effects import EFFECTS, class_effects
from audit.verdicts.indicators import witnesses
from audit.verdicts.reasons import advice, reasons

CLASS_COLUMNS = (
    "label",
    "label_name",
    "images",
    "scored",
    "judged",
    "coverage",
    "precision",
    "recall",
    "f1",
    "mean_confidence",
    *(f"{name}{end}" for name in EFFECTS for end in ("", "_low", "_high")),
    "p_value",
    "q_value",
    "decision_gap",
    "typical_gap",
    "mass_lift_eroded",
    "mass_lift_dilated",
    *VICTIM_COLUMNS[:-1],
    *SHARE_COLUMNS,
    "verdict",
    "kind",
    "strength",
    "attractor",
    "contrast_class",
    "reasons",
)

LIMITS = (
    "A cue inside the foreground (a collar, a watermark on the object) is invisible to background "
    "swaps, and so is a cue that all classes share.",
    "Classes that share one background can hide each other.",
    "Objects that often appear together were tested too little to promise that they are found.",
    "Foregrounds that miss part of the object accuse the innocent; boxes and generous masks lose "
    "some cases and accuse nobody.",
    "The verdict holds for this model on these photographs. It says nothing about photographs of "
    "another kind.",
    "Saliency maps are pictures of where the score is sensitive. They illustrate; the swap "
    "experiment decides.",
)


def find(
    scores: pd.DataFrame,
    manifest: Manifest,
    labels: Mapping[int, str],
    class_names: Sequence[str],
    has_foregrounds: bool,
    second: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Decide every class.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    manifest : Manifest
        For its thresholds.
    labels : mapping of int to str
        The dataset's classes by output index.
    class_names : sequence of K str
        All outputs of the model.
    has_foregrounds : bool
        Whether the audit was given foregrounds.
    second : DataFrame, optional
        All rows of ``follow_up.parquet``; None before the second look.

    Returns
    -------
    DataFrame
        One row a class: all of :data:`CLASS_COLUMNS`, and what the witnesses need.
    """
    effects = class_effects(scores, labels, manifest.run.seed, second, manifest.verdict.test)
    table = decide(effects, manifest.verdict, manifest.run.min_coverage, has_foregrounds)
    by_label = dict(list(scores.groupby("label")))
    nothing = scores.iloc[:0]
    own = [by_label.get(label, nothing) for label in table["label"]]
    table["attractor"] = [
        _attractor(row, rows, manifest, class_names)
        for row, rows in zip(table.to_dict("records"), own, strict=True)
    ]
    table["contrast_class"] = [
        _contrast(rows, class_names, verdict == SUSPECT)
        for rows, verdict in zip(own, table["verdict"], strict=True)
    ]
    table["reasons"] = [
        reasons(row, manifest.verdict, manifest.run.min_coverage, has_foregrounds)
        for row in table.to_dict("records")
    ]
    # CMVs are drawn later; see `audit.verdicts.cmv_share`.
    return table.assign(**dict.fromkeys(SHARE_COLUMNS, float("nan")))


def _attractor(
    row: dict[str, Any], rows: pd.DataFrame, manifest: Manifest, class_names: Sequence[str]
) -> str | None:
    """The class that takes a victim's votes."""
    if row["kind"] != "victim":
        return None
    if loses_to_one(row, manifest.verdict):
        return class_names[int(row["victim_of"])]
    return _taker(rows, class_names)


def _taker(rows: pd.DataFrame, class_names: Sequence[str]) -> str | None:
    """The class that most other-class swaps of these images end in, other than their own."""
    return _most_frequent(rows, "swap_other_predictions", class_names)


def _contrast(rows: pd.DataFrame, class_names: Sequence[str], suspect: bool) -> str | None:
    """The class that these images are most often mistaken for.

    Of a suspect class the swaps tell it, since one ordinary confusion says little about the
    background; of another class they do only where it is never confused.
    """
    swapped = _most_frequent(rows, "swap_other_predictions", class_names)
    if suspect and swapped is not None:
        return swapped
    answered = rows[rows["prediction"].notna()]
    wrong = Counter(int(p) for p in answered["prediction"] if p != answered["label"].iloc[0])
    if wrong:
        return class_names[min(wrong, key=lambda label: (-wrong[label], label))]
    return swapped


def _most_frequent(rows: pd.DataFrame, column: str, class_names: Sequence[str]) -> str | None:
    counts: Counter[int] = Counter()
    for label, held in zip(rows["label"], rows[column], strict=True):
        if held is not None:
            counts.update(int(p) for p in held if p != label)
    if not counts:
        return None
    return class_names[min(counts, key=lambda label: (-counts[label], label))]


def write_down(
    table: pd.DataFrame,
    scores: pd.DataFrame,
    manifest: Manifest,
    confused: pd.DataFrame,
    foreground_source: str,
    model_name: str,
    checks: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Compose ``findings.json``; exhibits and CMVs are added when they are drawn.

    `checks` is what ``controls.json`` holds, None where nothing was measured.
    """
    complete = bool(table["complete"].all())
    return {
        "schema_version": 1,
        "audit": {
            "name": manifest.name,
            "title": manifest.report.title or f"Saliency audit: {manifest.name}",
            "owner": manifest.report.owner,
            "audience": manifest.report.audience,
            "dataset": manifest.dataset.root,
            "model": model_name,
            "foreground": foreground_source,
        },
        "summary": _summary(table, scores, manifest, complete),
        "thresholds": manifest.verdict.model_dump(),
        "controls": [
            negative_control(scores, manifest.verdict),
            positive_control((checks or {}).get("tags", ()), manifest.verdict),
            untrained_control((checks or {}).get("lifts", {})),
        ],
        "limits": list(LIMITS),
        "foreground_quality": _foreground_quality(scores, foreground_source),
        "findings": [_finding(row, scores, confused, manifest) for row in _ranked(table)],
    }


def _ranked(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows in the order in which a reader should meet them: by verdict, then by effect."""
    rows: list[dict[str, Any]] = table.to_dict("records")

    def key(row: dict[str, Any]) -> tuple[int, float, int]:
        gap = row["background_gap"]
        return VERDICTS.index(row["verdict"]), -(gap if gap == gap else -2.0), row["label"]

    return sorted(rows, key=key)


def _summary(
    table: pd.DataFrame, scores: pd.DataFrame, manifest: Manifest, complete: bool
) -> dict[str, Any]:
    counts = table["verdict"].value_counts()
    answered = scores[scores["prediction"].notna()]
    suspects = int(counts.get(SUSPECT, 0))
    summary: dict[str, Any] = plain(
        {
            "classes": len(table),
            **{verdict: int(counts.get(verdict, 0)) for verdict in VERDICTS},
            "gate": manifest.gate,
            "gate_passed": manifest.gate == "never" or suspects == 0,
            "complete": complete,
            "images": len(scores),
            "scored": int((scores["status"] == "scored").sum()),
            "judged": int(table["judged"].sum()),
            "coverage": float(table["covered"].sum()) / max(len(scores), 1),
            "accuracy": float((answered["prediction"] == answered["label"]).mean())
            if len(answered)
            else math.nan,
        }
    )
    return summary


def _foreground_quality(scores: pd.DataFrame, source: str) -> dict[str, Any]:
    readable = scores[scores["status"] != "unreadable"]
    found = readable["foreground_area"].notna()
    notes = {
        "none": "No foregrounds were given. Nothing can be said about backgrounds.",
        "mask_file": "Masks given with the dataset.",
        "bounding_box": (
            "Boxes given with the dataset. They hold some background, which stays with the object "
            "in every swap: some dependence can be missed, none is invented."
        ),
    }
    return {
        "source": source,
        "coverage": float(found.mean()) if len(readable) else 0.0,
        "note": notes.get(source, f"Given by {source}."),
    }


def _finding(
    row: dict[str, Any], scores: pd.DataFrame, confused: pd.DataFrame, manifest: Manifest
) -> dict[str, Any]:
    own = confused[confused["label"] == row["label"]]
    wrong = own[own["prediction"] != row["label"]].sort_values(
        ["count", "prediction"], ascending=[False, True]
    )
    masses = scores.loc[scores["label"] == row["label"], "foreground_mass"].dropna()
    kept = masses.sample(200, random_state=0) if len(masses) > 200 else masses
    finding: dict[str, Any] = plain(
        {name: row[name] for name in CLASS_COLUMNS}
        | {
            "advice": advice(row),
            "witnesses": witnesses(row, manifest.verdict) if row["verdict"] != INCONCLUSIVE else [],
            "confusions": [
                {
                    "label_name": c["prediction_name"],
                    "count": int(c["count"]),
                    "share": c["count"] / max(row["answered"], 1),
                }
                for c in wrong.head(5).to_dict("records")
            ],
            "masses": [float(v) for v in kept],
            "exhibits": [],
            "mean_map": None,
            "cmv": [],
        }
    )
    return finding


def plain(value: Any) -> Any:
    """JSON values only: NumPy scalars become Python's, NaN becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
