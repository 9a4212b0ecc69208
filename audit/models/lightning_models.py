"""Loader of checkpoints that PyTorch Lightning wrote, into a network that is named beside them."""

from __future__ import annotations

from pathlib import Path

import torch

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.architectures import fit_named
from audit.models.audited import AuditedModel
from audit.models.checkpoints import load_checkpoint, unread


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
    fitted = fit_named(name, checkpoint, weights_entry, folder)
    model = AuditedModel(
        fitted.module,
        checkpoint.class_names,
        Geometry(224, 256),
        name=f"{name} of {weights.name}",
        sha256=checkpoint.sha256,
    )
    model.remarks = tuple(r for r in (fitted.note, unread(checkpoint)) if r)
    if ":" in name:
        model.plugin_folder = folder
    return model.to(device)
