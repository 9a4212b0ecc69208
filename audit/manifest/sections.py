"""The sections of a manifest and their keys: types, ranges and defaults."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from audit.colours import READABLE, contrast
from audit.declared import declared_path


class _Section(BaseModel):
    """Keys of a manifest; true and false are no numbers, and nothing else is true or false."""

    @field_validator("*", mode="before")
    @classmethod
    def _true_and_false(cls, value: Any, info: ValidationInfo) -> Any:
        expected = cls.model_fields[info.field_name or ""].annotation
        if bool not in (expected, *get_args(expected)):
            held = value if isinstance(value, (list, tuple)) else [value]
            if any(isinstance(item, bool) for item in held):
                raise ValueError("expected a number or text")
            return value
        if not isinstance(value, bool) and value not in ("true", "false"):
            raise ValueError("expected true or false")
        # A variable of the environment is text.
        return value if isinstance(value, bool) else value == "true"


class _Closed(_Section):
    """A section whose keys are all known."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class _Open(_Section):
    """A section whose further keys are the options of the function that it names."""

    model_config = ConfigDict(
        frozen=True, extra="allow", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @property
    def options(self) -> dict[str, object]:
        """The keys beside the declared ones, as written."""
        return dict(self.model_extra or {})


class DatasetSection(_Open):
    """Which reader, and where it begins to read."""

    reader: str = "image_folder"
    """Key of `READERS`, or `"package.module:function"`."""
    root: str = "."
    """The folder in which the reader begins, relative to the manifest."""
    only: str | None = None
    """A CSV with a column `sample_id`, relative to the manifest: only these samples are audited."""


class ForegroundSection(_Open):
    """Where foregrounds come from; `source` None: from the reader's own masks or boxes, if any."""

    source: str | None = None
    """Key of `FOREGROUNDS`, `none`, or `"package.module:function"`; without it the masks or boxes
    that the reader itself finds."""
    second_outline: Literal["auto", "always", "never"] = "auto"
    """Whether a suspicion must survive other outlines: one drawn wider by 1/8 of the side, and of
    estimates a second one. `always`: the same rule must call the class suspect again; `auto`: so
    with estimates, boxes and doubtful masks, while by other masks a suspicion falls where the wider
    outline leaves less than half of the floor; `never`: it is not asked."""
    second_estimator: str | dict[str, object] | None = None
    """A network whose outlines of suspect classes are the second ones, written like `estimator` of
    the source [estimated](foregrounds/estimated.md), such as `u2netp`: also beside masks and boxes.
    Classes whose own outlines agree with them by less than 0.7 must be called suspect again."""
    boundary_tolerance: float = Field(default=0.0, ge=0, le=0.25)
    """Width, in sides of the input, of the band inside the outline that counts for neither side."""


_SWAPPED = 50
_OF_VERDICTS = ("second_outline", "second_estimator", "second_threshold", "reference")
"""Keys of `foreground` that touch no score."""


class InputSection(_Closed):
    """Geometry and normalisation of the model's input; None: as the weights prescribe."""

    size: int | None = Field(default=None, ge=8, le=4096)
    """Side of the model's square input, in pixels."""
    resize: int | None = Field(default=None, ge=8, le=8192)
    """Length of the shorter side before the crop, in pixels; unused with `crop: none`."""
    crop: Literal["center", "none"] | None = None
    """`center`: the middle of the resized image; `none`: the whole image, squeezed."""
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = None
    """How images are resized; masks are always resampled to the nearest pixel."""
    mean: tuple[float, float, float] | tuple[float] | None = None
    """Subtracted from red, green and blue in 0..1; one number for a network of grey images."""
    std: tuple[float, float, float] | tuple[float] | None = None
    """Divides red, green and blue after that; one number likewise."""


class ModelSection(_Open):
    """Which loader, and what the input must look like."""

    loader: str = "torchvision"
    """Key of `MODELS`, or `"package.module:function"`."""
    classes: str | None = None
    """A file with one class name a line, in the order of the model's outputs; without it the names
    that the weights bring."""
    outputs: Literal["logits", "probabilities", "log_probabilities"] = "logits"
    """What the network returns. Of probabilities the logarithm is taken: the same softmax, the same
    margins."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
    """Of the weights file, as `sha256sum` prints it; another file is refused."""
    input: InputSection = InputSection()
    """What the model was trained with."""


class SaliencySection(_Closed):
    """Which method, what it explains, and the method's own options."""

    method: str = "gradcam"
    """One of [these methods](saliency.md), or `"package.module:function"`."""
    target: Literal["logit", "predicted", "contrast"] = "logit"
    """What a map explains: the label's class score; that of the class with the highest score; the
    label's less the best other one."""
    options: dict[str, object] = {}
    """The method's own options."""
    checked: bool = True
    """Whether a few maps are tried: on networks that forget, layer by layer, what they learned;
    against chance; and against other methods."""


class InterventionsSection(_Closed):
    """How many donors each image meets, and what fills the place of an object."""

    donors: int = Field(default=4, ge=1, le=32)
    """Images of its own class, and as many of other classes, whose backgrounds each image meets."""
    images: Literal["auto", "all"] | int = "auto"
    """Images of a class that meet donors, 2 or more: a seeded choice, whatever else is in the
    dataset. `auto`: 50, or as many as a verdict needs; every image has its map and score."""
    fill: Literal["inpaint", "smooth", "mean", "blur"] = "inpaint"
    """What fills the place of a donor's object: texture from around it; a smooth guess; the mean
    colour; a blur."""
    bank: int = Field(default=32, ge=2, le=512)
    """Images a class that lend their backgrounds, at most."""
    extra: tuple[Literal["noise", "shuffle"], ...] = ("noise", "shuffle")
    """Further experiments, as indicators: noise on either side, a shuffled background."""

    @field_validator("images")
    @classmethod
    def _several(cls, value: str | int) -> str | int:
        if isinstance(value, int) and value < 2:
            raise ValueError(f"expected auto, all, or a number of at least 2, found {value}")
        return value


class CmvSection(_Closed):
    """For which classes a class model visualization is made, and how."""

    classes: Literal["none", "suspect", "all"] | tuple[str, ...] = "all"
    """For which classes: `none`, `suspect`, `all`, or a list of names."""
    objectives: tuple[Literal["logit", "softmax", "contrast", "diversity"], ...] = (
        "logit",
        "softmax",
    )
    """What is climbed: the class score; its posterior; the class score less that of the class it is
    most confused with; the class score of four pictures that differ."""
    recipes: tuple[Literal["robust", "maco", "simonyan"], ...] = ("robust",)
    """How it is climbed, and what keeps the picture natural."""
    steps: int = Field(default=128, ge=1, le=4096)
    """Steps of the optimiser, at most."""
    early: bool = True
    """Whether a class that is reached and stable ends before all steps are taken."""
    size: int | None = Field(default=None, ge=16, le=1024)
    """Side of the pictures in pixels; without it that of the model's input, or 128 where that is
    smaller and the model answers most of 16 images alike at both."""
    transfer: ModelSection | None = None
    """A second model, written like `model`, which is asked what it sees in the pictures."""


class VerdictSection(_Closed):
    """The thresholds of the decision; changing them recomputes no score."""

    minimum_images: int = Field(default=20, ge=2)
    """Images that must have met donors of both kinds; a class with fewer is `inconclusive`."""
    effect: float = Field(default=0.10, ge=0, le=1)
    """The floor: probability of the right class that must be lost for the word `suspect`."""
    strong_effect: float = Field(default=0.15, ge=0, le=1)
    """From here on a loss counts although no decision changes with it."""
    fdr: float = Field(default=0.05, gt=0, lt=1)
    """Share of false discoveries among the suspect that is put up with (Benjamini-Hochberg)."""
    test: Literal["t", "sign_flip"] = "t"
    """Student's paired test, or Fisher's randomisation test."""


class RunSection(_Closed):
    """How the work is done; of these only seed, precision and compile touch a score."""

    runner: str = Field(default="threads", pattern=r"^(threads|processes|(dask|ray)(:.{1,200})?)$")
    """Who does the shards, where Prefect runs the audit: `threads` (this process), `processes` (one
    for each GPU of this node, or two), `dask` or `ray`, with an address after a colon."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds that a shard or another step may take, where Prefect runs the audit: a shard is then
    tried again, another step ends the run, which resumes."""

    batch_size: Literal["auto"] | int = "auto"
    """Images at a time, 1 or more; halved where memory does not suffice."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """`auto` is float32; with `bf16` the model works in bfloat16 where the hardware does."""
    compile: bool = False
    """Send passes without derivatives through `torch.compile`."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of every draw: donors, noise, resampling."""
    shard_size: int = Field(default=1024, ge=1)
    """Images between two savings; a finished shard is never computed again."""
    min_coverage: float = Field(default=0.95, ge=0, le=1)
    """Share of each class's images that must be measured; else the run is incomplete and calls
    nothing clear, unless all that is lacking are classes without any foreground."""
    workers: int | None = Field(default=None, ge=1, le=256)
    """Child processes that decode; without it one a core, at most 8 (for a GPU: 16)."""

    @field_validator("batch_size")
    @classmethod
    def _positive(cls, value: str | int) -> str | int:
        if isinstance(value, int) and value < 1:
            raise ValueError("expected auto or a whole number >= 1")
        return value


class ReportSection(_Closed):
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


class Manifest(_Closed):
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

    def scores_key(self) -> dict[str, object]:
        """Everything in the manifest that a score depends on; thresholds are not among it."""
        chosen = self.model_dump(
            mode="json",
            include={"version", "dataset", "foreground", "model", "saliency", "interventions"},
        )
        for name in _OF_VERDICTS:
            chosen["foreground"].pop(name, None)
        chosen["saliency"].pop("checked")
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
