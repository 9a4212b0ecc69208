"""Loader of classifiers of Hugging Face transformers, from a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.audited import IMAGENET_MEAN, IMAGENET_STD, AuditedModel
from audit.models.hashes import file_sha256
from audit.models.libraries import library
from audit.models.outputs import first_line
from audit.models.trust import check_trust, trusted_remark

_PICKLED = "a folder with pickled weights"
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_SQUEEZED = 384
"""From this side on ConvNeXt's processor squeezes the whole image in the place of a crop."""


def transformers_model(
    device: torch.device, *, weights: str | Path | None = None, trust: str | None = None
) -> AuditedModel:
    """Load an ``AutoModelForImageClassification`` from a folder; nothing is fetched.

    Class names are those of ``id2label``; geometry and normalisation those of the image processor.

    Parameters
    ----------
    device : torch.device
        Where it shall live.
    weights : path
        The folder, as ``save_pretrained`` or ``huggingface-cli download`` leaves it, with
        ``config.json`` and ``model.safetensors``.
    trust : str, optional
        The folder's sha256 (the message tells it), where its weights are pickled
        (``pytorch_model.bin``).

    Raises
    ------
    ModelError
        transformers is missing, or the folder holds no complete classifier.
    """
    folder, remarks = checked_folder(weights, trust, "transformers")
    transformers = library("transformers", "transformers", "transformers")
    module = pretrained(transformers.AutoModelForImageClassification, folder, not remarks)
    names = _names(getattr(module.config, "id2label", None) or {})
    return described(module, folder, names, remarks).to(device)


def checked_folder(
    weights: str | Path | None, trust: str | None, loader: str
) -> tuple[Path, tuple[str, ...]]:
    """A folder with a config and weights that run no code, or that are trusted.

    Raises
    ------
    ModelError
        It is none.
    """
    if not isinstance(weights, Path) or not (weights / "config.json").is_file():
        raise ModelError(
            "model.weights: expected a folder with config.json and model.safetensors, as "
            f"save_pretrained writes it, found {getattr(weights, 'name', weights)!r}. The {loader} "
            "loader fetches nothing: `huggingface-cli download NAME --local-dir FOLDER` does."
        )
    if any(weights.glob("*.safetensors")):
        return weights, ()
    if not any(weights.glob("*.bin")):
        raise ModelError(
            f"model.weights: {weights.name} holds no weights: expected model.safetensors. Save "
            "them with model.save_pretrained."
        )
    check_trust(weights, trust, _PICKLED)
    return weights, (trusted_remark(weights, _PICKLED),)


def pretrained(kind: Any, folder: Path, safetensors: bool) -> nn.Module:
    """Call ``from_pretrained`` so that nothing is fetched, run or made up.

    Raises
    ------
    ModelError
        It fails, or leaves weights at random values.
    """
    try:
        module, info = kind.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=safetensors,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:
        raise ModelError(
            f"model.weights: {kind.__name__} cannot load {folder.name} "
            f"({type(error).__name__}: {first_line(error)}). Save it again with save_pretrained."
        ) from error
    lacking = sorted(str(name) for name in info.get("missing_keys", ()))
    if lacking:
        raise ModelError(
            f"model.weights: {folder.name} lacks {len(lacking)} weights of the classifier "
            f"({', '.join(lacking[:3])}), which would be random. Is it a backbone that was never "
            "fine-tuned?"
        )
    found: nn.Module = module
    return found


def described(
    module: nn.Module, folder: Path, names: tuple[str, ...] | None, remarks: tuple[str, ...]
) -> AuditedModel:
    """The model with the geometry of the folder's image processor."""
    config, trusted = _processor(folder), bool(remarks)
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if config.get("do_normalize", True):
        mean, std = config.get("image_mean", mean), config.get("image_std", std)
    else:
        mean, std = (0.0,) * 3, (1.0,) * 3
    model = AuditedModel(
        module, names, _geometry(config), mean, std, name=folder.name, sha256=file_sha256(folder)
    )
    if not config:
        remarks += ("model.input: the folder has no image processor; 256, 224 and ImageNet's mean",)
    model.trusted = f"{folder.name}, {_PICKLED}" if trusted else ""
    model.remarks = remarks
    return model


def _processor(folder: Path) -> Mapping[str, Any]:
    for name in _PROCESSORS:
        path = folder / name
        if not path.is_file():
            continue
        try:
            read = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ModelError(
                f"model.weights: {name} cannot be read ({error}). Save it again with "
                "save_pretrained."
            ) from error
        found = read.get("image_processor", read) if isinstance(read, dict) else None
        if not isinstance(found, dict):
            raise ModelError(f"model.weights: expected settings in {name}, found a list")
        return found
    return {}


def _geometry(config: Mapping[str, Any]) -> Geometry:
    size, crop = config.get("size", 224), config.get("crop_size")
    interpolation = _RESAMPLING.get(config.get("resample", 2), "bilinear")
    shortest = size.get("shortest_edge") if isinstance(size, dict) else None
    squeezed = size.get("height") if isinstance(size, dict) else size
    side = crop.get("height", crop.get("shortest_edge")) if isinstance(crop, dict) else crop
    cropped = bool(config.get("do_center_crop", crop is not None))
    if not config.get("do_resize", True):
        shortest = squeezed = None
    if config.get("crop_pct") and shortest and not cropped:
        # ConvNeXt: to size / crop_pct, then the middle; large ones are squeezed.
        if shortest >= _SQUEEZED:
            return Geometry(shortest, None, "none", interpolation)
        return Geometry(shortest, int(shortest / config["crop_pct"]), "center", interpolation)
    if cropped and side:
        return Geometry(side, shortest or squeezed or side, "center", interpolation)
    if shortest:
        return Geometry(shortest, shortest, "center", interpolation)
    return Geometry(squeezed or side or 224, None, "none", interpolation)


def _names(id2label: Mapping[Any, str]) -> tuple[str, ...] | None:
    """In output order; None where the names are those that a config makes up."""
    indices = sorted(int(key) for key in id2label)
    if indices != list(range(len(indices))):
        return None
    by_index = {int(key): str(name) for key, name in id2label.items()}
    names = tuple(by_index[index] for index in indices)
    return None if all(name == f"LABEL_{k}" for k, name in enumerate(names)) else names
