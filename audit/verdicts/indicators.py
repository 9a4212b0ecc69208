"""The witnesses of a class: each way of asking by itself, beside the one that decides."""

from __future__ import annotations

from typing import Any

from audit.manifest import VerdictSection
from audit.verdicts.decide import EXCESS_FLOOR, VICTIM_FLOOR, leans_by_mass


def witnesses(row: dict[str, Any], thresholds: VerdictSection) -> list[dict[str, Any]]:
    """What each witness says by itself: ``background``, ``object`` or ``unclear``."""

    def one(
        name: str, column: str, p_value: float, floor: float, unit: str, explanation: str
    ) -> dict[str, Any]:
        value, low, high = (row[f"{column}{end}"] for end in ("", "_low", "_high"))
        says = "unclear"
        if value >= floor and low > 0:
            says = "background"
        elif high < floor:
            says = "object"
        return {
            "name": name,
            "says": says,
            "value": value,
            "low": low,
            "high": high,
            "p_value": p_value,
            "unit": unit,
            "explanation": explanation,
        }

    found = [
        one(
            "Background swap",
            "background_gap",
            row["p_value"],
            thresholds.effect,
            "probability",
            "Probability lost on another class's background, beyond a same-class swap.",
        ),
        one(
            "Second look",
            "victim_harm",
            row["victim_p"],
            VICTIM_FLOOR,
            "rate",
            "Half the probability lost and half the decisions changed, on fresh backgrounds of the "
            "one class that costs it most.",
        ),
        one(
            "Attraction",
            "attraction",
            row["attraction_p"],
            EXCESS_FLOOR,
            "rate",
            "How much more often other objects become this class on its backgrounds.",
        ),
        one(
            "Background only",
            "background_only",
            row["background_only_p"],
            EXCESS_FLOOR,
            "rate",
            "How much more often the background alone is called this class.",
        ),
    ]
    mass = {
        "name": "Saliency",
        "says": "background" if leans_by_mass(row) else "unclear",
        "value": row["mass_lift"],
        "low": row["mass_lift_low"],
        "high": row["mass_lift_high"],
        "p_value": float("nan"),
        "unit": "log-odds",
        "explanation": (
            "Saliency on the object beyond its area; says background only when far below the "
            "other classes. A picture, and the weakest witness."
        ),
    }
    return [w for w in (*found, mass) if w["value"] == w["value"]]


def agreement(row: dict[str, Any], thresholds: VerdictSection) -> str:
    """How many witnesses say the same, as a sentence.

    Parameters
    ----------
    row, thresholds
        As for :func:`witnesses`.
    """
    heard = [witness["says"] for witness in witnesses(row, thresholds)]
    against, unclear = heard.count("background"), heard.count("unclear")
    said = f"{against} of {len(heard)} witnesses say background"
    return f"{said}, {unclear} unclear." if unclear else f"{said}."
