"""Sections of a manifest that say how it is audited: maps, swaps, CMVs, thresholds, the run."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from audit.manifest.keys import ClosedSection
from audit.manifest.sections import ModelSection


class SaliencySection(ClosedSection):
    """Which method, what it explains, and the method's own options."""

    method: str = "gradcam"
    """One of [these methods](saliency.md), or `"package.module:function"`."""
    target: Literal["logit", "predicted", "contrast"] = "logit"
    """What a map explains: the label's class score; that of the class with the highest score; the
    label's less the best other one."""
    options: dict[str, object] = Field(default={})
    """The method's own options."""
    checked: bool = True
    """Whether a few maps are tried: on networks that forget, layer by layer, what they learned;
    against chance; and against other methods."""


class InterventionsSection(ClosedSection):
    """How many donors each image meets, and what fills the place of an object."""

    donors: int = Field(default=4, ge=1, le=32)
    """Images of its own class, and as many of other classes, whose backgrounds each image meets."""
    images: Literal["auto", "all"] | int = "auto"
    """Images of a class that meet donors, 2 or more: a seeded choice, whatever else is in the
    dataset. `auto`: 50, or as many as a verdict needs; every image has its map and score."""
    more: Literal["auto"] | int = "auto"
    """Further images, at most, of a class that these leave undecided, where it has as many again;
    the error of both looks together stays that of one. `auto`: twice as many; 0: none."""
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

    @field_validator("more")
    @classmethod
    def _not_negative(cls, value: str | int) -> str | int:
        if isinstance(value, int) and value < 0:
            raise ValueError(f"expected auto or a number of at least 0, found {value}")
        return value


class CmvSection(ClosedSection):
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
    brief: bool = True
    """Whether, of `all` classes, those that are not suspect get less: the first recipe and
    objective, in at most 96 steps. Classes that are named get everything. Where recipes, objectives
    or steps are written, it is `false` unless it is written, too."""
    early: bool = True
    """Whether a class that is reached and stable ends before all steps are taken."""
    size: int | None = Field(default=None, ge=16, le=1024)
    """Side of the pictures in pixels; without it that of the model's input, or 128 where that is
    smaller and the model answers most of 16 images alike at both."""
    transfer: ModelSection | None = None
    """A second model, written like `model`, which is asked what it sees in the pictures."""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        asks = isinstance(value, dict) and {"recipes", "objectives", "steps"} & value.keys()
        return {"brief": False, **value} if asks else value


class VerdictSection(ClosedSection):
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


class RunnerSection(ClosedSection):
    """Who makes parts of steps, where Prefect runs the audit; kind, address may be one word."""

    kind: Literal["threads", "processes", "dask", "ray"] = "threads"
    """This process; more processes of this node; a cluster, started here or one that is there."""
    address: str | None = Field(default=None, min_length=1, max_length=200)
    """Of a Dask or Ray cluster that is there: `tcp://host:8786`, `ray://host:10001`, or for Ray
    `auto`; as a word after a colon. Without it a cluster is started on this node."""
    workers: int | None = Field(default=None, ge=1, le=1024)
    """Processes on this node; without it one for each GPU. Where there is none: two of `processes`,
    of a cluster as many as the CPU has cores, at most 8."""
    gpus_per_task: float | None = Field(default=None, gt=0, le=1)
    """Share of a GPU that a shard asks of Ray, or of Dask as its resource `GPU`, where the audit
    works on one; without it 1, and nothing of a Dask cluster that is there."""

    @model_validator(mode="before")
    @classmethod
    def _of_word(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        kind, colon, address = value.partition(":")
        if kind not in get_args(cls.model_fields["kind"].annotation) or (colon and not address):
            raise ValueError(
                "expected threads, processes, dask[:ADDRESS] or ray[:ADDRESS], or keys such as kind"
            )
        return {"kind": kind, "address": address or None}

    @model_validator(mode="after")
    def _of_its_kind(self) -> RunnerSection:
        if self.kind not in ("dask", "ray"):
            for name in ("address", "gpus_per_task"):
                if getattr(self, name) is not None:
                    raise ValueError(f"expected {name} with kind dask or ray only")
        if self.workers is not None and self.kind == "threads":
            raise ValueError("expected workers with kind processes, dask or ray only")
        if self.workers is not None and self.address is not None:
            raise ValueError("expected workers or an address: a cluster that is there has its own")
        return self


class RunSection(ClosedSection):
    """How the work is done; of these only seed, precision and compile touch a score."""

    runner: RunnerSection = RunnerSection()
    """Who makes shards and parts by class: a word (`threads`, `processes`, `dask[:ADDRESS]`,
    `ray[:ADDRESS]`), or the keys below."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds that a shard or another step may take, where Prefect runs the audit: a shard is then
    tried again, another step ends the run, which resumes. Of more than 1,024 shards several share a
    task, which has so many times as long."""

    batch_size: Literal["auto"] | int = "auto"
    """Images at a time, 1 or more; halved where memory does not suffice."""
    precision: Literal["auto", "float32", "tf32", "bf16"] = "auto"
    """On a GPU `auto` makes maps in float32 and rounds operands to TF32 where only class scores are
    asked for; `float32` never rounds them, `tf32` always. With `bf16` the model works in bfloat16
    where the hardware does. On a CPU the first three are float32."""
    compile: bool = False
    """Send passes without derivatives through `torch.compile`."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of every draw: donors, noise, resampling."""
    cache_gib: float = Field(default=200, gt=0)
    """Of disk that files fetched from addresses (`s3://`, `https://`) may take in the user's cache,
    in GiB; what was unused the longest makes room."""
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
