"""The manifest: one YAML file that declares an audit, typed, frozen and checked."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from audit.colours import READABLE, contrast
from audit.errors import ManifestError

_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


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


def load_manifest(path: str | Path, overrides: Sequence[str] = ()) -> Manifest:
    """Read a manifest file.

    Parameters
    ----------
    path : str or Path
        The YAML file.
    overrides : sequence of str
        ``"key.path=value"`` each, the value in YAML; laid over the file before it is checked.

    Raises
    ------
    ManifestError
        The file cannot be read, is no YAML, or says something that cannot be.
    """
    path = Path(path)
    raw = _read_yaml(path)
    for override in overrides:
        _apply(raw, override)
    for internal in ("folder", "source"):
        if internal in raw:
            raise ManifestError(f"{path.name}: {internal}: unknown key")
    expanded = _expand(raw, path.name)
    source = yaml.safe_dump(raw, sort_keys=False, allow_unicode=True)
    try:
        return Manifest.model_validate(
            {**expanded, "folder": path.resolve().parent, "source": source}
        )
    except ValidationError as error:
        lines = [_sentence(item) for item in error.errors(include_url=False)]
        raise ManifestError("\n".join(f"{path.name}: {line}" for line in lines)) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ManifestError(
            f"{path}: no such file. Write one with `saliency-audit init`, or name another."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ManifestError(f"{path.name}: not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ManifestError(
            f"{path.name}: expected a mapping of keys (name, dataset, model, ...), "
            f"found {type(raw).__name__}"
        )
    return raw


def _apply(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ManifestError(f"--set: expected key.path=value, found {override!r}")
    *parents, last = key.split(".")
    section: Any = raw
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise ManifestError(f"--set {key}: {parent} is not a section of keys")
    try:
        section[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ManifestError(f"--set {key}: {text!r} is not valid YAML: {error}") from error


def _expand(value: Any, key: str) -> Any:
    """Put the environment in the place of ``${NAME}``, in values only."""
    if isinstance(value, str):

        def lookup(match: re.Match[str]) -> str:
            name = match.group(1)
            if name not in os.environ:
                raise ManifestError(f"{key}: the environment variable {name} is not set")
            return os.environ[name]

        return _ENVIRONMENT.sub(lookup, value)
    if isinstance(value, Mapping):
        return {k: _expand(v, f"{key}: {k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(item, f"{key}[{i}]") for i, item in enumerate(value)]
    return value


def _sentence(item: Any) -> str:
    """One pydantic error in words: key, expected, found."""
    location = [part for part in item["loc"] if not _is_branch(part)]
    key = ".".join(str(part) for part in location) or "manifest"
    if item["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"{key}: unknown key. Expected one of: {', '.join(known)}.{hint}"
    if item["type"] == "missing":
        return f"{key}: missing. It must be written."
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{key}: expected {message.removeprefix('expected ')}, found {item['input']!r}"


def _is_branch(part: Any) -> bool:
    """Whether `part` is pydantic's name for a branch of a union, and no key of the user's."""
    return isinstance(part, str) and bool(
        re.match(r"(literal|tuple|function-[a-z]+|constrained-int)\[|^int$", part)
    )


def _known_keys(location: Sequence[Any]) -> list[str]:
    section: Any = Manifest
    for part in location:
        annotation = section.model_fields[part].annotation
        section = next((a for a in get_args(annotation) if hasattr(a, "model_fields")), annotation)
    return [name for name in section.model_fields if name not in ("folder", "source")]
