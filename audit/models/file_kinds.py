"""Files that are no state dicts, and the loader that each is for."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

OPEN_CLIP_CONFIG = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    "open_clip_pytorch_model.bin",
)
"""Names that open_clip gives weights in a folder, the one that it prefers first."""
_MAX_CONFIG_BYTES = 16 * 2**20
_SENTENCES = {
    "timm": "a folder of timm; model: {loader: timm, name: ..., weights: .../model.safetensors}",
    "transformers": "a folder of Hugging Face; model: {loader: transformers, ...}",
    "clip": "a folder of Hugging Face with CLIP; model: {loader: clip, ...}",
    "open_clip": "a folder of open_clip; model: {loader: open_clip, ...}",
    "onnx": "an ONNX graph; model: {loader: onnx, weights: ...}",
    "torchscript": "a TorchScript graph; model: {loader: torchscript, weights: ..., trust: ...}",
    "exported": "a program of torch.export; model: {loader: exported, weights: ..., trust: ...}",
}


def kind_of(path: Path) -> str:
    """Tell by looking, without unpickling anything, which loader a file or folder is for.

    Parameters
    ----------
    path : Path
        That exists.

    Returns
    -------
    str
        Key of :data:`audit.models.MODELS`; "" where it may well be a state dict, or is unknown.
    """
    if path.is_dir():
        config = read_config(path)
        if config is None:
            return "open_clip" if (path / OPEN_CLIP_CONFIG).is_file() else ""
        # The hub's form of timm's models, and transformers' of CLIP.
        if isinstance(config.get("architecture"), str):
            return "timm"
        return "clip" if config.get("model_type") == "clip" else "transformers"
    if path.suffix == ".onnx":
        return "onnx"
    inside = _members(path)
    if "constants.pkl" in inside and any(name.startswith("code/") for name in inside):
        return "torchscript"
    if "archive_format" in inside or any(n.startswith("models/model.json") for n in inside):
        return "exported"
    return ""


def read_config(folder: Path, name: str = "config.json") -> Mapping[str, object] | None:
    """The settings of a folder as the Hugging Face hub has them; None where it has none."""
    path = folder / name
    if not path.is_file():
        return None
    try:
        read = json.loads(path.read_bytes()[:_MAX_CONFIG_BYTES])
    except (OSError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def other_loader(path: Path) -> str:
    """Say for which loader a file is that holds no plain weights.

    Parameters
    ----------
    path : Path
        ``model.weights``; a file or folder that exists.

    Returns
    -------
    str
        A sentence, or "" where it may well be a state dict.
    """
    kind = kind_of(path)
    if kind in _SENTENCES:
        return f"{path.name} is {_SENTENCES[kind]}"
    if path.is_dir():
        return f"{path.name} is a folder, expected a file of weights"
    if path.suffix in (".h5", ".keras", ".pb", ".tflite", ".engine", ".mlmodel"):
        return f"{path.name} is not of torch; convert it to ONNX: model: {{loader: onnx}}"
    return ""


def _members(path: Path) -> list[str]:
    if not zipfile.is_zipfile(path):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError):
        return []
