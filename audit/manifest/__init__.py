"""The manifest: one YAML file that declares an audit, typed, frozen and checked."""

from __future__ import annotations

from audit.manifest.manifest import Manifest, fingerprint
from audit.manifest.reading import load_manifest
from audit.manifest.report_section import ReportSection
from audit.manifest.sections import DatasetSection, ForegroundSection, InputSection, ModelSection
from audit.manifest.work_sections import (
    CmvSection,
    InterventionsSection,
    RunnerSection,
    RunSection,
    SaliencySection,
    VerdictSection,
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
    "RunnerSection",
    "SaliencySection",
    "VerdictSection",
    "fingerprint",
    "load_manifest",
]
