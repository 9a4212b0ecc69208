"""The manifest: one YAML file that declares an audit, typed, frozen and checked."""

from __future__ import annotations

from audit.manifest.reading import load_manifest
from audit.manifest.sections import (
    CmvSection,
    DatasetSection,
    ForegroundSection,
    InputSection,
    InterventionsSection,
    Manifest,
    ModelSection,
    ReportSection,
    RunSection,
    SaliencySection,
    VerdictSection,
    fingerprint,
)

__all__ = [
    "CmvSection",
    "DatasetSection",
    "ForegroundSection",
    "InputSection",
    "InterventionsSection",
    "Manifest",
    "ModelSection",
    "ReportSection",
    "RunSection",
    "SaliencySection",
    "VerdictSection",
    "fingerprint",
    "load_manifest",
]
