"""FiftyOne's own format on disk: what was measured of each picture, its mask and its map.

A folder of the type ``fiftyone.types.FiftyOneDataset``: ``metadata.json`` is the document of the
dataset, ``samples.json`` holds one of each sample, both in MongoDB's Extended JSON; pictures lie in
``data/``, masks and maps in ``fields/``. The package itself is not needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image

from audit.errors import RunFolderError
from audit.exports.fiftyone_fields import FOREGROUND, NUMBERS, SALIENCY, VERSION, sample_fields
from audit.findings import ClassFinding, Findings, RunFacts, read_facts, read_findings
from audit.run_folder import RunFolder, file_slug, write_bytes, write_json

FORMAT: Final = "fiftyone"
"""In the manifest's ``report.formats``."""
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


def write_documents(run: RunFolder) -> Path:
    """Write ``metadata.json`` and ``samples.json`` from what the run found; returns the folder.

    Raises
    ------
    RunFolderError
        There are no pictures: maps are not stored, and need the model.
    """
    folder = run.fiftyone
    scores = pd.read_parquet(run.scores)
    drawn = {path.name for path in (folder / FIELDS / SALIENCY).glob("*.png")}
    rows = [row for row in range(len(scores)) if picture_name(row) in drawn]
    if not rows:
        raise RunFolderError(
            f"{run.path}: report.formats has fiftyone, but no maps lie here, and they need the "
            "model: `run` the same manifest into this folder with this format; only what is "
            "missing is made."
        )
    findings, facts = read_findings(run.findings), read_facts(run.run_json)
    pictures = {row: _picture_of(folder, picture_name(row)) for row in rows}
    samples = sample_documents(scores, findings, facts, pictures)
    write_json(folder / "metadata.json", dataset_document(findings, facts, len(samples)))
    # One line a sample: FiftyOne reads a large file in pieces.
    lines = ",\n".join(json.dumps(sample, allow_nan=False) for sample in samples)
    write_bytes(folder / "samples.json", ('{"samples": [\n' + lines + "\n]}\n").encode())
    return folder


def _picture_of(folder: Path, name: str) -> Picture:
    with Image.open(folder / DATA / name, formats=("PNG",)) as image:
        height, width = image.height, image.width
    return Picture(height, width, (folder / FIELDS / FOREGROUND / name).exists())


def dataset_document(findings: Findings, facts: RunFacts, count: int) -> dict[str, Any]:
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
) -> list[dict[str, Any]]:
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
    held: pd.Series,
    finding: ClassFinding | None,
    facts: RunFacts,
    picture: Picture,
) -> dict[str, Any]:
    audit_id, name = str(held["sample_id"]), picture_name(row)
    label = int(held["label"])
    document: dict[str, Any] = {
        "_id": _object_id(facts.run_id, audit_id),
        "filepath": f"{DATA}/{name}",
        "tags": [],
        "metadata": {
            "_cls": "ImageMetadata",
            "size_bytes": None,
            "mime_type": "image/png",
            "width": picture.width,
            "height": picture.height,
            "num_channels": 3,
        },
        "_media_type": "image",
        "_rand": int(hashlib.sha256(audit_id.encode()).hexdigest()[:12], 16) / 16**12,
        "audit_id": audit_id,
        "status": str(held["status"]),
    }

    def labelled(field: str, kind: str, **values: Any) -> None:
        identity = _object_id(facts.run_id, audit_id, field)
        document[field] = {"_id": identity, "_cls": kind, "tags": [], **values}

    labelled("ground_truth", "Classification", label=str(held["label_name"]))
    if pd.notna(held["prediction"]):
        answer = facts.class_names[int(held["prediction"])]
        confidence = _number(held.get("confidence"))
        labelled("prediction", "Classification", label=answer, confidence=confidence)
    if finding is not None:
        labelled("verdict", "Classification", label=finding.verdict.value)
        document["kind"] = finding.kind.value
    if picture.has_mask:
        labelled(FOREGROUND, "Segmentation", mask_path=f"{FIELDS}/{FOREGROUND}/{name}")
    labelled(SALIENCY, "Heatmap", map_path=f"{FIELDS}/{SALIENCY}/{name}", range=[0, 255])
    measured = {
        **{field: held.get(field) for field in NUMBERS[:4]},
        "swap_same_right": _right(held.get("swap_same_predictions"), label),
        "swap_other_right": _right(held.get("swap_other_predictions"), label),
    }
    return document | {field: _number(value) for field, value in measured.items()}


def _right(answers: Any, label: int) -> float | None:
    """Share of swaps that are answered rightly; None where there were none."""
    if answers is None or not isinstance(answers, Sequence | np.ndarray) or not len(answers):
        return None
    return float(np.mean(np.asarray(answers) == label))


def _number(value: Any) -> float | None:
    """A finite number, or None: JSON has no NaN."""
    return None if value is None or not np.isfinite(float(value)) else float(value)


def _object_id(*parts: str) -> dict[str, str]:
    """An ObjectId in Extended JSON, the same for the same thing in every export."""
    return {"$oid": hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]}
