"""The manifest as a whole, and what of it a score depends on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from audit.declared import declared_path
from audit.manifest.keys import ClosedSection
from audit.manifest.report_section import ReportSection
from audit.manifest.sections import DatasetSection, ForegroundSection, ModelSection
from audit.manifest.work_sections import (
    CmvSection,
    InterventionsSection,
    RunSection,
    SaliencySection,
    VerdictSection,
)

_SWAPPED = 50
_MORE = 2
"""Times the images that met donors at first."""
_OF_VERDICTS = ("second_outline", "second_estimator", "second_threshold", "reference")
"""Keys of `foreground` that touch no score."""


class Manifest(ClosedSection):
    """One audit, declared.

    ``name``, ``dataset`` and ``model`` must be written; the rest has defaults that suit most
    users. Paths are relative to the folder of the file.
    """

    version: Literal[1] = 1
    """Of this format."""
    name: str = Field(min_length=1, max_length=200)
    """Of the audit; without `--out` its runs lie below `runs/<name>/`."""
    relative_to: str | None = None
    """The folder that all paths begin at, relative to the file; without it the file's own."""
    dataset: DatasetSection
    """Where the images are."""
    foreground: ForegroundSection = ForegroundSection()
    """Where the objects in them are."""
    model: ModelSection
    """What is audited."""
    saliency: SaliencySection = SaliencySection()
    """How maps are made."""
    interventions: InterventionsSection = InterventionsSection()
    """How backgrounds are exchanged."""
    cmv: CmvSection = CmvSection()
    """Class model visualizations."""
    verdict: VerdictSection = VerdictSection()
    """When a class is suspect."""
    run: RunSection = RunSection()
    """How the work is done."""
    report: ReportSection = ReportSection()
    """What the report looks like."""
    gate: Literal["never", "suspect", "new", "worsened"] = "never"
    """When `run` ends with exit code 3: never; where a class is suspect; where one is that was not
    in the run before; or where one, in addition, got worse. A waived class passes."""
    gate_after: int = Field(default=2, ge=1, le=10)
    """Audits in a row that must call a class suspect before gate and events answer, where not all
    of its images are those of the run before; 2 keeps a year of weekly audits quiet
    (`docs/schedule.md`). A first run, and one on the same images, answers at once."""

    folder: Path = Field(default=Path(), exclude=True)
    """Where the file lies; set by :func:`load_manifest`, never written in it."""
    source: str = Field(default="", exclude=True)
    """The text of the file with overrides applied and ``${ENV}`` still unexpanded."""

    @model_validator(mode="after")
    def _enough_for_a_verdict(self) -> Manifest:
        swapped, needed = self.interventions.images, self.verdict.minimum_images
        if isinstance(swapped, int) and swapped < needed:
            raise ValueError(
                f"interventions.images: {swapped} images a class would meet donors, and "
                f"verdict.minimum_images asks for {needed}: every class would be inconclusive"
            )
        return self

    @property
    def swapped_images(self) -> int | None:
        """Images of a class that meet donors at most; None: all of them."""
        asked = self.interventions.images
        if asked == "auto":
            return max(_SWAPPED, self.verdict.minimum_images)
        return None if asked == "all" else asked

    def path(self, value: str | Path, key: str = "manifest") -> Path:
        """Resolve a path of the manifest against its folder; see :func:`declared_path`."""
        return declared_path(self.folder, value, key)

    @property
    def more_images(self) -> int:
        """Further images of an undecided class that meet donors at most."""
        asked, first = self.interventions.more, self.swapped_images
        if first is None:
            return 0
        return _MORE * first if asked == "auto" else int(asked)

    def scores_key(self) -> dict[str, object]:
        """Everything in the manifest that a score depends on; thresholds are not among it."""
        chosen = self.model_dump(
            mode="json",
            include={"version", "dataset", "foreground", "model", "saliency", "interventions"},
        )
        for name in _OF_VERDICTS:
            chosen["foreground"].pop(name, None)
        chosen["saliency"].pop("checked")
        # Further images have a table of their own.
        del chosen["interventions"]["more"]
        if self.dataset.only is None:
            # Runs of before there was such a key go on.
            del chosen["dataset"]["only"]
        # "auto" is a number, which the least that a verdict needs may raise.
        chosen["interventions"]["images"] = self.swapped_images
        run = self.run
        return {**chosen, "seed": run.seed, "precision": run.precision, "compile": run.compile}


def fingerprint(*parts: Any) -> str:
    """Sha256 over the canonical JSON of `parts`, as 64 hexadecimal digits.

    Examples
    --------
    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
