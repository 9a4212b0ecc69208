"""The fields of a sample as FiftyOne's own documents describe them (``SampleFieldDocument``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

VERSION: Final = "1.0.0"
"""Of the form of the documents; a later FiftyOne brings them up to its own."""
FOREGROUND: Final = "foreground"
SALIENCY: Final = "saliency"
NUMBERS = (
    "margin",
    "foreground_area",
    "foreground_mass",
    "mass_lift",
    "swap_same_right",
    "swap_other_right",
)
"""Fields of a sample that are numbers; null where nothing was measured."""


class FieldDocument(TypedDict):
    """A ``SampleFieldDocument``: the description of one field."""

    name: str
    ftype: str
    embedded_doc_type: str | None
    subfield: str | None
    fields: list[FieldDocument]
    db_field: str
    description: str | None
    info: Mapping[str, str] | None
    read_only: bool
    created_at: str | None


_FIELDS = "fiftyone.core.fields."
_LABELS = "fiftyone.core.labels."
_METADATA = "fiftyone.core.metadata."


def _field(
    name: str,
    kind: str,
    document: str | None = None,
    subfield: str | None = None,
    fields: Sequence[FieldDocument] = (),
    db_field: str | None = None,
    read_only: bool = False,
) -> FieldDocument:
    return {
        "name": name,
        "ftype": _FIELDS + kind,
        "embedded_doc_type": document,
        "subfield": None if subfield is None else _FIELDS + subfield,
        "fields": list(fields),
        "db_field": db_field or name,
        "description": None,
        "info": None,
        "read_only": read_only,
        "created_at": None,
    }


def _label(name: str, kind: str, *fields: FieldDocument) -> FieldDocument:
    inner = (
        _field("id", "ObjectIdField", db_field="_id"),
        _field("tags", "ListField", subfield="StringField"),
        *fields,
    )
    return _field(name, "EmbeddedDocumentField", _LABELS + kind, fields=inner)


def _classification(name: str) -> FieldDocument:
    return _label(
        name,
        "Classification",
        _field("label", "StringField"),
        _field("confidence", "FloatField"),
        _field("logits", "VectorField"),
    )


def sample_fields() -> list[FieldDocument]:
    """The schema of a sample, what every FiftyOne dataset has first."""
    metadata = (
        _field("size_bytes", "IntField"),
        _field("mime_type", "StringField"),
        _field("width", "IntField"),
        _field("height", "IntField"),
        _field("num_channels", "IntField"),
    )
    mask = (_field("mask", "ArrayField"), _field("mask_path", "StringField"))
    heat = (
        _field("map", "ArrayField"),
        _field("map_path", "StringField"),
        _field("range", "HeatmapRangeField", subfield="FloatField"),
    )
    return [
        _field("id", "ObjectIdField", db_field="_id"),
        _field("filepath", "StringField"),
        _field("tags", "ListField", subfield="StringField"),
        _field("metadata", "EmbeddedDocumentField", _METADATA + "ImageMetadata", fields=metadata),
        *(_field(n, "DateTimeField", read_only=True) for n in ("created_at", "last_modified_at")),
        _field("_media_type", "StringField"),
        _field("_rand", "FloatField"),
        _field("_dataset_id", "ObjectIdField"),
        *(_field(name, "StringField") for name in ("audit_id", "status", "kind")),
        *(_classification(name) for name in ("ground_truth", "prediction", "verdict")),
        _label(FOREGROUND, "Segmentation", *mask),
        _label(SALIENCY, "Heatmap", *heat),
        *(_field(name, "FloatField") for name in NUMBERS),
    ]
