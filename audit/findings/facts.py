"""``run.json``: what ran, when, on what, and how it ended."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from audit.findings.record import SCHEMA_VERSION, EstimatorFacts, Summary
from audit.findings.values import Number, Record, RunStatus, Share

Settings = dict[str, str | int | float | bool | None]
"""What the scores were made with, in the order in which a reader should meet it."""


class Counts(Record):
    """The samples of a run in counts."""

    found: int = Field(default=0, ge=0)
    scored: int = Field(default=0, ge=0)
    noted: int = Field(default=0, ge=0)
    rejected: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)
    classes: int = Field(default=0, ge=0)


class Hashes(Record):
    """Sha256 of what went in: weights, images, manifest."""

    model: str = ""
    data: str = ""
    manifest: str = ""
    settings: str = ""
    """Of all else that a verdict or a page depends on; runs of before have none."""


class RunFacts(Record):
    """``run.json``; written by one process alone, the driver of the run."""

    schema_version: Literal[2] = SCHEMA_VERSION
    status: RunStatus
    name: str
    run_id: str
    started: str
    finished: str | None = None
    fingerprint: str
    shard_size: int = Field(ge=1)
    device: str
    seed: int
    precision: str
    versions: dict[str, str]
    hashes: Hashes = Hashes()
    timings: dict[str, Number] = Field(default_factory=dict)
    counts: Counts = Counts()
    class_names: tuple[str, ...]
    labels: dict[int, str]
    foreground_source: str
    estimator: EstimatorFacts | None = None
    model_name: str
    limit: int | None = None
    probe_accuracy: Share = None
    settings: Settings = Field(default_factory=dict)
    compiled: bool | None = None
    summary: Summary | None = None
    confirmed: tuple[str, ...] = ()
    """When later runs found that nothing had changed, and ended with this one's findings."""
    published: str | None = None
    """The address of the folder with the reports, where `report.publish` asked for it."""
    publish_error: str | None = None
    """Why there is none."""
