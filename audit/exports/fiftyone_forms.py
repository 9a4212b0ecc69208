"""The form of FiftyOne's documents, in MongoDB's Extended JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from audit.exports.fiftyone_fields import FieldDocument

ObjectId = TypedDict("ObjectId", {"$oid": str})
"""In Extended JSON."""


class RunInfo(TypedDict):
    """What the run was, shown beside the dataset."""

    audit: str
    run_id: str
    model: str
    model_sha256: str
    samples_exported: int
    verdicts: Mapping[str, str]


class DatasetDocument(TypedDict):
    """What ``metadata.json`` holds."""

    _id: ObjectId
    name: str
    slug: str
    version: str
    persistent: bool
    media_type: str
    group_media_types: Mapping[str, str]
    tags: Sequence[str]
    info: RunInfo
    app_config: Mapping[str, object]
    classes: Mapping[str, Sequence[str]]
    default_classes: Sequence[str]
    mask_targets: Mapping[str, Mapping[str, str]]
    default_mask_targets: Mapping[str, str]
    skeletons: Mapping[str, object]
    sample_fields: Sequence[FieldDocument]
    frame_fields: Sequence[FieldDocument]
    saved_views: Sequence[object]
    workspaces: Sequence[object]
    annotation_runs: Mapping[str, object]
    brain_methods: Mapping[str, object]
    evaluations: Mapping[str, object]
    runs: Mapping[str, object]


class ImageMetadata(TypedDict):
    """Of a picture."""

    _cls: str
    size_bytes: int | None
    mime_type: str
    width: int
    height: int
    num_channels: int


class LabelDocument(TypedDict):
    """A ``Classification``, ``Segmentation`` or ``Heatmap``, as `_cls` says."""

    _id: ObjectId
    _cls: str
    tags: Sequence[str]
    label: NotRequired[str]
    confidence: NotRequired[float | None]
    mask_path: NotRequired[str]
    map_path: NotRequired[str]
    range: NotRequired[Sequence[float]]


class SampleDocument(TypedDict):
    """One sample of ``samples.json``; null is what was not measured."""

    _id: ObjectId
    filepath: str
    tags: Sequence[str]
    metadata: ImageMetadata
    _media_type: str
    _rand: float
    audit_id: str
    status: str
    ground_truth: LabelDocument
    saliency: LabelDocument
    prediction: NotRequired[LabelDocument]
    verdict: NotRequired[LabelDocument]
    kind: NotRequired[str]
    foreground: NotRequired[LabelDocument]
    margin: float | None
    foreground_area: float | None
    foreground_mass: float | None
    mass_lift: float | None
    swap_same_right: float | None
    swap_other_right: float | None
