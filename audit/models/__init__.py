"""Classifiers from anywhere, in the one form that is audited."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from audit.declared import declared_path, read_declared
from audit.errors import AuditError, ManifestError, ModelError
from audit.geometry import Geometry
from audit.manifest import InputSection, ModelSection
from audit.models.audited import IMAGENET_MEAN, IMAGENET_STD, AuditedModel
from audit.models.checkpoints import file_sha256
from audit.models.torchvision_models import torchvision_model
from audit.plugins import bind, resolve

__all__ = ["MODELS", "AuditedModel", "load_model", "read_class_names"]

MAX_NAMES_BYTES = 16 * 2**20

MODELS: Mapping[str, Callable[..., Any]] = {
    "torchvision": torchvision_model,
}


def load_model(section: ModelSection, folder: Path, device: torch.device) -> AuditedModel:
    """Load the model that a manifest declares.

    Parameters
    ----------
    section : ModelSection
        The manifest's ``model``.
    folder : Path
        Of the manifest; relative paths begin here.
    device : torch.device
        Where the model shall live.

    Returns
    -------
    AuditedModel
        In eval mode, parameters frozen. What the manifest says of input and class names
        overrules what the weights say.

    Raises
    ------
    ManifestError
        Unknown loader or option.
    ModelError
        The model cannot be loaded.
    """
    function = resolve(section.loader, MODELS, key="model.loader", folder=folder)
    options = dict(section.options)
    weights = options.get("weights")
    if isinstance(weights, str):
        found = declared_path(folder, weights, "model.weights")
        # Others, such as DEFAULT, are names.
        options["weights"] = found if found.is_file() else weights
    given = {"device": device, "folder": folder}
    try:
        loaded = bind(function, options, key="model", given=given)()
    except AuditError:
        raise
    except TypeError as error:
        raise ManifestError(f"model: {section.loader} could not be called: {error}") from error
    except Exception as error:
        # A user's loader can fail in any way.
        raise ModelError(
            f"model.loader: {section.loader} failed: {type(error).__name__}: {error}"
        ) from error
    path = options.get("weights")
    sha256 = file_sha256(path) if isinstance(path, Path) else ""
    return _finish(loaded, section, folder, sha256).to(device)


def _finish(loaded: Any, section: ModelSection, folder: Path, sha256: str) -> AuditedModel:
    if not isinstance(loaded, nn.Module):
        raise ModelError(
            f"model.loader: {section.loader} returned a {type(loaded).__name__}, "
            "expected a torch.nn.Module or an AuditedModel"
        )
    model = loaded if isinstance(loaded, AuditedModel) else None
    names = None if model is None else model.class_names
    if section.classes is not None:
        names = tuple(read_class_names(declared_path(folder, section.classes, "model.classes")))
    geometry = _geometry(section.input, model.geometry if model else Geometry(224, 256))
    mean = section.input.mean or (model.mean.flatten().tolist() if model else IMAGENET_MEAN)
    std = section.input.std or (model.std.flatten().tolist() if model else IMAGENET_STD)
    module = model.module if model else loaded
    audited = AuditedModel(
        module,
        names,
        geometry,
        mean,
        std,
        name=model.name if model else section.loader,
        sha256=(model.sha256 if model else "") or sha256 or weights_sha256(module),
        target_layer=model.target_layer if model else None,
    )
    audited.plugin_folder = folder if section.loader not in MODELS else None
    audited.remarks = model.remarks if model else ()
    return audited


def _geometry(declared: InputSection, own: Geometry) -> Geometry:
    """What the manifest declares, over what the weights prescribe."""
    size = declared.size or own.size
    # A new size without a new `resize` means: the shorter side becomes that size.
    resize = declared.resize or (declared.size or own.resize)
    return Geometry(
        size=size,
        resize=resize,
        crop=declared.crop or own.crop,
        interpolation=declared.interpolation or own.interpolation,
    )


def read_class_names(path: Path) -> Sequence[str]:
    """Read class names, one a line, in the order of the model's outputs.

    Raises
    ------
    ModelError
        Missing or empty.
    """
    content = read_declared(path, "model.classes", MAX_NAMES_BYTES, ModelError)
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ModelError(f"model.classes: {path.name} cannot be read ({error})") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ModelError(f"model.classes: {path.name} is empty")
    return names


def weights_sha256(module: nn.Module) -> str:
    """Sha256 over a module's parameters and buffers, for models that come from no file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
