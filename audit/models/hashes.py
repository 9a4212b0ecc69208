"""Sha256 of weights: of a file, of a folder of files, or of a network that came from neither."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from audit.errors import ModelError

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".json")


def file_sha256(path: Path) -> str:
    """Sha256 of a file, or of the names and sha256 of a folder's weights and settings."""
    if path.is_dir():
        digest = hashlib.sha256()
        for part in sorted(path.iterdir()):
            if part.suffix in _WEIGHTS and part.is_file():
                digest.update(f"{file_sha256(part)}  {part.name}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Refuse a file that is not the one that somebody pinned.

    Raises
    ------
    ModelError
        Its hash is another one.
    """
    found = file_sha256(path)
    if found != expected.lower():
        raise ModelError(
            f"model.sha256: expected {path.name} with sha256 {expected.lower()}, found {found}. Is "
            "it the file that was meant? Then write the hash that was found."
        )


def weights_sha256(module: nn.Module) -> str:
    """Sha256 over a module's parameters, buffers and extra state, for models from no file.

    Raises
    ------
    ModelError
        Parameters without values: on the device ``meta``, or of a lazy layer that was never called.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        _add(digest, name, value)
    return digest.hexdigest()


def _add(digest: Any, name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        # Extra state, or the packed weights of a quantized layer.
        try:
            digest.update(pickle.dumps(value))
        except Exception:
            digest.update(type(value).__name__.encode())
        return
    if is_lazy(value):
        raise ModelError(
            f"model: {name} has no values yet: a lazy layer that was never called. Let the loader "
            "send one batch through before it loads the weights."
        )
    if value.is_meta:
        raise ModelError(
            f"model: {name} lies on the device meta and has no values. Let the loader load the "
            "weights (load_state_dict(..., assign=True))."
        )
    value = value.detach().cpu()
    if value.is_quantized:
        value = value.dequantize()
    if value.layout != torch.strided:
        value = value.to_dense()
    digest.update(value.contiguous().view(-1).view(torch.uint8).numpy())
