"""Classifiers from anywhere, in the one form that is audited."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from audit.declared import declared_path, read_declared
from audit.errors import AuditError, ManifestError, ModelError
from audit.geometry import Geometry
from audit.manifest import InputSection, ModelSection
from audit.models.audited import IMAGENET_MEAN, IMAGENET_STD, AuditedModel
from audit.models.clip_models import clip_model
from audit.models.graphs import exported_model, torchscript_model
from audit.models.hashes import check_sha256, file_sha256, weights_sha256
from audit.models.lightning_models import lightning_model
from audit.models.onnx_models import onnx_model
from audit.models.open_clip_models import open_clip_model
from audit.models.outputs import first_line
from audit.models.pickled_models import pickled_model
from audit.models.timm_models import timm_model
from audit.models.torchvision_models import torchvision_model
from audit.models.transformers_models import transformers_model
from audit.plugins import bind, resolve

__all__ = ["MODELS", "AuditedModel", "load_model", "read_class_names"]

MAX_NAMES_BYTES = 16 * 2**20

MODELS: Mapping[str, Callable[..., Any]] = {
    "torchvision": torchvision_model,
    "timm": timm_model,
    "transformers": transformers_model,
    "clip": clip_model,
    "open_clip": open_clip_model,
    "lightning": lightning_model,
    "exported": exported_model,
    "torchscript": torchscript_model,
    "onnx": onnx_model,
    "pickled": pickled_model,
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
        options["weights"] = found if found.is_file() or found.is_dir() else weights
    path = options.get("weights")
    if section.sha256 is not None:
        if not isinstance(path, Path):
            raise ModelError("model.sha256: expected a file or folder in model.weights to compare")
        check_sha256(path, section.sha256)
    names = None
    if section.classes is not None:
        names = tuple(read_class_names(declared_path(folder, section.classes, "model.classes")))
    given = {"device": device, "folder": folder, "class_names": names}
    loaded = _load(bind(function, options, key="model", given=given), section.loader)
    try:
        sha256 = file_sha256(path) if isinstance(path, Path) else ""
        return _finish(loaded, section, folder, names, sha256).to(device)
    except AuditError:
        raise
    except Exception as error:
        # Networks of kinds that torch's own methods do not bear.
        raise ModelError(
            f"model.loader: what {section.loader} returned, a {type(loaded).__name__}, cannot be "
            f"used as a network ({type(error).__name__}: {first_line(error)}). Return a plain "
            "torch.nn.Module."
        ) from error


def _load(function: Callable[[], Any], name: str) -> Any:
    try:
        return function()
    except AuditError:
        raise
    except TypeError as error:
        raise ManifestError(
            f"model: {name} could not be called: {error}. Write its arguments beside model.loader."
        ) from error
    except SystemExit as error:
        raise ModelError(
            f"model.loader: {name} ends the process (sys.exit({error.code!r})) when it is called. "
            "Let it return the network, or raise an error that says why it cannot."
        ) from None
    except Exception as error:
        # A user's loader can fail in any way.
        raise ModelError(
            f"model.loader: {name} failed: {type(error).__name__}: {error}. Call it alone, outside "
            "of the audit, until it returns a network."
        ) from error


def _finish(
    loaded: Any,
    section: ModelSection,
    folder: Path,
    names: tuple[str, ...] | None,
    sha256: str,
) -> AuditedModel:
    loaded = _unwrapped(loaded)
    if not isinstance(loaded, nn.Module):
        raise ModelError(
            f"model.loader: {section.loader} returned a {type(loaded).__name__}, "
            "expected a torch.nn.Module or an AuditedModel"
        )
    model = loaded if isinstance(loaded, AuditedModel) else None
    if names is None and model is not None:
        names = model.class_names
    geometry = _geometry(section.input, model.geometry if model else Geometry(224, 256))
    mean = section.input.mean or (model.mean.flatten().tolist() if model else IMAGENET_MEAN)
    std = section.input.std or (model.std.flatten().tolist() if model else IMAGENET_STD)
    module = model.module if model else loaded
    remarks = (*(model.remarks if model else ()), *_in_float32(module))
    sha256 = (model.sha256 if model else "") or sha256 or weights_sha256(module)
    audited = AuditedModel(
        module,
        names,
        geometry,
        mean,
        std,
        name=model.name if model else section.loader,
        sha256=sha256,
        target_layer=model.target_layer if model else None,
    )
    audited.plugin_folder = folder if section.loader not in MODELS else None
    if model is not None and model.plugin_folder is not None:
        audited.plugin_folder = model.plugin_folder
    audited.outputs = section.outputs
    audited.remarks = remarks
    if model is not None:
        audited.images_per_call, audited.trusted = model.images_per_call, model.trusted
        if section.outputs == "logits":
            audited.outputs = model.outputs
    return audited


def _unwrapped(loaded: Any) -> Any:
    """The network within a wrapper that hides its layers, or that is none itself."""
    if isinstance(loaded, torch.export.ExportedProgram):
        return loaded.module()
    if isinstance(loaded, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return _unwrapped(loaded.module)
    # Nothing was compiled where the compiler, which is slow to import, was never imported.
    if "torch._dynamo" in sys.modules and isinstance(loaded, torch._dynamo.OptimizedModule):
        return _unwrapped(loaded._orig_mod)
    return loaded


def _in_float32(module: nn.Module) -> Iterator[str]:
    """Bring weights of another width to that in which maps are made."""
    kinds = {value.dtype for value in module.parameters() if value.is_floating_point()}
    if kinds - {torch.float32}:
        module.float()
        found = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        yield f"model: its weights are {found}; it works in float32, in which maps are made"


def _geometry(declared: InputSection, of_model: Geometry) -> Geometry:
    """What the manifest declares, over what the weights prescribe."""
    size = declared.size or of_model.size
    # A new size without a new `resize` means: the shorter side becomes that size.
    resize = declared.resize or (declared.size or of_model.resize)
    return Geometry(
        size=size,
        resize=resize,
        crop=declared.crop or of_model.crop,
        interpolation=declared.interpolation or of_model.interpolation,
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
        raise ModelError(
            f"model.classes: {path.name} cannot be read as UTF-8 text ({error}). Save it as UTF-8, "
            "one name a line."
        ) from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ModelError(
            f"model.classes: {path.name} is empty. Write one name a line, in the order of the "
            "model's outputs."
        )
    return names
