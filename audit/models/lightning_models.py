"""Loader of checkpoints that PyTorch Lightning wrote, into a network that is named beside them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.audited import AuditedModel
from audit.models.checkpoints import load_checkpoint
from audit.models.libraries import library
from audit.models.state_dicts import fit_weights
from audit.models.torchvision_models import fit_torchvision
from audit.plugins import resolve


def lightning_model(
    device: torch.device,
    *,
    folder: Path,
    name: str,
    weights: str | Path | None = None,
    weights_entry: str | None = None,
) -> AuditedModel:
    """Load the weights of a Lightning checkpoint; its hyper-parameters stay unread.

    Parameters
    ----------
    device : torch.device
        Where it shall live.
    folder : Path
        Of the manifest, where a function of the user's may lie.
    name : str
        The network inside the ``LightningModule``: a name of torchvision's, else of timm's
        (``timm/NAME`` where both have it), or ``"package.module:function"``, which returns the
        network; it may ask for ``classes``, the number of outputs.
    weights : path
        The ``.ckpt`` file.
    weights_entry : str, optional
        Which of several weights in it, such as ``ema_model``.

    Raises
    ------
    ModelError
        No such network or file, or weights that do not fit.
    """
    if not isinstance(weights, Path):
        raise ModelError(f"model.weights: expected a .ckpt file, found {weights!r}")
    checkpoint = load_checkpoint(weights, inert=True)
    if name in torchvision.models.list_models(module=torchvision.models):
        fitted = fit_torchvision(name, checkpoint, weights_entry, None)
    elif ":" in name:
        function = resolve(name, {}, key="model.name", folder=folder)
        build = _builder(function, name)
        fitted = fit_weights(build, checkpoint, name=name, chosen=weights_entry, on_meta=False)
    else:
        fitted = fit_weights(_of_timm(name), checkpoint, name=name, chosen=weights_entry)
    model = AuditedModel(
        fitted.module,
        checkpoint.class_names,
        Geometry(224, 256),
        name=f"{name} of {weights.name}",
        sha256=checkpoint.sha256,
    )
    left = "model.weights: what is no tensor, such as hyper-parameters, stays unread"
    model.remarks = tuple(r for r in (fitted.note, left if checkpoint.unread else "") if r)
    if ":" in name:
        model.plugin_folder = folder
    return model.to(device)


def _of_timm(name: str) -> Callable[[int], nn.Module]:
    timm = library("timm", "timm", "lightning")
    plain = name.removeprefix("timm/")
    if not timm.is_model(plain.split(".")[0]):
        raise ModelError(
            f"model.name: expected the network inside the LightningModule: a name of torchvision's "
            f'or timm\'s, or "package.module:function"; found {name!r}'
        )

    def build(classes: int) -> nn.Module:
        module: nn.Module = timm.create_model(plain, pretrained=False, num_classes=classes)
        return module

    return build


def _builder(function: Callable[..., Any], name: str) -> Callable[[int], nn.Module]:
    asks = "classes" in inspect.signature(function).parameters

    def build(classes: int) -> nn.Module:
        made = function(classes=classes) if asks else function()
        if not isinstance(made, nn.Module):
            raise ModelError(
                f"model.name: {name} returned a {type(made).__name__}, expected a torch.nn.Module"
            )
        return made

    return build
