"""Loaders of graphs: what ``torch.export`` and TorchScript wrote. Loading either can run code."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.audited import AuditedModel
from audit.models.hashes import file_sha256
from audit.models.outputs import first_line
from audit.models.trust import check_trust, trusted_remark


def exported_model(
    device: torch.device, *, weights: str | Path | None = None, trust: str | None = None
) -> AuditedModel:
    """Load a program that ``torch.export.save`` wrote (``.pt2``).

    Gradients flow through it; it has no layers to look into, so that class activation maps give
    way to gradients.

    Parameters
    ----------
    device : torch.device
        Where it shall live.
    weights : path
        The file.
    trust : str
        Its sha256: loading such a file can run code.

    Raises
    ------
    ModelError
        It is not trusted, or no such program.
    """
    what = "a program of torch.export"
    path = check_trust(weights, trust, what)
    try:
        program = torch.export.load(path)
    except Exception as error:
        raise ModelError(
            f"model.weights: {path.name} is no program of torch.export "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error
    model = _described(program.module(), path, what)
    for node in program.graph.nodes:
        if node.name in program.graph_signature.user_inputs and "val" in node.meta:
            batch, _, height, _ = node.meta["val"].shape
            # A dynamic side is a symbol, no int.
            model.images_per_call = batch if isinstance(batch, int) else None
            if isinstance(height, int):
                model.geometry = Geometry(height, None)
    return model.to(device)


def torchscript_model(
    device: torch.device, *, weights: str | Path | None = None, trust: str | None = None
) -> AuditedModel:
    """Load a graph that ``torch.jit.save`` wrote.

    Gradients flow through it; it has no layers to look into, so that class activation maps give
    way to gradients.

    Parameters
    ----------
    device : torch.device
        Where it shall live.
    weights : path
        The file.
    trust : str
        Its sha256: loading such a file can run code.

    Raises
    ------
    ModelError
        It is not trusted, or no such graph.
    """
    what = "a TorchScript graph"
    path = check_trust(weights, trust, what)
    try:
        module = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise ModelError(
            f"model.weights: {path.name} is no TorchScript graph "
            f"({type(error).__name__}: {first_line(error)}). Expected what torch.jit.save wrote."
        ) from error
    return _described(module, path, what).to(device)


def _described(module: nn.Module, path: Path, what: str) -> AuditedModel:
    model = AuditedModel(module, None, Geometry(224, 256), name=path.name, sha256=file_sha256(path))
    model.trusted = f"{path.name}, {what}"
    model.remarks = (trusted_remark(path, what),)
    return model
