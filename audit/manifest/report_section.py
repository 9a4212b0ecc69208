"""The section of a manifest that says what the report looks like."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from audit.colours import READABLE, contrast
from audit.manifest.keys import ClosedSection


class ReportSection(ClosedSection):
    """For whom the report is, in which formats it is rendered, and how it looks."""

    title: str | None = None
    """Title of the report; without it the audit's name."""
    owner: str | None = None
    """Who answers for the model; printed on page one."""
    audience: str | None = None
    """`executive` gets a shorter report; any other text is printed as it stands."""
    formats: tuple[Literal["html", "pdf", "junit", "sarif", "cyclonedx", "fiftyone"], ...] = (
        "html",
        "pdf",
    )
    """What is written; an empty list writes nothing. Beside the report: JUnit XML for a CI, SARIF
    for code scanning, a CycloneDX bill of materials with the model card, and a folder that FiftyOne
    opens, with verdicts, masks and maps."""
    language: Literal["en", "de"] = "en"
    """Of texts and numbers."""
    paper: Literal["A4", "Letter"] = "A4"
    """Of the PDF."""
    logo: str | None = None
    """A PNG, JPEG or WebP beside the manifest."""
    accent: str | None = None
    """A colour as `#rrggbb`; refused where it could not be read on white."""
    templates: str | None = None
    """A folder of your own partials, named as those in `report_templates`."""
    public_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where others can open the folder that holds the runs, or what lies at `publish`; links in
    Prefect lead there."""
    publish: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9+.-]*://")
    """Where reports, exports and findings are copied at the end of a run, below a folder a run:
    `s3://bucket/audits`, `file:///srv/audits`, any address that fsspec knows."""
    artifact_pictures: bool = True
    """Whether a run's page in Prefect shows small pictures of suspect classes, which its server
    then keeps."""
    max_html_mb: float = Field(default=3.0, ge=1, le=1000)
    """Size of the page, in megabytes; pictures beyond it lie in a folder beside the page."""

    @field_validator("accent")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            raise ValueError("expected a colour as '#rrggbb', in quotes")
        found = contrast(value, "#ffffff")
        if found < READABLE:
            raise ValueError(
                f"expected a colour that can be read on white (contrast {READABLE} or more; "
                f"this one has {found:.1f})"
            )
        return value.lower()
