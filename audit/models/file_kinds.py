"""Files that are no state dicts, and the loader that each is for."""

from __future__ import annotations

import zipfile
from pathlib import Path


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
    if path.is_dir():
        if (path / "config.json").is_file():
            return f"{path.name} is a folder of Hugging Face; model: {{loader: transformers, ...}}"
        return f"{path.name} is a folder, expected a file of weights"
    if path.suffix == ".onnx":
        return f"{path.name} is an ONNX graph; model: {{loader: onnx, weights: ...}}"
    if path.suffix in (".h5", ".keras", ".pb", ".tflite", ".engine", ".mlmodel"):
        return f"{path.name} is not of torch; convert it to ONNX: model: {{loader: onnx}}"
    if not zipfile.is_zipfile(path):
        return ""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError):
        return ""
    if "constants.pkl" in inside and any(name.startswith("code/") for name in inside):
        return (
            f"{path.name} is a TorchScript graph; model: {{loader: torchscript, weights: ..., "
            "trust: ...}"
        )
    if "archive_format" in inside or any(n.startswith("models/model.json") for n in inside):
        return (
            f"{path.name} is a program of torch.export; model: {{loader: exported, weights: ..., "
            "trust: ...}"
        )
    return ""
