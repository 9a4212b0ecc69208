"""Loader of timm's networks."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.audited import IMAGENET_MEAN, IMAGENET_STD, AuditedModel
from audit.models.checkpoints import load_checkpoint, unread
from audit.models.libraries import library
from audit.models.outputs import first_line
from audit.models.state_dicts import fit_weights


def timm_model(
    device: torch.device,
    *,
    name: str,
    weights: str | Path | None = None,
    weights_entry: str | None = None,
    in_chans: int = 3,
) -> AuditedModel:
    """Load a network of timm, with geometry and normalisation from its ``pretrained_cfg``.

    Parameters
    ----------
    device : torch.device
        Where it shall live.
    name : str
        As ``timm.list_models`` writes it, with or without a tag: ``convnext_tiny.fb_in1k``.
    weights : path or str
        A file of weights, whose last layer says how many classes there are; or ``DEFAULT``: those
        that timm downloads for `name`.
    weights_entry : str, optional
        Which of several weights in the file, such as ``state_dict_ema``.
    in_chans : int
        1 for a network of grey images.

    Raises
    ------
    ModelError
        timm is missing, an unknown name, no weights, or weights that do not fit.
    """
    timm = library("timm", "timm", "timm")
    plain = name.split(".")[0]
    if not timm.is_model(plain):
        near = difflib.get_close_matches(plain, timm.list_models(), n=3, cutoff=0.5)
        raise ModelError(
            f"model.name: timm has no model {name!r}. Close: {', '.join(near) or 'none'}; all: "
            "timm.list_models()"
        )
    if in_chans not in (1, 3):
        raise ModelError(f"model.in_chans: expected 3, or 1 for grey images, found {in_chans}")
    if weights is None:
        raise ModelError(
            "model.weights: missing. Name a file (.safetensors, .pth) or DEFAULT for those that "
            "timm downloads; without weights a random network would be audited."
        )
    if isinstance(weights, Path):
        return _from_file(weights, name, weights_entry, in_chans).to(device)
    if weights != "DEFAULT":
        raise ModelError(
            f"model.weights: no such file: {weights}. Write its path, relative to the manifest; or "
            "DEFAULT, which stands for those that timm downloads."
        )
    try:
        module = timm.create_model(name, pretrained=True, in_chans=in_chans)
    except Exception as error:
        raise ModelError(
            f"model.weights: timm could not have those of {name} ({type(error).__name__}: "
            f"{first_line(error)}). Download the file and name it instead."
        ) from error
    return _described(module, name, _imagenet_names(module), "", in_chans).to(device)


def _from_file(weights: Path, name: str, entry: str | None, in_chans: int) -> AuditedModel:
    timm = library("timm", "timm", "timm")
    # timm's training script puts its arguments beside the weights.
    checkpoint = load_checkpoint(weights, inert=True)
    fitted = fit_weights(
        lambda classes: timm.create_model(name, num_classes=classes, in_chans=in_chans),
        checkpoint,
        name=name,
        chosen=entry,
        rename=_renamed,
    )
    model = _described(fitted.module, name, checkpoint.class_names, checkpoint.sha256, in_chans)
    model.remarks += tuple(r for r in (fitted.note, unread(checkpoint)) if r)
    return model


def _renamed(state: dict[str, Tensor], skeleton: nn.Module) -> Mapping[str, Tensor]:
    """Let timm rename what other libraries or former releases called otherwise."""
    known = getattr(sys.modules[type(skeleton).__module__], "checkpoint_filter_fn", None)
    if known is None:
        return state
    try:
        renamed: Mapping[str, Tensor] = known(dict(state), skeleton)
    except Exception:
        # It expects weights of this network; what differs is then said of the names as they are.
        return state
    return renamed


def _described(
    module: nn.Module,
    name: str,
    class_names: tuple[str, ...] | None,
    sha256: str,
    in_chans: int,
) -> AuditedModel:
    config: Mapping[str, Any] = getattr(module, "pretrained_cfg", None) or {}
    geometry, remarks = _geometry(config)
    mean, std = config.get("mean", IMAGENET_MEAN), config.get("std", IMAGENET_STD)
    if in_chans == 1:
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    model = AuditedModel(
        module,
        class_names,
        geometry,
        mean,
        std,
        name=f"timm {name}",
        sha256=sha256,
    )
    model.remarks = remarks
    return model


def _geometry(config: Mapping[str, Any]) -> tuple[Geometry, tuple[str, ...]]:
    """As timm evaluates: the shorter side to ``size / crop_pct``, then the middle of it."""
    _, height, width = config.get("input_size", (3, 224, 224))
    size = int(height)
    share = float(config.get("crop_pct", 0.875))
    interpolation = str(config.get("interpolation", "bicubic"))
    remarks: tuple[str, ...] = ()
    if height != width:
        remarks = (f"model.input: timm's {height} x {width} is not square; {height} is taken",)
    geometry = Geometry(
        size=size,
        resize=int(size / share),
        # `squash` squeezes the whole image; `border` pads what is lacking, which a crop never does.
        crop="none" if config.get("crop_mode") == "squash" else "center",
        interpolation=interpolation if interpolation in ("bilinear", "bicubic") else "bilinear",
    )
    return geometry, remarks


def _imagenet_names(module: nn.Module) -> tuple[str, ...] | None:
    """Names that timm knows for the outputs of weights of its own."""
    data = library("timm.data", "timm", "timm")
    config: Mapping[str, Any] = getattr(module, "pretrained_cfg", None) or {}
    if config.get("label_names"):
        return tuple(str(name) for name in config["label_names"])
    try:
        subset = data.infer_imagenet_subset(module)
        info = data.ImageNetInfo(subset) if subset else None
    except Exception:
        # A data set that timm has no names for.
        return None
    if info is None:
        return None
    # "Eskimo dog, husky": the first of its names, as torchvision has it.
    return tuple(str(name).split(",")[0] for name in info.label_descriptions())
