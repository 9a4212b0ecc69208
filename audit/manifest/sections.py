"""Sections of a manifest that say what is audited: dataset, foreground and model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from audit.manifest.keys import ClosedSection, OpenSection


class DatasetSection(OpenSection):
    """Which reader, and where it begins to read."""

    reader: str = "image_folder"
    """Key of `READERS`, or `"package.module:function"`."""
    root: str = "."
    """The folder in which the reader begins, relative to the manifest; or an
    [address](remote.md) such as `s3://bucket/images`."""
    only: str | None = None
    """A CSV with a column `sample_id`, relative to the manifest: only these samples are audited."""


class ForegroundSection(OpenSection):
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


class InputSection(ClosedSection):
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


class ModelSection(OpenSection):
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
