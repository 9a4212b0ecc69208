"""Loader of torchvision's classification networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.audited import AuditedModel
from audit.models.checkpoints import Checkpoint, key_difference, load_checkpoint


def torchvision_model(
    device: torch.device, *, name: str, weights: str | Path | None = None
) -> AuditedModel:
    """Load a torchvision classification model.

    Parameters
    ----------
    device : torch.device
        Where it shall live.
    name : str
        As ``torchvision.models.list_models`` writes it, e.g. ``resnet18``.
    weights : path or str
        A file of weights (.safetensors, .pt, .pth), whose last layer says how many classes there
        are; or the library's own name such as ``IMAGENET1K_V1``, which may be downloaded.

    Raises
    ------
    ModelError
        Unknown name, no weights, or weights that do not fit.
    """
    available = torchvision.models.list_models(module=torchvision.models)
    if name not in available:
        raise ModelError(
            f"model.name: torchvision has no classification model {name!r}; "
            f"it has {', '.join(available[:6])}, ... ({len(available)} in all)"
        )
    if weights is None:
        raise ModelError(
            "model.weights: missing. Name a file (.safetensors, .pt) or the library's own weights "
            "(DEFAULT); without weights a random network would be audited."
        )
    if isinstance(weights, Path) or Path(weights).suffix in (".safetensors", ".pt", ".pth"):
        checkpoint = load_checkpoint(Path(weights))
        module = _fit(name, checkpoint)
        return AuditedModel(
            module,
            checkpoint.class_names,
            Geometry(224, 256),
            name=name,
            sha256=checkpoint.sha256,
        ).to(device)
    return _with_library_weights(name, weights).to(device)


def _with_library_weights(name: str, weights: str) -> AuditedModel:
    try:
        chosen: Any = torchvision.models.get_model_weights(name)[weights]
    except KeyError:
        known = [w.name for w in torchvision.models.get_model_weights(name)]
        raise ModelError(
            f"model.weights: no such file, and {name} has no weights {weights!r}; "
            f"it has {', '.join(known)}"
        ) from None
    try:
        module = torchvision.models.get_model(name, weights=chosen)
    except Exception as error:
        raise ModelError(
            f"model.weights: {chosen} could not be had ({type(error).__name__}: {error}). "
            "Download the file and name it instead."
        ) from error
    preset = chosen.transforms()
    geometry = Geometry(
        size=preset.crop_size[0],
        resize=preset.resize_size[0],
        interpolation=preset.interpolation.value,
    )
    return AuditedModel(
        module,
        chosen.meta.get("categories"),
        geometry,
        mean=preset.mean,
        std=preset.std,
        name=f"{name} ({chosen})",
        sha256=str(chosen.url).rsplit("-", 1)[-1].split(".")[0],
    )


def build(name: str, classes: int) -> nn.Module:
    """Make a torchvision network with that many outputs and random weights."""
    extra: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        extra = {"init_weights": False, "aux_logits": True}
    module: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=classes, **extra
    )
    return module


def _fit(name: str, checkpoint: Checkpoint) -> nn.Module:
    with torch.device("meta"):
        skeleton = build(name, 1000).state_dict()
    module = build(name, _count_classes(skeleton, checkpoint.state))
    state = dict(checkpoint.state)
    if not any(key.startswith(("aux", "AuxLogits")) for key in state):
        # Auxiliary heads exist for training only; many files leave them out.
        for attribute in ("aux1", "aux2", "AuxLogits"):
            if hasattr(module, attribute):
                setattr(module, attribute, None)
        if hasattr(module, "aux_logits"):
            setattr(module, "aux_logits", False)  # noqa: B010 - mypy knows only submodules
    difference = key_difference(module.state_dict(), state)
    if difference:
        raise ModelError(f"model.weights: the file does not fit {name}: {difference}")
    module.load_state_dict(state, strict=True)
    return module


def _count_classes(skeleton: dict[str, Tensor], state: Any) -> int:
    """Read the number of outputs off the last tensor that differs in its first side only."""
    for key in reversed(list(skeleton)):
        ours, theirs = skeleton[key], state.get(key)
        if theirs is None or ours.ndim == 0 or theirs.ndim != ours.ndim:
            continue
        if ours.shape != theirs.shape and ours.shape[1:] == theirs.shape[1:]:
            return int(theirs.shape[0])
    return 1000
