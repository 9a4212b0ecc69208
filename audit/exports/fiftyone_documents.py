"""FiftyOne's own documents, in MongoDB's Extended JSON: of a dataset and of each of its samples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from audit.exports.fiftyone_fields import (
    FOREGROUND,
    SALIENCY,
    VERSION,
    sample_fields,
)
from audit.exports.fiftyone_forms import (
    DatasetDocument,
    ImageMetadata,
    LabelDocument,
    ObjectId,
    SampleDocument,
)
from audit.findings import ClassFinding, Findings, RunFacts
from audit.run_folder import file_slug

DATA: Final = "data"
FIELDS: Final = "fields"
OBJECT, IGNORED = 255, 128
"""Values of a mask; 0 is the background."""


@dataclass(frozen=True)
class Picture:
    """The picture of a sample: its size in pixels, and whether a mask lies beside it."""

    height: int
    width: int
    has_mask: bool


def picture_name(row: int) -> str:
    """Name of a sample's picture, mask and map, by its row in the list of samples.

    Examples
    --------
    >>> picture_name(12)
    '0000012.png'
    """
    return f"{row:07d}.png"


def dataset_document(findings: Findings, facts: RunFacts, count: int) -> DatasetDocument:
    """What ``metadata.json`` holds: the fields of the samples, and what the run was.

    Parameters
    ----------
    findings, facts : Findings, RunFacts
        Of one run.
    count : int
        Samples that are exported, of all that were audited.
    """
    classes = list(facts.class_names)
    name = f"{file_slug(findings.audit.name)}-{facts.run_id}"
    return {
        "_id": _object_id(facts.run_id),
        "name": name,
        "slug": file_slug(name),
        "version": VERSION,
        "persistent": False,
        "media_type": "image",
        "group_media_types": {},
        "tags": [],
        "info": {
            "audit": findings.audit.name,
            "run_id": facts.run_id,
            "model": facts.model_name,
            "model_sha256": facts.hashes.model,
            "samples_exported": count,
            "verdicts": {f.label_name: f.verdict.value for f in findings.findings},
        },
        "app_config": {},
        "classes": {"ground_truth": classes, "prediction": classes},
        "default_classes": [],
        "mask_targets": {FOREGROUND: {str(OBJECT): "object", str(IGNORED): "ignored"}},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": sample_fields(),
        "frame_fields": [],
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }


def sample_documents(
    scores: pd.DataFrame, findings: Findings, facts: RunFacts, pictures: Mapping[int, Picture]
) -> list[SampleDocument]:
    """What ``samples.json`` holds below ``samples``.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    findings, facts : Findings, RunFacts
        Of the run.
    pictures : mapping of int to Picture
        By row.
    """
    by_label = {finding.label: finding for finding in findings.findings}
    return [
        _sample(row, scores.iloc[row], by_label.get(int(scores["label"].iloc[row])), facts, picture)
        for row, picture in pictures.items()
    ]


def _sample(
    row: int,
    scored: pd.Series,
    finding: ClassFinding | None,
    facts: RunFacts,
    picture: Picture,
) -> SampleDocument:
    audit_id, name = str(scored["sample_id"]), picture_name(row)
    label = int(scored["label"])

    def labelled(field: str, kind: str) -> LabelDocument:
        return {"_id": _object_id(facts.run_id, audit_id, field), "_cls": kind, "tags": []}

    right = (_right(scored.get(f"swap_{side}_predictions"), label) for side in ("same", "other"))
    heat = labelled(SALIENCY, "Heatmap")
    truth = labelled("ground_truth", "Classification")
    document: SampleDocument = {
        "_id": _object_id(facts.run_id, audit_id),
        "filepath": f"{DATA}/{name}",
        "tags": [],
        "metadata": _metadata(picture),
        "_media_type": "image",
        "_rand": int(hashlib.sha256(audit_id.encode()).hexdigest()[:12], 16) / 16**12,
        "audit_id": audit_id,
        "status": str(scored["status"]),
        "ground_truth": {**truth, "label": str(scored["label_name"])},
        "saliency": {**heat, "map_path": f"{FIELDS}/{SALIENCY}/{name}", "range": [0, 255]},
        "margin": _number(scored.get("margin")),
        "foreground_area": _number(scored.get("foreground_area")),
        "foreground_mass": _number(scored.get("foreground_mass")),
        "mass_lift": _number(scored.get("mass_lift")),
        "swap_same_right": next(right),
        "swap_other_right": next(right),
    }
    if pd.notna(scored["prediction"]):
        document["prediction"] = answer = labelled("prediction", "Classification")
        answer["label"] = facts.class_names[int(scored["prediction"])]
        answer["confidence"] = _number(scored.get("confidence"))
    if finding is not None:
        document["verdict"] = word = labelled("verdict", "Classification")
        word["label"], document["kind"] = finding.verdict.value, finding.kind.value
    if picture.has_mask:
        document["foreground"] = mask = labelled(FOREGROUND, "Segmentation")
        mask["mask_path"] = f"{FIELDS}/{FOREGROUND}/{name}"
    return document


def _metadata(picture: Picture) -> ImageMetadata:
    return {
        "_cls": "ImageMetadata",
        "size_bytes": None,
        "mime_type": "image/png",
        "width": picture.width,
        "height": picture.height,
        "num_channels": 3,
    }


def _right(answers: Any, label: int) -> float | None:
    """Share of swaps that are answered rightly; None where there were none."""
    if answers is None or not isinstance(answers, Sequence | np.ndarray) or not len(answers):
        return None
    return float(np.mean(np.asarray(answers) == label))


def _number(value: Any) -> float | None:
    """A finite number, or None: JSON has no NaN."""
    return None if value is None or not np.isfinite(float(value)) else float(value)


def _object_id(*parts: str) -> ObjectId:
    """An ObjectId in Extended JSON, the same for the same thing in every export."""
    return {"$oid": hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]}
