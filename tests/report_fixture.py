"""A run folder such as an audit leaves behind, painted in a moment, for tests of the report."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audit.report.overlays import mean_map, outline, overlay, to_png

VERDICT_CYCLE = ("suspect", "clear", "clear", "watch", "clear", "inconclusive", "clear", "suspect")
GAPS = {"suspect": 0.42, "watch": 0.07, "clear": 0.01, "inconclusive": 0.03}


def paint(seed: int, side: int = 96) -> tuple[Any, Any, Any]:
    """An image with one round object, a map that leans to the left, and the object's mask."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side
    sky, ground = random.integers(60, 240, 3), random.integers(30, 200, 3)
    image = np.where((rows < 0.6)[..., None], sky, ground) + random.normal(0, 9, (side, side, 3))
    middle = random.uniform(0.35, 0.65, 2)
    foreground = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < random.uniform(0.03, 0.06)
    image[foreground] = random.integers(0, 255, 3) + 40 * columns[foreground][:, None]
    saliency = np.exp(-((rows - 0.75) ** 2 + (columns - 0.3) ** 2) * 14) + 0.15 * foreground
    return image.clip(0, 255).astype(np.uint8), saliency, foreground


def estimate(name: str, value: float | None, half: float) -> dict[str, float | None]:
    """A value with its ``_low`` and ``_high``."""
    low, high = (None, None) if value is None else (value - half, value + half)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def write_run(
    folder: Path,
    names: Sequence[str],
    *,
    verdicts: Sequence[str] | None = None,
    foregrounds: str = "mask_file",
    problems: int = 3,
    status: str = "complete",
    simonyan: bool = True,
    audience: str = "Product board",
) -> Path:
    """Write a run folder with one finding a name.

    Without `foregrounds` (``"none"``) every class is inconclusive and has no effects.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = foregrounds != "none"
    cycle = verdicts or (VERDICT_CYCLE if known else ("inconclusive",))
    findings = [
        _finding(folder, label, name, cycle[label % len(cycle)], names, known, simonyan)
        for label, name in enumerate(names)
    ]
    images = sum(f["images"] for f in findings)
    counts = {v: sum(f["verdict"] == v for f in findings) for v in GAPS}
    held = {
        "schema_version": 1,
        "audit": {
            "name": "farm animals",
            "title": "Saliency audit: farm animals",
            "owner": "Ann Example",
            "audience": audience,
            "dataset": "images/test",
            "model": "resnet18",
            "foreground": foregrounds,
        },
        "summary": {
            "classes": len(names),
            **counts,
            "gate": "suspect",
            "gate_passed": counts["suspect"] == 0,
            "images": images + problems,
            "scored": images,
            "coverage": 0.98,
            "accuracy": 0.914,
        },
        "thresholds": {"minimum_images": 20, "effect": 0.1, "strong_effect": 0.15, "fdr": 0.05},
        "controls": [
            {
                "name": "Negative control",
                "description": "The same rule with backgrounds of the same class.",
                "expected": "0 classes flagged",
                "found": f"0 of {len(names)} flagged",
                "passed": True,
            }
        ],
        "limits": [
            "A cue inside the foreground is invisible to background swaps.",
            "Classes that share one background can hide each other.",
            "The verdict holds for this model on these photographs.",
        ],
        "foreground_quality": {
            "source": foregrounds,
            "coverage": 0.97 if known else 0.0,
            "note": "Masks given with the dataset." if known else "No foregrounds were given.",
        },
        "findings": findings,
        "whose_background": _backgrounds(names) if known else {},
    }
    (folder / "findings.json").write_text(json.dumps(held))
    (folder / "run.json").write_text(json.dumps(_run(images, problems, len(names), status)))
    _write_problems(folder / "problems.csv", problems, names)
    with (folder / "classes.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([f["label"], f["label_name"], f["verdict"]] for f in findings)
    return folder


def _run(images: int, problems: int, classes: int, status: str) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "status": status,
        "name": "farm animals",
        "run_id": "2026-11-22T20-00-00Z",
        "started": "2026-11-22T20:00:00Z",
        "finished": "2026-11-22T20:04:05Z",
        "fingerprint": "ab" * 32,
        "device": "cpu",
        "seed": 0,
        "versions": {"torch": "2.10.0", "weasyprint": "70.0"},
        "hashes": {"model": "cd" * 32, "data": "ef" * 32, "manifest": "01" * 32},
        "counts": {
            "found": images + problems,
            "scored": images,
            "noted": problems // 3,
            "rejected": problems - problems // 3,
            "classes": classes,
        },
        "timings": {"score": 75.2, "cmv": 31.0, "report": None},
        "precision": "float32",
        "settings": {"saliency_method": "gradcam", "donors": 4, "resume": True, "crop": None},
    }


def _write_problems(path: Path, rows: int, names: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sample_id", "path", "label_name", "reason", "detail", "kind"])
        for i in range(rows):
            kind, reason = ("noted", "EXIF_ROTATED") if i % 3 == 2 else ("rejected", "DATA_CORRUPT")
            writer.writerow(
                [f"s{i}", f"a/{i}.png", names[i % len(names)], reason, "The file ends early.", kind]
            )


def _finding(
    folder: Path,
    label: int,
    name: str,
    verdict: str,
    names: Sequence[str],
    known: bool,
    simonyan: bool,
) -> dict[str, Any]:
    random = np.random.default_rng(label)
    gap = GAPS[verdict] + float(random.uniform(-0.02, 0.02)) if known else None
    other = names[(label + 1) % len(names)]
    masses = random.beta(3 if verdict == "suspect" else 6, 5, 40).tolist() if known else []
    kind = "none" if verdict != "suspect" else "victim" if label % 2 else "own_shortcut"
    return {
        "label": label,
        "label_name": name,
        "verdict": verdict,
        "kind": kind,
        "attractor": other if kind == "victim" else None,
        "contrast_class": other,
        "strength": "strong" if verdict == "suspect" else "none",
        "reasons": ["On another class's background the right class loses probability."],
        "advice": [] if verdict == "clear" else [f"Do what a {verdict} class with {kind} needs."],
        "images": 40,
        "scored": 40,
        "precision": 0.91,
        "recall": 0.875,
        "f1": None if verdict == "inconclusive" else 0.89,
        "mean_confidence": 0.83,
        **estimate("foreground_area", 0.18 if known else None, 0.02),
        **estimate("foreground_mass", float(np.mean(masses)) if known else None, 0.05),
        **estimate("mass_lift", 1.1 if known else None, 0.2),
        **estimate("background_gap", gap, 0.06),
        **estimate("margin_gap", gap, 0.09),
        **estimate("own_margin_gap", gap, 0.1),
        **estimate("attraction", 0.3 if known else None, 0.1),
        **estimate("background_only", None, 0.1),
        "p_value": 0.0001 if verdict == "suspect" else 0.4 if known else None,
        "q_value": 0.0004 if verdict == "suspect" else 0.6 if known else None,
        "witnesses": _witnesses(gap) if verdict != "inconclusive" else [],
        "confusions": [{"label_name": other, "count": 1, "share": 0.025}],
        "masses": masses,
        **_pictures(folder, label, name, other, verdict, known, simonyan),
    }


def _witnesses(gap: float | None) -> list[dict[str, Any]]:
    def one(name: str, value: float | None, unit: str, says: str) -> dict[str, Any]:
        low, high = (None, None) if value is None else (value - 0.08, value + 0.08)
        return {
            "name": name,
            "says": says,
            "value": value,
            "low": low,
            "high": high,
            "p_value": 0.002,
            "unit": unit,
            "explanation": "What it asks, in one sentence.",
        }

    return [
        one("Background swap", gap, "probability", "background"),
        one("Attraction", 0.31, "rate", "background"),
        one("Background only", None, "rate", "unclear"),
        one("Saliency", 0.8, "log-odds", "object"),
    ]


def _pictures(
    folder: Path, label: int, name: str, other: str, verdict: str, known: bool, simonyan: bool
) -> dict[str, Any]:
    def save(path: str, pixels: Any) -> str:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(to_png(pixels))
        return path

    roles = {"suspect": ("worst", "typical", "best", "mistaken"), "clear": ()}
    exhibits = []
    for place, role in enumerate(roles.get(verdict, ("worst",))):
        image, saliency, foreground = paint(100 * label + place)
        elsewhere, _, _ = paint(7919 + 100 * label + place)
        swapped = np.where(foreground[..., None], image, elsewhere)
        stem = f"exhibits/{label:04d}/{role}"
        mask = foreground if known else None
        exhibits.append(
            {
                "role": role,
                "rule": "loses most of the right class's probability on another background",
                "sample_id": f"{label:04d}-{place}",
                "label_name": name,
                "prediction_name": other if role == "mistaken" else name,
                "confidence": 0.97 - 0.1 * place,
                "foreground_area": 0.17 if known else None,
                "foreground_mass": 0.31 if known else None,
                "mass_lift": 0.9 if known else None,
                "pictures": {
                    "image": save(f"{stem}-image.png", image),
                    "overlay": save(f"{stem}-overlay.png", overlay(image, saliency, mask)),
                    "outline": save(f"{stem}-outline.png", outline(image, foreground))
                    if known
                    else None,
                    "swap": save(f"{stem}-swap.png", swapped) if known else None,
                },
                "swap": {
                    "donor_class": other,
                    "prediction_name": other,
                    "probability": 0.04,
                    "before": 0.97,
                }
                if known
                else None,
            }
        )
    random = np.random.default_rng(label)
    cues = _cues(save, label, name, other) if known and verdict == "suspect" else None
    recipes = ("robust", "simonyan") if simonyan else ("robust",)
    return {
        "exhibits": exhibits,
        "cues": cues,
        "mean_map": save(f"exhibits/{label:04d}/mean.png", mean_map([paint(label)[1]]))
        if verdict == "suspect"
        else None,
        "mean_map_images": 40,
        "cmv": [
            {
                "recipe": recipe,
                "objective": objective,
                "variant": 0,
                "failed": recipe == "simonyan",
                "strip": save(
                    f"cmv/{label:04d}.{recipe}-{objective}.steps.png",
                    np.full((16, 48, 3), 99, np.uint8),
                ),
                "strip_steps": [1, 8, 128],
                "transfer_rank": 3,
                "path": save(
                    f"cmv/{label:04d}.{recipe}-{objective}.png",
                    np.kron(
                        random.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1), dtype=np.int64)
                    ).astype(np.uint8),
                ),
                "probability": 0.99,
                "robust_probability": 0.63 if recipe == "robust" else 0.01,
                "note": "",
            }
            for recipe in recipes
            for objective in ("logit", "softmax")
        ],
    }


def _rates(name: str, hits: int, trials: int) -> dict[str, Any]:
    return {name: hits, **estimate(f"{name}_rate", hits / trials, 0.1)}


def _cues(save: Any, label: int, name: str, other: str) -> dict[str, Any]:
    """Two clusters, two donors, and a contrast that speaks one way only."""
    stem = f"cues/{label:04d}"
    image, saliency, _ = paint(100 * label)
    crops = [save(f"{stem}/cue-{i}.png", image[:24, 24 * i : 24 * i + 24]) for i in range(4)]
    donors = [save(f"{stem}/donor-{i}.png", paint(100 * label + i)[0]) for i in range(2)]
    return {
        "label": label,
        "label_name": name,
        "contrast_class": other,
        "images": 40,
        "contrast_images": 38,
        "features": "the input of the model's last layer, fc",
        "note": "Of 40 images looked at, 2 have too little background for a window.",
        "clusters": [
            {
                **_rates("seen", seen, 40),
                **_rates("contrast", 2, 38),
                "crops": [{"path": p, "sample_id": "a", "share": 0.1} for p in held],
            }
            for seen, held in ((31, crops[:3]), (7, crops[3:]))
        ],
        "donors": {
            "swaps": 120,
            **_rates("became", 40, 120),
            "victim": {"label_name": other, "swaps": 20, "became": 18},
            "tried": 14,
            "shown": [
                {"path": path, "sample_id": "b", "swaps": 7, **_rates("became", 5 - i, 7)}
                for i, path in enumerate(donors)
            ],
        },
        "between": {
            "sample_id": f"{label:04d}-0",
            "image": save(f"{stem}/between-image.png", image),
            "towards": save(f"{stem}/between-towards.png", overlay(image, saliency)),
            "away": None,
        },
    }


def _backgrounds(names: Sequence[str]) -> dict[str, Any]:
    """Each class turns some objects of the next one; the pair of the first two never met."""
    shown = range(min(12, len(names)))
    return {
        "classes": [
            {"label": i, "label_name": names[i], "swaps": 30, "lost": 3 * i % 30} for i in shown
        ],
        "cells": [
            {
                "label": i,
                "donor_label": j,
                "swaps": 8,
                "became_donor": (i * 3) % 9 if j == i + 1 else 0,
                "lost": 1,
            }
            for i in shown
            for j in shown
            if i != j and (i, j) != (1, 0)
        ],
        "left_out": max(0, len(names) - 12),
        "swaps": 200,
        "became_donor": 40,
        "became_donor_shown": 33,
    }
