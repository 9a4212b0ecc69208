"""The sections of a manifest and their keys: types, ranges and defaults."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from audit.colours import READABLE, contrast


class _Closed(BaseModel):
    """A section whose keys are all known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Open(BaseModel):
    """A section whose further keys are the options of the function that it names."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside the declared ones, as written."""
        return dict(self.model_extra or {})


class DatasetSection(_Open):
    """Which reader, and where it begins to read."""

    reader: str = "image_folder"
    root: str = "."


class ForegroundSection(_Open):
    """Where foregrounds come from; `source` None: from the reader's own masks or boxes, if any."""

    source: str | None = None
    doubt: float = Field(default=0.0, ge=0, le=0.25)
    """Width, in sides of the input, of the ring inside the outline that counts for neither side."""


class InputSection(_Closed):
    """Geometry and normalisation of the model's input; None: as the weights prescribe."""

    size: int | None = Field(default=None, ge=8, le=4096)
    resize: int | None = Field(default=None, ge=8, le=8192)
    crop: Literal["center", "none"] | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


class ModelSection(_Open):
    """Which loader, and what the input must look like."""

    loader: str = "torchvision"
    classes: str | None = None
    input: InputSection = InputSection()


class SaliencySection(_Closed):
    """Which method, what it explains, and the method's own options."""

    method: str = "gradcam"
    target: Literal["logit", "predicted", "contrast"] = "logit"
    options: dict[str, Any] = {}


class InterventionsSection(_Closed):
    """How many donors each image meets, and what fills the place of an object."""

    donors: int = Field(default=4, ge=1, le=32)
    fill: Literal["inpaint", "smooth", "mean", "blur"] = "inpaint"
    bank: int = Field(default=32, ge=2, le=512)
    also: tuple[Literal["noise", "shuffle"], ...] = ("noise", "shuffle")


class CmvSection(_Closed):
    """For which classes a class model visualization is made, and how."""

    classes: Literal["none", "suspect", "all"] | tuple[str, ...] = "all"
    objectives: tuple[Literal["logit", "softmax", "contrast", "diversity"], ...] = (
        "logit",
        "softmax",
    )
    recipes: tuple[Literal["robust", "maco", "simonyan"], ...] = ("robust", "simonyan")
    steps: int = Field(default=128, ge=1, le=4096)
    early: bool = True
    """Whether a class that is reached and stable ends before all steps are taken."""
    size: int | None = Field(default=None, ge=16, le=1024)
    transfer: ModelSection | None = None
    """A second model, which is asked what it sees in the pictures."""


class VerdictSection(_Closed):
    """The thresholds of the decision; changing them recomputes no score."""

    minimum_images: int = Field(default=20, ge=2)
    effect: float = Field(default=0.10, ge=0, le=1)
    strong_effect: float = Field(default=0.15, ge=0, le=1)
    fdr: float = Field(default=0.05, gt=0, lt=1)
    test: Literal["t", "sign_flip"] = "t"


class RunSection(_Closed):
    """How the work is done; of these only seed, precision and compile touch a score."""

    batch_size: Literal["auto"] | int = "auto"
    precision: Literal["auto", "float32", "bf16"] = "auto"
    compile: bool = False
    seed: int = Field(default=0, ge=0, lt=2**63)
    shard_size: int = Field(default=1024, ge=1)
    min_coverage: float = Field(default=0.95, ge=0, le=1)
    workers: int | None = Field(default=None, ge=1, le=256)

    @field_validator("batch_size")
    @classmethod
    def _positive(cls, value: str | int) -> str | int:
        if isinstance(value, int) and value < 1:
            raise ValueError("expected auto or a whole number >= 1")
        return value


class ReportSection(_Closed):
    """For whom the report is, in which formats it is rendered, and how it looks.

    The audience ``executive`` gets a shorter report; any other text is printed as it stands.
    """

    title: str | None = None
    owner: str | None = None
    audience: str | None = None
    formats: tuple[Literal["html", "pdf"], ...] = ("html", "pdf")
    language: Literal["en", "de"] = "en"
    paper: Literal["A4", "Letter"] = "A4"
    logo: str | None = None
    accent: str | None = None
    templates: str | None = None
    max_html_mb: float = Field(default=3.0, ge=1, le=1000)

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


class Manifest(_Closed):
    """One audit, declared.

    ``name``, ``dataset`` and ``model`` must be written; the rest has defaults that suit most
    users. Paths are relative to the folder of the file.
    """

    version: Literal[1] = 1
    name: str = Field(min_length=1, max_length=200)
    dataset: DatasetSection
    foreground: ForegroundSection = ForegroundSection()
    model: ModelSection
    saliency: SaliencySection = SaliencySection()
    interventions: InterventionsSection = InterventionsSection()
    cmv: CmvSection = CmvSection()
    verdict: VerdictSection = VerdictSection()
    run: RunSection = RunSection()
    report: ReportSection = ReportSection()
    gate: Literal["never", "suspect", "new"] = "never"

    folder: Path = Field(default=Path(), exclude=True)
    """Where the file lies; set by :func:`load_manifest`, never written in it."""
    source: str = Field(default="", exclude=True)
    """The text of the file with overrides applied and ``${ENV}`` still unexpanded."""

    def path(self, value: str | Path) -> Path:
        """Resolve a path of the manifest against its folder."""
        return (self.folder / Path(value).expanduser()).resolve()

    def scores_key(self) -> dict[str, Any]:
        """Everything in the manifest that a score depends on; thresholds are not among it."""
        chosen = self.model_dump(
            mode="json",
            include={"version", "dataset", "foreground", "model", "saliency", "interventions"},
        )
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
