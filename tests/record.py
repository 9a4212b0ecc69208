"""Builders of the record for tests: one finding, and all of a run."""

from __future__ import annotations

from collections import Counter
from typing import Any

from audit.findings import (
    AuditFacts,
    ClassFinding,
    Code,
    Control,
    ControlName,
    Findings,
    ForegroundFacts,
    Reason,
    Summary,
    Thresholds,
    Verdict,
)


def finding(name: str, verdict: Verdict = Verdict.CLEAR, **more: Any) -> ClassFinding:
    """A class of 24 images, all recognised."""
    held = {"label": 0, "images": 24, "scored": 24, "judged": 24, "coverage": 1.0}
    rates = dict.fromkeys(("precision", "recall", "f1", "mean_confidence"), 1.0)
    return ClassFinding(**{**held, **rates, "label_name": name, "verdict": verdict, **more})


def findings(*classes: ClassFinding, **more: Any) -> Findings:
    """The record of a complete run with masks."""
    counts = Counter(f.verdict for f in classes)
    images = sum(f.images for f in classes)
    held: dict[str, Any] = {
        "run_id": "2026-11-26T00:00:00Z-0123abcd",
        "audit": AuditFacts(
            name="farm animals", dataset="images", model="resnet18", foreground="mask_file"
        ),
        "summary": Summary(
            classes=len(classes),
            **{verdict.value: counts[verdict] for verdict in Verdict},
            gate="never",
            gate_passed=True,
            complete=True,
            images=images,
            scored=images,
            judged=images,
            coverage=1.0,
            accuracy=1.0,
        ),
        "thresholds": Thresholds(
            minimum_images=20,
            effect=0.10,
            strong_effect=0.15,
            fdr=0.05,
            test="t",
            decisions=0.10,
            victim_floor=0.23,
            min_coverage=0.95,
        ),
        "controls": (
            Control(
                name=ControlName.NEGATIVE,
                found=Reason(code=Code.CLASSES_FLAGGED, values={"flagged": 0, "of": len(classes)}),
                passed=True,
            ),
        ),
        "limits": (Reason(code=Code.LIMIT_SHARED_BACKGROUND),),
        "foreground_quality": ForegroundFacts(source="mask_file", coverage=1.0),
        "findings": classes,
    }
    return Findings(**{**held, **more})
